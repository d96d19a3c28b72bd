import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { WavFile } from '../../src/recording/wav-file.js';
import { eventually } from '../support/time.js';

const directory = mkdtempSync(join(tmpdir(), 'trunkline-wav-'));
afterAll(() => rmSync(directory, { recursive: true }));

const fail = (error: unknown) => {
  throw error;
};

function read(path: string) {
  const wav = new wavefile.WaveFile(readFileSync(path));
  const { numChannels, sampleRate } = wav.fmt as { numChannels: number; sampleRate: number };
  return { numChannels, sampleRate, samples: wav.getSamples(true, Int16Array) as unknown as Int16Array };
}

/** A file handle that writes only when the test lets it. */
function slowDisk(wav: WavFile): { release: () => void } {
  const { file } = wav as unknown as { file: FileHandle };
  const write = file.write.bind(file);
  const waiting: (() => void)[] = [];
  let isSlow = true;
  file.write = (async (...args: Parameters<typeof write>) => {
    if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve));
    return write(...args);
  }) as typeof file.write;
  return {
    release: () => {
      isSlow = false;
      for (const go of waiting.splice(0)) go();
    },
  };
}

describe('a growing WAV file', () => {
  it('contains what was appended and skipped, to the sample, readable only by its owner', async () => {
    const path = join(directory, 'whole.wav');
    const wav = await WavFile.create(path, 16_000, fail);
    const ramp = Int16Array.from({ length: 100_000 }, (_, i) => (i % 60_000) - 30_000);
    for (let at = 0; at < ramp.length; at += 998) wav.append(ramp.subarray(at, at + 998));
    wav.skip(500);
    wav.append(Int16Array.of(7, 8));
    wav.skip(2);
    expect(await wav.close()).toBeUndefined();
    const { numChannels, sampleRate, samples } = read(path);
    expect([numChannels, sampleRate, samples.length]).toEqual([2, 16_000, 100_000 + 1_000 + 2 + 4]);
    expect(Buffer.from(samples.slice(0, 100_000).buffer).equals(Buffer.from(ramp.buffer))).toBe(true);
    expect([...samples.slice(101_000)]).toEqual([7, 8, 0, 0, 0, 0]);
    expect(samples.slice(100_000, 101_000).every((sample) => sample === 0)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('can be read at any time', async () => {
    const path = join(directory, 'growing.wav');
    const wav = await WavFile.create(path, 16_000, fail);
    expect(read(path).samples).toHaveLength(0);
    let last = 0;
    for (let i = 0; i < 5; i++) {
      wav.append(new Int16Array(32_000).fill(i + 1));
      await eventually('a second on disk', () => read(path).samples.length > last);
      const { samples } = read(path);
      expect(samples.length % 32_000).toBe(0);
      expect(samples.at(-1)).toBe(samples.length / 32_000);
      last = samples.length;
    }
    await wav.close();
  });

  it('does not overwrite an existing file', async () => {
    const path = join(directory, 'there.wav');
    writeFileSync(path, 'precious');
    await expect(WavFile.create(path, 16_000, fail)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('never waits for a slow disk: counts what does not fit and replaces it by silence', async () => {
    const path = join(directory, 'slow.wav');
    const wav = await WavFile.create(path, 16_000, fail);
    const disk = slowDisk(wav);
    for (let second = 1; second <= 20; second++) wav.append(new Int16Array(32_000).fill(second));
    expect(wav.droppedMs).toBe(12_000);
    disk.release();
    await eventually('the disk', () => read(path).samples.length === 8 * 32_000);
    wav.append(new Int16Array(32_000).fill(21));
    expect(await wav.close()).toBeUndefined();
    const { samples } = read(path);
    const seconds = Array.from({ length: 21 }, (_, i) => samples[i * 32_000 + 16_000]);
    expect(seconds).toEqual([1, 2, 3, 4, 5, 6, 7, 8, ...new Array(12).fill(0), 21]);
    expect(wav.lengthMs).toBe(21_000);
  });

  it.skipIf(!existsSync('/dev/full'))('reports a full disk once, and continues without it', async () => {
    const errors: unknown[] = [];
    await expect(WavFile.create('/dev/full', 16_000, fail, 'r+')).rejects.toMatchObject({ code: 'ENOSPC' });
    const path = join(directory, 'full.wav');
    const wav = await WavFile.create(path, 16_000, (error) => errors.push(error));
    wav.append(new Int16Array(32_000).fill(1));
    await eventually('a second on disk', () => read(path).samples.length === 32_000);
    const { file } = wav as unknown as { file: FileHandle };
    const { open } = await import('node:fs/promises');
    const full = await open('/dev/full', 'r+');
    file.write = full.write.bind(full) as typeof file.write;
    for (let i = 0; i < 3; i++) wav.append(new Int16Array(32_000));
    await eventually('the error', () => errors.length > 0);
    wav.append(new Int16Array(32_000));
    expect(await wav.close()).toMatchObject({ code: 'ENOSPC' });
    expect(errors).toHaveLength(1);
    expect(wav.droppedMs).toBeGreaterThan(0);
    expect(read(path).samples, 'what was written before').toHaveLength(32_000);
    await full.close();
  });
});
