import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, SANITIZED } from './toolchain.js';

const CHILD = join(ROOT, 'test/native/addon-child.mjs');
const SHIPPED = join(ROOT, 'build/Release/trunkline.node');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'trunkline-sanitized-'));
});
afterAll(() => rmSync(work, { recursive: true }));

let face: Promise<string> | undefined;
/** The addon as built by node-gyp, but with sanitizers, and optionally with another source of the core. */
async function build(name: string, except: readonly string[] = [], instead: readonly string[] = []) {
  // Its first line is a comment.
  const { nodedir } = JSON.parse(read('build/config.gypi').replace(/^#.*/, '')).variables;
  const folders = [`${nodedir}/include/node`, 'node_modules/node-addon-api', 'native'];
  const { defines } = JSON.parse(read('binding.gyp')).targets[0];
  const flags = [...folders.map((folder) => `-I${folder}`), ...defines.map((name: string) => `-D${name}`)];
  face ??= SANITIZED.make(join(work, 'face.o'), ['native/addon.cc'], ['-c', ...flags]);
  const inputs = [face, ...(await SANITIZED.core(except)), ...instead];
  return SANITIZED.make(join(work, `${name}.node`), await Promise.all(inputs), ['-shared', ...flags]);
}

/** Calls an addon with random arguments. Returns its faults, and the result of each call. */
async function drive(
  addon: string,
  runs: number,
  ...how: 'unshrunk'[]
): Promise<{ faults: string; calls: string }> {
  const seed = Date.now() % 2 ** 31;
  const libasan = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  const { stdout, stderr }: { stdout: string; stderr: string } = await SANITIZED.run(
    process.execPath,
    ['--expose-gc', CHILD, addon, SHIPPED, `${seed}`, `${runs}`, ...how],
    { ...process.env, LD_PRELOAD: libasan, UBSAN_OPTIONS: 'print_stacktrace=1' },
  ).catch((error) => error);
  const [said = '', leaks = ''] = stderr.split(/^=+\n.*LeakSanitizer: detected memory leaks/m);
  // Node may leave its own memory behind.
  const ours = leaks.split('\n\n').filter((leak) => /trunkline::|native\/|node-addon-api/.test(leak));
  const faults = [said, ...ours].join('\n\n').trim();
  return { faults: faults && `seed ${seed}: ${faults}`, calls: stdout };
}

describe.concurrent('the addon with AddressSanitizer and UndefinedBehaviorSanitizer', {
  timeout: 10 * 60_000,
}, () => {
  it('behaves like the shipped one for any arguments, without undefined behaviour', async (context) => {
    await SANITIZED.need(context);
    const { faults, calls } = await drive(await build('addon'), 100);
    expect(faults).toBe('');
    for (const [call, { taken, thrown }] of Object.entries<Record<string, number>>(JSON.parse(calls))) {
      expect(taken, call).toBeGreaterThan(0);
      if (!['liveTranscoders', 'forget'].includes(call)) expect(thrown, call).toBeGreaterThan(0);
    }
  });

  it.for([
    [
      'reads a byte too far',
      'base64',
      'if (length == 0) return 0;',
      // Which hardly ever changes the answer: a wrong one would be another fault.
      'if (length == 0) return 0; if (text[length] == 7) return -1;',
      /heap-buffer-overflow/,
    ],
    [
      'counts too far',
      'media_message',
      'int64_t number = 0',
      'int32_t number = 0',
      /signed integer overflow/,
    ],
    ['forgets its memory', 'mixer', 'int32_t total[', 'auto* total = new int32_t[', /Direct leak/],
    ['rounds otherwise', 'payload', 'sample + 2', 'sample + 1', /Property failed/],
  ] as const)('is caught when it %s', async ([, name, from, to, fault], context) => {
    await SANITIZED.need(context);
    const source = read(`native/${name}.cc`);
    expect(source).toContain(from);
    writeFileSync(join(work, `${name}.cc`), source.replaceAll(from, to));
    const addon = await build(name, [`native/${name}.cc`], [join(work, `${name}.cc`)]);
    expect((await drive(addon, 20, 'unshrunk')).faults).toMatch(fault);
  });
});
