import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { programFor } from '../../src/cli/command-line.js';
import { Shell } from '../../src/cli/shell.js';
import { openApiDocument } from '../../src/http/openapi/document.js';
import { ajv, paths } from '../support/documented.js';
import { startGateway } from '../support/gateway.js';
import { InstalledProject, manifest, ROOT } from '../support/installed.js';
import { needs } from '../support/needs.js';
import { shellCommands } from '../support/shell-commands.js';
import { blocks, PAGES, type Snippet, snippets } from '../support/snippets.js';

const all = PAGES.flatMap(blocks);
const place = ({ page, line }: Snippet) => `${page}:${line}`;
const checked = (language: string) =>
  all.filter((block) => block.language === language && block.unchecked === undefined);

/** Where programs lie that users copy. */
const EXAMPLES = ['docs/examples', 'src/agents/examples/phone-rag'];

/** Languages of others: their programs check them in test/deploy and test/fleet, or they show output. */
const OTHER_LANGUAGES = ['text', 'nginx', 'haproxy', 'ini', 'promql', 'xml', 'caddy', 'dockerfile'];

describe('every page', () => {
  it.each(PAGES)('%s has its code in fences that name their language', (page) => {
    for (const block of blocks(page)) {
      const known = ['ts', 'js', 'sh', 'python', 'json', 'yaml', ...OTHER_LANGUAGES];
      expect(known, place(block)).toContain(block.language);
      if (block.unchecked !== undefined) expect(block.unchecked.length, place(block)).toBeGreaterThan(10);
    }
    // Code by indentation, which no test sees: four spaces after an empty line, and not within a list.
    const text = readFileSync(join(ROOT, page), 'utf8').replaceAll(/^( *)```[\s\S]*?^\1```$/gm, '');
    expect(text.match(/(?<=^(?![-*\d ]).*\n\n) {4}\S.*$/gm)).toBeNull();
  });
});

