import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import { BUILT_ADDON as addon, loadAddon } from '../../src/media/addon.js';
import { chooseCore, firstOf } from '../../src/media/backend.js';
import { checkCore, fingerprint } from '../../src/media/self-test.js';
import { core, frame, info, message, samples } from '../../src/media/thread-core.js';
import { loadWasm, WASM_MODULES } from '../../src/media/wasm.js';

const run = promisify(execFile);
const compiled = new URL('../../dist/media/thread-core.js', import.meta.url).href;
const [simd = '', plain = ''] = WASM_MODULES;
const hasAddon = existsSync(addon);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'trunkline-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function failure(call: () => unknown): GatewayError {
  try {
    call();
  } catch (error) {
    return error as GatewayError;
  }
  throw new Error('Expected it to throw');
}

const nativeAt = (file: string) => ({ file, load: () => loadAddon(file) });
const wasmAt = (file: string) => ({ file, load: () => loadWasm(file) });

describe('the core', () => {
  test('says what it is and where its memory lies', () => {
    expect(['native', 'wasm']).toContain(core.backend);
    expect(core.origin).toMatch(/^(build|prebuilds|native)\//);
    const { slab, layout } = core;
    expect([samples, frame, message, info].every((view) => view.buffer === slab)).toBe(true);
    expect([samples.length, frame.length, info.length]).toEqual([6 * (49_152 + 1600), 960, 4]);
    expect(message.length).toBeGreaterThanOrEqual(10_668 + 64 + 55);
    const regions = [
      [layout.info, 32],
      [layout.samples, 2 * layout.samplesCapacity],
      [layout.message, layout.messageCapacity],
    ] as const;
    let end = 0;
    for (const [offset, bytes] of regions) {
      expect(offset).toBeGreaterThanOrEqual(end);
      end = offset + bytes;
    }
    expect(end).toBeLessThanOrEqual(slab.byteLength);
  });

  test('loads from what tsc wrote as it does from the sources', async () => {
    const script = `const { core } = await import(${JSON.stringify(compiled)}); console.log(core.backend, core.kernels, core.liveTranscoders())`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe(`${core.backend} ${core.kernels} 0\n`);
  });
});

describe('the choice', () => {
  test.each(['', ' ', undefined, 'auto', ' auto '])('TRANSCODER=%s takes the best there is', (wanted) => {
    expect(chooseCore(wanted)).toMatchObject({ backend: hasAddon ? 'native' : 'wasm' });
  });

  test.each([
    ['wasm', 'simd128', 'trunkline-simd.wasm'],
    [' wasm ', 'simd128', 'trunkline-simd.wasm'],
    ['wasm-simd', 'simd128', 'trunkline-simd.wasm'],
    ['wasm-scalar', 'scalar', 'trunkline.wasm'],
  ])('TRANSCODER=%s is WebAssembly with the kernels %s', (wanted, kernels, file) => {
    expect(chooseCore(wanted)).toMatchObject({ backend: 'wasm', kernels, origin: `native/wasm/${file}` });
  });

  test('rejects an unknown word in one line', () => {
    const error = failure(() => chooseCore('fast'));
    expect(error).toMatchObject({ code: 'GW_TRANSCODER_UNKNOWN' });
    expect(error.message).toBe('Expected auto, native or wasm for TRANSCODER but received "fast"');
  });

  test('falls back to WebAssembly without an addon, and says why', () => {
    const missing = join(directory, 'missing.node');
    const chosen = firstOf([nativeAt(missing), wasmAt(simd), wasmAt(plain)]);
    expect(chosen).toMatchObject({ backend: 'wasm', kernels: 'simd128' });
    expect(chosen.origin).toBe(
      `native/wasm/trunkline-simd.wasm; not ${missing}: Cannot find module '${missing}'`,
    );
  });

  test('skips a file that is neither an addon nor a module', () => {
    const broken = join(directory, 'broken.node');
    writeFileSync(broken, 'not a shared library');
    const engineTooOld = join(directory, 'new.wasm');
    writeFileSync(engineTooOld, Buffer.from('0061736d02000000', 'hex'));
    const chosen = firstOf([nativeAt(broken), wasmAt(engineTooOld), wasmAt(plain)]);
    expect(chosen).toMatchObject({ backend: 'wasm', kernels: 'scalar' });
    expect(chosen.origin).toContain(`not ${broken}: `);
    expect(chosen.origin).toContain(`not ${engineTooOld}: `);
  });

  test('reports what was tried and what to do if only the addon is allowed', () => {
    const missing = [join(directory, 'Release.node'), join(directory, 'Debug.node')];
    const error = failure(() => firstOf(missing.map(nativeAt), 'native'));
    expect(error).toBeInstanceOf(GatewayError);
    expect(error.code).toBe('GW_NATIVE_MISSING');
    for (const file of missing) expect(error.message).toContain(`${file}: Cannot find module '${file}'`);
    expect(error.message).toMatch(
      new RegExp(`${process.platform}-${process.arch}[ a-z]*, Node ${process.version}`),
    );
    expect(error.message).toContain('npm run prepare');
    expect(error.message).toContain('TRANSCODER=wasm');
    expect(error.message).not.toContain('Require stack');
  });

  test('reports what was tried if only WebAssembly is allowed', () => {
    const error = failure(() => firstOf([wasmAt(join(directory, 'missing.wasm'))], 'wasm'));
    expect(error.code).toBe('GW_WASM_MISSING');
    expect(error.message).toContain('missing.wasm: ');
  });

  test.runIf(hasAddon)('kernels that this processor has not are refused', () => {
    const other = process.arch === 'x64' ? 'native-neon' : 'native-avx2';
    expect(failure(() => chooseCore(other)).message).toContain('for the kernels but received');
  });
});

describe('the self-test', () => {
  test('every backend of this machine gives the same bytes', () => {
    const names = ['native-avx512', 'native-avx2', 'native-sse2', 'native-neon', 'native-scalar'];
    const found = [...names, 'wasm-simd', 'wasm-scalar'].flatMap((name) => {
      try {
        return [fingerprint(chooseCore(name))];
      } catch (error) {
        // Not of this processor, or no addon: anything else is a failure.
        expect(error).toMatchObject({ code: 'GW_NATIVE_MISSING' });
        return [];
      }
    });
    expect(found.length).toBeGreaterThanOrEqual(hasAddon ? 4 : 2);
    expect(new Set(found).size).toBe(1);
    expect(() => checkCore(core)).not.toThrow();
  });

  test('sees the lowest bit of taps all over both tables', () => {
    const scalar = loadWasm(plain);
    const right = fingerprint(core);
    const memory = Buffer.from(scalar.slab);
    // Where either table begins: row 0 of the up table, in Q15, and of the down table, in Q18.
    for (const row of [
      [9, 33, 89, 202, 407, 748],
      [12, 44, 119, 270, 543, 998],
    ]) {
      const begin = memory.indexOf(Buffer.from(Int16Array.from(row).buffer));
      expect(begin).toBeGreaterThan(0);
      const flip = (tap: number) => {
        memory[begin + 2 * tap] = (memory[begin + 2 * tap] as number) ^ 1;
      };
      for (let tap = 0; tap < 312; tap += 5) {
        flip(tap);
        expect(fingerprint(scalar), `tap ${tap} of ${row}`).not.toBe(right);
        flip(tap);
      }
    }
    expect(fingerprint(scalar)).toBe(right);
  });

  test('refuses a module with one bit of a tap changed', () => {
    const bytes = readFileSync(plain);
    // Row 0 of the up table, Q15: 9, 33, 89, 202, 407, 748.
    const taps = Buffer.from(Int16Array.of(9, 33, 89, 202, 407, 748).buffer);
    const at = bytes.indexOf(taps);
    expect(at).toBeGreaterThan(0);
    bytes[at + 10] = (bytes[at + 10] as number) ^ 1;
    const wrong = join(directory, 'wrong.wasm');
    writeFileSync(wrong, bytes);
    const chosen = firstOf([wasmAt(wrong), wasmAt(plain)]);
    expect(chosen.origin).toMatch(
      /^native\/wasm\/trunkline\.wasm; not .*wrong\.wasm: Expected [0-9a-f]{16} for the self-test/,
    );
    expect(failure(() => firstOf([wasmAt(wrong)], 'wasm')).code).toBe('GW_WASM_MISSING');
  });
});
