import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { core } from '../../src/media/thread-core.js';

const child = fileURLToPath(new URL('../support/allocation-child.mjs', import.meta.url));

async function bytesPerFrame(work: string, env: Record<string, string> = {}): Promise<number> {
  const flags = ['--expose-gc', '--max-semi-space-size=512', '--min-semi-space-size=512'];
  const options = { env: { ...process.env, ...env } };
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, child, work], options);
  return Number(stdout);
}

test.runIf(core.backend === 'native')(
  'a million frames, in and out, leave nothing on the JavaScript heap',
  { timeout: 60_000 },
  async () => {
    expect(await bytesPerFrame('frames')).toBeLessThan(0.01);
  },
);

test('nor do they on WebAssembly, if a message comes as a view', { timeout: 60_000 }, async () => {
  expect(await bytesPerFrame('views', { TRANSCODER: 'wasm' })).toBeLessThan(0.01);
});

test('the measurement sees a number that a frame leaves there', { timeout: 60_000 }, async () => {
  expect(await bytesPerFrame('boxing')).toBeGreaterThan(8);
});

test.each(['muted', 'held', 'mixed'])('nor those of a call that is %s', { timeout: 60_000 }, async (work) => {
  expect(await bytesPerFrame(work)).toBeLessThan(0.01);
});

test.each(['shortened', 'concealed'])('nor those that are %s', { timeout: 60_000 }, async (work) => {
  for (const TRANSCODER of ['auto', 'wasm'])
    expect(await bytesPerFrame(work, { TRANSCODER })).toBeLessThan(0.01);
});

test('nor those of a room', { timeout: 60_000 }, async () => {
  expect(await bytesPerFrame('rooms')).toBeLessThan(0.01);
});

test('nor those between a stream and a socket of ws', { timeout: 60_000 }, async () => {
  expect(await bytesPerFrame('sockets')).toBeLessThan(0.01);
});

/** The bar of a whole call. Its marks, one a second, are text. */
const MOST_BYTES = 40;

test('a frame of a call leaves at most 40 bytes, from its message to the echo, with ticks and marks', {
  timeout: 60_000,
}, async () => {
  expect(await bytesPerFrame('calls')).toBeLessThan(MOST_BYTES);
});