describe('code', () => {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const project = new InstalledProject(
    (name) => !name.startsWith('uWebSockets.js'),
    [...Object.keys(devDependencies).filter((name) => !name.includes('kubernetes')), 'undici-types'],
  );
  afterAll(() => project.remove());

  it('in TypeScript compiles in a strict project, against the declarations of the package', () => {
    const examples = EXAMPLES.flatMap((folder) =>
      readdirSync(join(ROOT, folder))
        .filter((name) => name.endsWith('.ts'))
        .map((name) => `${folder}/${name}`),
    );
    const files = [
      ...checked('ts').map(({ page, line, given, code }) =>
        // In its own module, with the lines of its page.
        project.write(
          `${page.replace(/\W/g, '-')}/${line}.ts`,
          `export {}; ${given.replaceAll('\n', ' ')}\n${code}`,
        ),
      ),
      ...examples.map((file) => project.write(file, readFileSync(join(ROOT, file), 'utf8'))),
    ];
    expect(files.length).toBeGreaterThan(15);
    const options = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      // Express, Fastify and Stream have mistakes of their own.
      skipLibCheck: true,
      target: 'ES2022',
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      types: ['node'],
    };
    const config = project.write('tsconfig.json', JSON.stringify({ compilerOptions: options, files }));
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', config], {
      cwd: project.path,
      encoding: 'utf8',
    });
    expect([stdout, status]).toEqual(['', 0]);
  });

  it('in JSON and YAML parses', () => {
    for (const block of checked('json')) expect(() => JSON.parse(block.code), place(block)).not.toThrow();
    for (const block of checked('yaml'))
      for (const { errors } of parseAllDocuments(block.code)) expect(errors, place(block)).toEqual([]);
  });

  const hasPython = needs(
    'Python 3',
    'apt-get install python3',
    () => spawnSync('python3', ['-c', '']).status === 0,
  );

  it.runIf(hasPython)('in Python compiles', () => {
    const folder = mkdtempSync(join(tmpdir(), 'trunkline-python-'));
    try {
      const files = checked('python').map(({ page, line, code }) => {
        const file = join(folder, `${page.replace(/\W/g, '-')}-${line}.py`);
        // A piece may await as if it were within a function.
        writeFileSync(file, /^(async )?def |^(import|from) /m.test(code) ? code : asyncFunction(code));
        return file;
      });
      expect(files.length).toBeGreaterThan(0);
      const examples = readdirSync(join(ROOT, 'docs/examples')).filter((name) => name.endsWith('.py'));
      for (const file of [...files, ...examples.map((name) => join(ROOT, 'docs/examples', name))]) {
        // Compiled and not kept.
        const program =
          'import sys; compile(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1], "exec")';
        const { stderr } = spawnSync('python3', ['-c', program, file], { encoding: 'utf8' });
        expect(stderr).toBe('');
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function asyncFunction(code: string): string {
  return `async def piece():\n${code.replaceAll(/^(?=.)/gm, '    ')}`;
}

describe('commands', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const settings = settingNames();
  const blocksOfShell = checked('sh');

  /** The commands of all blocks; what a page assigned counts in its later blocks. */
  const commands = PAGES.flatMap((page) => {
    const variables: Record<string, string> = {};
    return blocksOfShell
      .filter((block) => block.page === page)
      .flatMap((block) =>
        shellCommands(block.code, variables).map((command) => ({ ...command, block, variables })),
      );
  });

  /** Programs of others, which are used as their makers say. */
  const OTHER_PROGRAMS = [
    ...[
      'export',
      'cd',
      'cp',
      'mkdir',
      'chmod',
      'cat',
      'kill',
      'tar',
      'git',
      'openssl',
      'jq',
      'grep',
      'watch',
    ],
    ...[
      'docker',
      'helm',
      'kubectl',
      'systemctl',
      'journalctl',
      'sudo',
      'apt-get',
      'ngrok',
      'pip',
      'uv',
      'sysctl',
    ],
    ...['redis-cli', 'createdb', 'ffmpeg', 'sox', 'tail', 'promtool', 'useradd', 'install', 'ss', 'ulimit'],
  ];

  type Check = (args: readonly string[], block: Snippet | undefined) => void | Promise<void>;
  const CHECKS: Readonly<Record<string, Check>> = {
    npx(args, block) {
      const [program = '', ...rest] = args.filter((arg) => arg !== '--yes' && arg !== '-y');
      if (program === 'trunkline') return checkTrunkline(rest, block);
      expect(['tsx', 'vitest', 'biome', 'tsc']).toContain(program);
      if (program === 'tsx') checkFile(rest[0]);
    },
    trunkline: checkTrunkline,
    async node(args, block) {
      if (args[0]?.endsWith('dist/cli/trunkline.js')) await checkTrunkline(args.slice(1), block);
      else checkFile(args.find((arg) => !arg.startsWith('-')));
    },
    async npm([command = '', ...args], block) {
      if (['ci', 'pack', 'version'].includes(command)) return;
      if (['i', 'install', 'add'].includes(command)) {
        for (const name of args.filter((arg) => !arg.startsWith('-'))) checkPackage(name);
        return;
      }
      const [script = '', ...rest] = command === 'run' ? args : [command, ...args];
      // `npm run test:NAME` stands for all of them.
      if (/[A-Z]/.test(script)) return;
      expect(Object.keys(scripts)).toContain(script);
      const flags = rest[0] === '--' ? rest.slice(1) : rest;
      // `npm run demo` is `trunkline demo`, with the double of Stream.
      const [, own] =
        script === 'demo'
          ? [script, script]
          : (/(?:dist|src)\/cli\/trunkline\.[jt]s (\w+)/.exec(scripts[script] ?? '') ?? []);
      if (own !== undefined) await checkTrunkline([own, ...flags], block);
      else if (script === 'bench') {
        const benches = readFileSync(join(ROOT, 'bench/run.ts'), 'utf8');
        for (const name of flags) expect(benches).toMatch(new RegExp(`^ {2}'?${name}'?: bench`, 'm'));
      } else expect(flags.filter((flag) => flag.startsWith('-'))).toEqual([]);
    },
    python3([file]) {
      if (file !== '-m') checkFile(file);
    },
    curl: checkCurl,
  };

  it('run known programs only, and assign only settings or variables that they use', async () => {
    expect(commands.length).toBeGreaterThan(20);
    for (const { words, assigned, block } of commands) {
      for (const name of Object.keys(assigned)) {
        const isUsed = all.some(({ page, code }) => page === block.page && code.includes(`$${name}`));
        expect(settings.has(name) || isUsed, `${place(block)} assigns ${name}`).toBe(true);
      }
      const [program = 'export'] = words;
      expect(
        [...Object.keys(CHECKS), ...OTHER_PROGRAMS],
        `${place(block)} runs ${words.join(' ')}`,
      ).toContain(program);
    }
  });

  it.each(
    commands
      .filter(({ words: [program = ''] }) => program in CHECKS)
      .map(({ words, block }) => [`${place(block)}: ${words.join(' ')}`, words, block] as const),
  )('%s', async (_, [program = '', ...args], block) => {
    await CHECKS[program]?.(args, block);
  });

  /** Commands within sentences: `npx trunkline doctor`. */
  const mentions = PAGES.flatMap((page) => {
    const text = readFileSync(join(ROOT, page), 'utf8').replaceAll(/^( *)```[\s\S]*?^\1```$/gm, '');
    const said = text.matchAll(/`((?:npx trunkline|npm run) [^`]+|curl [^`]*https?:[^`]+)`/g);
    return [...said].map(([, command = '']) => [page, command] as const);
  });

  it.each(mentions)('%s mentions `%s`', async (_, said) => {
    for (const { words } of shellCommands(said)) {
      const [program = '', ...args] = words;
      await CHECKS[program]?.(args, undefined);
    }
  });
});

describe('names', () => {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
    .join('\n');

  it.each(PAGES)('of error codes and metrics in %s exist', async (page) => {
    const text = readFileSync(join(ROOT, page), 'utf8');
    for (const [code] of text.matchAll(/\bGW_[A-Z0-9_]*[A-Z0-9]\b/g)) expect(sources, code).toContain(code);
    const names = [...text.matchAll(/\btrunkline_([a-z0-9_]*[a-z0-9])\b/g)].map(([, name]) => name ?? '');
    if (names.length === 0) return;
    const { url } = await startGateway();
    // Those of the Stream bridge are there with that bridge alone.
    const known = `${sources}\n${await (await fetch(`${url}/metrics`)).text()}`;
    for (const name of names)
      expect(known.includes(name.replace(/_(bucket|sum|count)$/, '')), name).toBe(true);
  });
});

/** A file that a page names: where the page lies, at the top, or among the examples. */
function checkFile(file = ''): void {
  const places = ['', 'docs', 'docs/examples', 'deploy'].map((folder) => join(ROOT, folder, file));
  expect(places.some(existsSync), `a file ${file}`).toBe(true);
}

function checkPackage(name: string): void {
  const { dependencies, optionalDependencies } = manifest;
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const known = { trunkline: '', ...dependencies, ...optionalDependencies, ...devDependencies };
  const isOurs = name.startsWith('uNetworking/') || /^\.?\/?trunkline-.*\.tgz$/.test(name);
  if (!isOurs) expect(Object.keys(known)).toContain(name.replace(/(?<=.)@[\d.]+$/, ''));
}

/** The command line takes these arguments. @param block where the whole command stands; a mention may leave out flags */
async function checkTrunkline(args: readonly string[], block?: Snippet): Promise<void> {
  const said: string[] = [];
  const program = (await programFor(new Shell({ env: {} }), args)).configureOutput({
    writeOut: () => {},
    writeErr: (text) => said.push(text),
  });
  for (const command of program.commands) command.copyInheritedSettings(program).action(() => {});
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'commander.version' || code === 'commander.helpDisplayed') return;
    if (block === undefined && code === 'commander.missingMandatoryOptionValue') return;
    expect.fail(`trunkline ${args.join(' ')}: ${said.join('')}${error}`);
  }
}

const VALUED = [
  '-X',
  '-H',
  '-d',
  '-o',
  '-u',
  '--data',
  '--data-binary',
  '--header',
  '--request',
  '--max-time',
];

/** A gateway knows the path and the method that curl asks for, and its body is what `/v1/openapi.json` says. */
async function checkCurl(args: readonly string[]): Promise<void> {
  const values = new Map<string, string>();
  let address: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (VALUED.includes(arg)) values.set(arg, args[++i] ?? '');
    else if (!arg.startsWith('-')) address = arg;
    else expect(arg, 'a flag of curl').toMatch(/^-[sSNifLkvG]+$|^--(fail|silent|include)$/);
  }
  expect(address).toMatch(/^https?:\/\//);
  const { pathname } = new URL(address as string);
  const data = values.get('-d') ?? values.get('--data');
  const hasBody = data !== undefined || values.has('--data-binary');
  const method = values.get('-X') ?? values.get('--request') ?? (hasBody ? 'POST' : 'GET');
  const controlApiKey = 'key-of-these-pages';
  const { url } = await startGateway({ controlApiKey, recordDir: tmpdir(), playDir: tmpdir() });
  const answer = await fetch(url + pathname, {
    method: 'OPTIONS',
    headers: { authorization: `Bearer ${controlApiKey}` },
  });
  expect([pathname, answer.status]).toEqual([pathname, 204]);
  expect(answer.headers.get('allow')?.split(', ')).toContain(method);
  if (data === undefined || !pathname.startsWith('/v1')) return;
  const schema = bodySchema(pathname, method.toLowerCase());
  const { components } = openApiDocument;
  const validate = ajv.compile({ ...schema, components });
  expect(validate(JSON.parse(data)), `${data}: ${ajv.errorsText(validate.errors)}`).toBe(true);
}

function bodySchema(pathname: string, method: string): object {
  const path = Object.keys(paths).find((each) =>
    new RegExp(`^${each.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(pathname),
  );
  const operation = paths[path ?? '']?.[method] as
    | { readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> } }
    | undefined;
  const schema = operation?.requestBody?.content['application/json']?.schema;
  if (schema === undefined) throw new Error(`Expected a body of ${method} ${pathname} in /v1/openapi.json`);
  return schema;
}

/** Every variable that the gateway or a command reads. */
function settingNames(): Set<string> {
  const sources = ['src', 'src/cli'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(ROOT, folder, name), 'utf8')),
  );
  const names = sources.flatMap((text) => text.match(/\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)*\b/g) ?? []);
  return new Set([...names, 'UWS_HTTP_MAX_HEADERS_SIZE', 'NODE_OPTIONS']);
}

it.each(['express', 'fastify'])('docs/library.md shows the example of %s as it is run', (name) => {
  const code = readFileSync(join(ROOT, `docs/examples/library-${name}.ts`), 'utf8');
  expect(snippets('docs/library.md', 'ts')).toContain(code);
});

it('docs/library.md names every option of a signed request', () => {
  const page = readFileSync(join(ROOT, 'docs/library.md'), 'utf8');
  const source = readFileSync(join(ROOT, 'src/twilio/signed-request.ts'), 'utf8');
  const [, body = ''] = /interface SignedRequestOptions \{([\s\S]*?)\n\}/.exec(source) ?? [];
  const names = [...body.matchAll(/readonly (\w+)\?:/g)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(2);
  for (const name of names) expect(page).toContain(`| \`${name}\` |`);
});
