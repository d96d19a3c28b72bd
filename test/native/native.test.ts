import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CORPUS = join(ROOT, 'test/native/corpus');
const MINUTES = 60_000;

/** What all kernels of all platforms make of one call: see HashCall in properties.cc. */
const HASH = '01fb187f7308e2ff';

/** The core without its two faces, whose kernels for other processors are empty. */
const CORE = ['native', 'native/kernels'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.cc') && name !== 'addon.cc')
    .map((name) => join(folder, name)),
);

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'trunkline-native-'));
});
afterAll(() => rmSync(work, { recursive: true }));

/** Whether a tool is there. CI has all of them: there, one that is missing is a failure. */
const has = (tool: string) => Boolean(process.env.CI) || spawnSync(tool, ['--version']).status === 0;

/** Another distribution's clang may give other bytes, and be as right. */
function isDebianClang(): boolean {
  return (
    Boolean(process.env.CI) ||
    spawnSync('clang++-16', ['--version'], { encoding: 'utf8' }).stdout.includes('Debian')
  );
}

async function compile(compiler: string, program: string, flags: readonly string[]): Promise<string> {
  const out = join(work, `${compiler}-${program}${flags.length}`);
  const sources = [...CORE, `test/native/${program}.cc`];
  await run(compiler, ['-std=c++17', '-Wall', '-Wextra', ...flags, ...sources, '-o', out], { cwd: ROOT });
  return out;
}

const SANITIZERS = ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

describe('every kernel set is the scalar one', () => {
  it.runIf(has('g++'))('compiled by GCC', { timeout: 3 * MINUTES }, async () => {
    const program = await compile('g++', 'properties', ['-O3']);
    const { stdout } = await run(program, []);
    expect(stdout).toMatch(/scalar: as the scalar kernels\n$/);
    if (process.arch === 'x64') expect(stdout).toContain('sse2: as');
    const { stdout: hashes } = await run(program, ['hash']);
    for (const line of hashes.trim().split('\n')) expect(line).toMatch(new RegExp(` ${HASH}$`));
  });

  it.runIf(has('clang++-16'))('compiled by clang', { timeout: 3 * MINUTES }, async () => {
    const program = await compile('clang++-16', 'properties', ['-O3']);
    await run(program, ['500']);
    const { stdout } = await run(program, ['hash']);
    for (const line of stdout.trim().split('\n')) expect(line).toMatch(new RegExp(` ${HASH}$`));
  });

  it.runIf(has('g++'))(
    'with AddressSanitizer and UndefinedBehaviorSanitizer, which find nothing',
    {
      timeout: 5 * MINUTES,
    },
    async () => {
      const program = await compile('g++', 'properties', SANITIZERS);
      const { stdout, stderr } = await run(program, ['600']);
      expect(stdout).toMatch(/scalar: as the scalar kernels\n$/);
      expect(stderr).toBe('');
    },
  );

  it.runIf(has('aarch64-linux-gnu-g++') && has('qemu-aarch64'))(
    'on ARM: NEON, run by qemu',
    {
      timeout: 5 * MINUTES,
    },
    async () => {
      const program = await compile('aarch64-linux-gnu-g++', 'properties', ['-O2', '-static']);
      const { stdout } = await run('qemu-aarch64', [program, '300']);
      expect(stdout).toBe('neon: as the scalar kernels\nscalar: as the scalar kernels\n');
      const { stdout: hashes } = await run('qemu-aarch64', [program, 'hash']);
      expect(hashes).toBe(`neon ${HASH}\nscalar ${HASH}\n`);
    },
  );
});

describe.each(['message', 'base64'])('libFuzzer at the %s', (name) => {
  it.runIf(has('clang++-16'))('finds nothing in a bounded time', { timeout: 3 * MINUTES }, async () => {
    const program = await compile('clang++-16', `fuzz-${name}`, [
      '-O1',
      '-g',
      '-fsanitize=fuzzer,address,undefined',
      '-fno-sanitize-recover=all',
    ]);
    // New finds go into the copy: the corpus of the checkout is only what somebody put there.
    const corpus = join(work, name);
    cpSync(join(CORPUS, name), corpus, { recursive: true });
    const fuzz = [corpus, '-max_total_time=15', '-seed=1', '-max_len=4096', '-rss_limit_mb=2048'];
    const failed = await run(program, [...fuzz, `-artifact_prefix=${work}/crash-`], {
      maxBuffer: 2 ** 26,
    }).then(
      () => '',
      (error: { stderr: string }) => {
        const found = readdirSync(work).filter((file) => file.startsWith('crash-'));
        const inputs = found.map((file) => readFileSync(join(work, file)).toString('base64'));
        return `${error.stderr.slice(-4_000)}\ninput in base64: ${inputs.join(' ')}`;
      },
    );
    expect(failed).toBe('');
  });
});

it.runIf(has('clang++-16') && has('wasm-ld-16') && isDebianClang())(
  'the WebAssembly modules are what the sources compile to',
  {
    timeout: 2 * MINUTES,
  },
  async () => {
    await run(process.execPath, ['native/wasm/build.mjs', '--check'], { cwd: ROOT });
  },
);
