import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import build from '../support/build.js';
import { pack } from '../support/package.js';
import { CHECKS, type Finding, type Place } from './checks.js';
import { RELEASES as DEBIANS, Root, whyNot } from './debian.js';
import { RELEASES as NODES, nodeFolder } from './node.js';

const HELP = `Packs the package, installs it without scripts on each Node into an empty project, and tries it in each Debian.
  --node MAJOR…      only these
  --debian RELEASE…  only these
docs/platforms.md gets the table when all were tried. Exit code 1 where something did not work.`;

const { values } = parseArgs({
  options: {
    node: { type: 'string', multiple: true },
    debian: { type: 'string', multiple: true },
    help: { type: 'boolean' },
  },
});

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(CHECKOUT, 'node_modules/.cache/trunkline-platforms');
const PAGE = join(CHECKOUT, 'docs/platforms.md');

/** Of one Node in one Debian: what each check found. */
interface Row {
  readonly node: string;
  readonly root: Root;
  readonly findings: readonly Finding[];
}

/** An empty project in which this Node's npm has installed the tarball. */
function installed(tarball: string, node: string, work: string): string {
  const project = join(work, `project-${node}`);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"name":"empty","version":"1.0.0","private":true}');
  // npm asks the Node that it runs on which packages fit.
  const args = [npm(), 'install', tarball, '--ignore-scripts', '--no-audit', '--no-fund'];
  execFileSync(join(nodeFolder(node, CACHE), 'node'), args, {
    cwd: project,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return project;
}

/** The npm that runs this, or that comes with this Node. */
function npm(): string {
  const running = process.env.npm_execpath;
  if (running?.endsWith('npm-cli.js')) return running;
  const prefix = dirname(dirname(process.execPath));
  return createRequire(join(prefix, 'lib/')).resolve('npm/bin/npm-cli.js');
}

async function tryOut(place: Place): Promise<Finding[]> {
  const findings: Finding[] = [];
  // One after the other: they would be late for each other.
  for (const check of CHECKS) findings.push(await check.run(place));
  return findings;
}

function withTable(page: string, rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const head = ['Node', 'Debian', 'glibc', ...CHECKS.map(({ title }) => title)];
  const table = [
    line(head),
    line(head.map(() => '---')),
    ...rows.map(({ node, root: { debian, glibc }, findings }) =>
      line([node, `${debian.release} ${debian.codename}`, glibc, ...findings.map(({ says }) => says)]),
    ),
  ];
  const [before, , after] = page.split(/^<!-- \/?platforms -->\n/m);
  if (before === undefined || after === undefined) throw new Error(`${PAGE} has no place for the table`);
  return `${before}<!-- platforms -->\n${table.join('\n')}\n<!-- /platforms -->\n${after}`;
}

async function run(): Promise<boolean> {
  const why = whyNot();
  if (why !== undefined) {
    console.log(`Skipped: the platforms (${why})`);
    return true;
  }
  const nodes = NODES.filter((node) => values.node?.includes(node.split('.')[0] as string) ?? true);
  const debians = DEBIANS.filter(({ release }) => values.debian?.includes(String(release)) ?? true);
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'work-'));
  const rows: Row[] = [];
  try {
    build();
    const tarball = pack(work);
    const roots = debians.map((debian) => Root.make(debian, CACHE));
    for (const node of nodes) {
      const project = installed(tarball, node, work);
      for (const root of roots) {
        const folders = { '/node': nodeFolder(node, CACHE), '/project': project, '/checkout': CHECKOUT };
        const command: Place['command'] = (args, env) => root.command(['node', ...args], folders, env);
        const findings = await tryOut({ node, root, command });
        rows.push({ node, root, findings });
        const cells = findings.map(({ says }, i) => `${CHECKS[i]?.title}: ${says}`);
        console.log(`Node ${node} on Debian ${root.debian.release}: ${cells.join(', ')}`);
        for (const { fault } of findings) if (fault) console.log(fault.replace(/^/gm, '    '));
      }
    }
  } finally {
    rmSync(work, { recursive: true });
  }
  if (rows.length === NODES.length * DEBIANS.length && existsSync(PAGE)) {
    writeFileSync(PAGE, withTable(readFileSync(PAGE, 'utf8'), rows));
  }
  return rows.every(({ findings }) => findings.every(({ fault }) => fault === undefined));
}

if (values.help) console.log(HELP);
else if (!(await run())) process.exitCode = 1;
