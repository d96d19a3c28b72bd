import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { table } from '../src/cli/table.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const ROUNDS = 15;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM = 'dist/cli/trunkline.js';
const COMMANDS = ['serve', 'demo', 'simulate', 'call', 'doctor'];

/** What is started, by name: the arguments of Node. */
const STARTS: Readonly<Record<string, readonly string[]>> = {
  'node, for comparison': ['--eval', '0'],
  ...Object.fromEntries(
    [['--help'], ...COMMANDS.map((command) => [command, '--help']), ['--version']].map((args) => [
      `trunkline ${args.join(' ')}`,
      [PROGRAM, ...args],
    ]),
  ),
  "import 'trunkline'": ['--input-type=module', '--eval', "import 'trunkline'"],
  "import 'trunkline/simulator'": ['--input-type=module', '--eval', "import 'trunkline/simulator'"],
};

export interface StartupResult {
  readonly machine: Machine;
  /** Milliseconds from start to exit. */
  readonly rows: readonly { readonly name: string; readonly medianMs: number; readonly leastMs: number }[];
}

/** How long somebody waits for a command that does nothing yet, and for the library. */
export async function benchStartup(): Promise<void> {
  const at = machine();
  console.log(`\nFrom start to exit, ${ROUNDS} times each (${machineLine(at)})`);
  const times = new Map<string, number[]>(Object.keys(STARTS).map((name) => [name, []]));
  // In turn, so that a machine that is busy for a while is so for all; the first round is for its file cache.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, args] of Object.entries(STARTS)) {
      const ms = timed(args);
      if (round > 0) times.get(name)?.push(ms);
    }
  }
  const rows = [...times].map(([name, of]) => {
    const sorted = of.sort((a, b) => a - b);
    return { name, medianMs: sorted[sorted.length >> 1] as number, leastMs: sorted[0] as number };
  });
  console.log(
    table(
      ['milliseconds', 'median', 'least'],
      rows.map(({ name, medianMs, leastMs }) => [name, medianMs.toFixed(0), leastMs.toFixed(0)]),
    ),
  );
  writeResult('startup', { machine: at, rows } satisfies StartupResult);
}

function timed(args: readonly string[]): number {
  const begun = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0)
    throw new Error(`Expected exit code 0 of ${args.join(' ')} but received ${status}: ${stderr}`);
  return performance.now() - begun;
}
