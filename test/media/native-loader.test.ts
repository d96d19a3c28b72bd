import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import { core, frame, info, loadCore, message, samples } from '../../src/media/native.js';

const run = promisify(execFile);
const compiled = new URL('../../dist/media/native.js', import.meta.url).href;
const addon = fileURLToPath(new URL('../../build/Release/trunkline.node', import.meta.url));

function failure(paths: string[]): GatewayError {
  try {
    loadCore(paths);
  } catch (error) {
    return error as GatewayError;
  }
  throw new Error('Expected loadCore to throw');
}

describe('the core', () => {
  test('says what it is and where its memory lies', () => {
    expect(core.backend).toBe('native');
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
    const script = `const { core } = await import(${JSON.stringify(compiled)}); console.log(core.backend, core.liveTranscoders())`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('native 0\n');
  });
});

describe('without an addon', () => {
  test('the error tells what was tried, where, and what to do', () => {
    const error = failure(['/nowhere/Release/trunkline.node', '/nowhere/Debug/trunkline.node']);
    expect(error).toBeInstanceOf(GatewayError);
    expect(error.code).toBe('GW_NATIVE_MISSING');
    expect(error.message).toContain(
      "/nowhere/Release/trunkline.node: Cannot find module '/nowhere/Release/trunkline.node'",
    );
    expect(error.message).toContain('/nowhere/Debug/trunkline.node: ');
    expect(error.message).toContain(`${process.platform}-${process.arch}, Node ${process.version}`);
    expect(error.message).toContain('npm rebuild trunkline');
    expect(error.message).not.toContain('Require stack');
  });

  test('a file that is not an addon is passed over for the next', () => {
    const directory = mkdtempSync(join(tmpdir(), 'trunkline-'));
    try {
      const broken = join(directory, 'trunkline.node');
      writeFileSync(broken, 'not a shared library');
      expect(failure([broken]).message).toContain(`${broken}: `);
      expect(loadCore([broken, addon]).backend).toBe('native');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
