import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ARM, CLANG, FUZZER, GCC, ROOT, SANITIZED, type Toolchain, WASM } from './toolchain.js';

const CORPUS = join(ROOT, 'test/native/corpus');

/** What all kernels of all platforms make of one call: see HashCall in properties.cc. */
const HASH = 'b88d84832abb14ff';

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'trunkline-native-'));
});
afterAll(() => rmSync(work, { recursive: true }));

/** All at once: the compilers wait for each other, see toolchain.ts. */
describe.concurrent('the core', { timeout: 10 * 60_000 }, () => {
  describe('has kernels that are all the scalar one', () => {
    /** The kernel sets that ran, each as the scalar one and with the hash of all. */
    async function kernels(toolchain: Toolchain, rounds: number): Promise<string[]> {
      const program = await toolchain.program(work, 'properties');
      const { stdout, stderr } = await toolchain.run(program, [`${rounds}`]);
      const { stdout: hashes } = await toolchain.run(program, ['hash']);
      const names = hashes.match(/^\w+/gm) ?? [];
      expect(hashes).toBe(names.map((name) => `${name} ${HASH}\n`).join(''));
      expect(stdout).toBe(names.map((name) => `${name}: as the scalar kernels\n`).join(''));
      expect(stderr).toBe('');
      return names;
    }
    const here = process.arch === 'x64' ? ['sse2', 'scalar'] : ['scalar'];

    it('compiled by GCC', async (context) => {
      await GCC.need(context);
      expect(await kernels(GCC, 4000)).toEqual(expect.arrayContaining(here));
    });

    it('compiled by clang', async (context) => {
      await CLANG.need(context);
      expect(await kernels(CLANG, 500)).toEqual(expect.arrayContaining(here));
    });

    it('with AddressSanitizer and UndefinedBehaviorSanitizer, which find nothing', async (context) => {
      await SANITIZED.need(context);
      expect(await kernels(SANITIZED, 600)).toEqual(expect.arrayContaining(here));
    });

    it('on ARM: NEON, run by qemu', async (context) => {
      await ARM.need(context);
      expect(await kernels(ARM, 300)).toEqual(['neon', 'scalar']);
    });
  });

  // Of 400,000 inputs none later than 103,000 reached code that was new; of 1,024 bytes, a message is four blocks long.
  it.for(['message', 'base64'])('gives libFuzzer nothing to find: %s', async (name, context) => {
    await FUZZER.need(context);
    const program = await FUZZER.program(work, `fuzz-${name}`);
    // New finds go into the copy: the corpus of the checkout is only what somebody put there.
    const corpus = join(work, name);
    cpSync(join(CORPUS, name), corpus, { recursive: true });
    const crash = join(work, `crash-${name}-`);
    const limits = ['-runs=150000', '-seed=1', '-max_len=1024', '-rss_limit_mb=2048'];
    const failed = await FUZZER.run(program, [corpus, ...limits, `-artifact_prefix=${crash}`]).then(
      () => '',
      (error: { stderr: string }) => {
        const found = readdirSync(work).filter((file) => join(work, file).startsWith(crash));
        const inputs = found.map((file) => readFileSync(join(work, file)).toString('base64'));
        return `${error.stderr.slice(-4_000)}\ninput in base64: ${inputs.join(' ')}`;
      },
    );
    expect(failed).toBe('');
  });

  it('compiles to the WebAssembly modules that are checked in', async (context) => {
    await WASM.need(context);
    await WASM.run(process.execPath, ['native/wasm/build.mjs', '--check']);
  });
});
