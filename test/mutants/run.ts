import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { CHECKOUT, Copy } from './copy.js';
import { FAULTS, type Fault, mistakesOf } from './faults.js';
import { stop, vitest } from './vitest.js';

/** So many of all faults have to be found, and of some of them each. */
const LEAST = { 'npm test': 36, 'test:all': 39 } as const;
/** Tests that take so many times as long as without a fault, and a minute, hang. */
const PATIENCE = 3;
/** A test that fails, and by itself does not fail again, found nothing: all are run so often then. */
const TRIES = 3;

const HELP = `Plants one fault after the other in a copy of the checkout, and tells which test finds it.
  --only NAME…   these faults
  --all          what \`npm test\` does not find is looked for by the rest of \`npm run test:all\`
  --near         only by the tests nearest to each fault: a quick look
  --json FILE    what came of it, for machines
Exit code 1 where \`npm test\` finds fewer than ${LEAST['npm test']}, or with --all both fewer than ${LEAST['test:all']}.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', multiple: true },
    all: { type: 'boolean' },
    near: { type: 'boolean' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});

interface Suite {
  readonly name: keyof typeof LEAST;
  /** As arguments for vitest. */
  readonly projects: readonly string[];
}

interface Result extends Fault {
  readonly by: Suite['name'] | undefined;
  /** Its project, file and name. */
  readonly test: string | undefined;
  readonly seconds: number;
}

/** The faults that were asked for. @throws Error that names every mistake in the list, and in what was asked for */
function chosen(): readonly Fault[] {
  const names = [...(values.only ?? []), ...positionals];
  const unknown = names.filter((name) => !FAULTS.some((fault) => fault.name === name));
  const mistakes = [...unknown.map((name) => `${name}: no such fault`), ...mistakesOf(FAULTS, CHECKOUT)];
  if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
  return names.length === 0 ? FAULTS : FAULTS.filter(({ name }) => names.includes(name));
}

function suites(): readonly Suite[] {
  const { scripts } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8'));
  const projects: string[] = scripts.test.split(' ').slice(2);
  const others = projects.map((word) => (word.startsWith('--') ? word : `!${word}`));
  const own = { name: 'npm test', projects } as const;
  return values.all ? [own, { name: 'test:all', projects: others }] : [own];
}

/** The tests that mirror a source file: those of its folder, or of the nearest above it that has some. */
function nearTo({ file }: Fault): string {
  if (file.startsWith('native/')) return 'test/media/';
  const mirror = file.replace(/^src/, 'test');
  if (dirname(mirror) === 'test') return mirror.replace(/\.ts$/, '.test.ts');
  let folder = dirname(mirror);
  while (!existsSync(join(CHECKOUT, folder))) folder = dirname(folder);
  return `${folder}/`;
}

/** The test that finds the fault which is planted; none where all pass. */
async function finder(root: string, { projects }: Suite, paths: readonly string[], limit: number) {
  for (let tries = 0; tries < TRIES; tries++) {
    const { isGreen, failure, file } = await vitest(root, [...projects, ...paths], limit);
    if (isGreen) return undefined;
    if (file === undefined || !(await vitest(root, [...projects, file], limit)).isGreen) return failure;
    console.log(`failed once, and not again: ${failure}`);
  }
  return undefined;
}

async function run(faults: readonly Fault[], copy: Copy): Promise<Result[]> {
  const { root } = copy;
  copy.check(faults);
  const limits = new Map<Suite, number>();
  for (const suite of suites()) {
    const near = values.near ? new Set(faults.map(nearTo)) : [];
    const { isGreen, failure, seconds } = await vitest(root, [...suite.projects, ...near]);
    if (!isGreen) throw new Error(`Expected ${suite.name} to pass without a fault but received ${failure}`);
    console.log(`${suite.name} passes without a fault in ${seconds.toFixed(0)} s`);
    limits.set(suite, Math.ceil(60 + PATIENCE * seconds));
  }
  const results: Result[] = [];
  for (const fault of faults) {
    const begun = performance.now();
    let by: Suite['name'] | undefined;
    let test: string | undefined;
    copy.plant(fault);
    for (const [suite, limit] of limits) {
      by = suite.name;
      if (by === 'npm test') test = await finder(root, suite, [nearTo(fault)], limit);
      if (!values.near) test ??= await finder(root, suite, [], limit);
      if (test !== undefined) break;
    }
    copy.takeOut();
    const seconds = Math.round((performance.now() - begun) / 1_000);
    results.push({ ...fault, by: test === undefined ? undefined : by, test, seconds });
    console.log(`${fault.name}, ${seconds} s: ${test ?? `NOT FOUND, ${fault.file}: ${fault.why}`}`);
  }
  return results;
}

/** Whether enough was found. */
function judge(results: readonly Result[]): boolean {
  const isWhole = results.length === FAULTS.length;
  let count = 0;
  const isEnough = suites().map(({ name }, i, { length }) => {
    count += results.filter(({ by }) => by === name).length;
    const least = isWhole ? LEAST[name] : i + 1 === length ? results.length : 0;
    console.log(`${name} finds ${count} of ${results.length}, and has to find ${least}`);
    return count >= least;
  });
  return isEnough.every((each) => each);
}

async function main(): Promise<boolean> {
  const faults = chosen();
  const copy = new Copy();
  const end = () => {
    stop();
    copy.remove();
    process.exit(1);
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    const results = await run(faults, copy);
    const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
    if (values.json) writeFileSync(values.json, `${JSON.stringify({ results, seconds }, null, 2)}\n`);
    console.log(`${seconds} s`);
    return judge(results);
  } finally {
    copy.remove();
  }
}

try {
  if (values.help) console.log(HELP);
  else if (!(await main())) process.exitCode = 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
