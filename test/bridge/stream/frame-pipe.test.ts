import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FramePipe } from '../../../src/bridge/stream/frame-pipe.js';
import { systemClock } from '../../../src/clock.js';
import { FRAME_SAMPLES } from '../../../src/media/frame.js';
import { ingressNow, NO_INGRESS_TIME } from '../../../src/telemetry/ingress-time.js';
import { eventually } from '../../support/time.js';

interface Received {
  readonly leg: number;
  readonly first: number;
  readonly last: number;
  readonly stamp: number;
  readonly loudness: number;
}

let folder: string;
let server: Server;
let near: Socket;
let far: Socket;

/** Two ends of a real socket, as between two processes. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pipe-'));
  server = createServer();
  await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  near = connect(join(folder, 'socket'));
  far = await accepted;
});

afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
  rmSync(folder, { recursive: true });
});

function frame(value: number): Int16Array {
  const samples = new Int16Array(FRAME_SAMPLES).fill(value);
  samples[FRAME_SAMPLES - 1] = -value;
  return samples;
}

function receiver(socket: Socket): Received[] {
  const received: Received[] = [];
  new FramePipe(socket, (leg, samples, stamp, loudness) => {
    const [first, last] = [samples[0] as number, samples[FRAME_SAMPLES - 1] as number];
    received.push({ leg, first, last, stamp, loudness });
  });
  return received;
}

it('delivers frames in order, with their legs, timestamps and loudness', async () => {
  const received = receiver(far);
  const pipe = new FramePipe(near, () => {});
  const stamp = ingressNow(systemClock);
  for (let i = 1; i <= 300; i++) pipe.write(i % 7, frame(i), i === 1 ? NO_INGRESS_TIME : stamp, i << 16);
  await eventually('all frames', () => received.length === 300);
  expect(received.map(({ first }) => first)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
  expect(received.every(({ leg, first, last }) => leg === first % 7 && last === -first)).toBe(true);
  expect(received.every(({ first, loudness }) => loudness === first << 16)).toBe(true);
  expect(received[0]?.stamp).toBe(NO_INGRESS_TIME);
  // Through the machine's clock and back: exact within one process.
  expect(received[1]?.stamp).toBe(stamp);
});

it('writes once per turn of the event loop', async () => {
  let writes = 0;
  const write = near.write.bind(near);
  near.write = ((...values: Parameters<typeof write>) => {
    writes += 1;
    return write(...values);
  }) as typeof near.write;
  const received = receiver(far);
  const pipe = new FramePipe(near, () => {});
  for (let turn = 0; turn < 5; turn++) {
    for (let leg = 0; leg < 40; leg++) pipe.write(leg, frame(leg), 0);
    await eventually('the turn', () => received.length === 40 * (turn + 1));
  }
  expect(writes).toBe(5);
});

it('reassembles frames that arrive in pieces', async () => {
  const bytes: Buffer[] = [];
  far.on('data', (chunk) => bytes.push(chunk));
  const pipe = new FramePipe(near, () => {});
  for (let i = 1; i <= 5; i++) pipe.write(3, frame(i), 0);
  await eventually('the bytes', () => Buffer.concat(bytes).length === 5 * (12 + 2 * FRAME_SAMPLES));
  const whole = Buffer.concat(bytes);
  for (const size of [1, 7, 1_931, 1_933, 4_000]) {
    const received: number[] = [];
    const listeners: ((chunk: Buffer) => void)[] = [];
    const source = {
      on: (event: string, listener: (chunk: Buffer) => void) => event === 'data' && listeners.push(listener),
    };
    new FramePipe(source as never, (_, samples) => received.push(samples[0] as number));
    for (let at = 0; at < whole.length; at += size) listeners[0]?.(whole.subarray(at, at + size));
    expect(received).toEqual([1, 2, 3, 4, 5]);
  }
});

it('drops the oldest frames of a stalled reader, counts them, and continues', async () => {
  far.pause();
  const pipe = new FramePipe(near, () => {});
  let written = 0;
  while (pipe.dropped < 100) {
    for (let i = 0; i < 50; i++) pipe.write(1, frame(++written % 30_000), 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(written, 'it is bounded').toBeLessThan(5_000);
  }
  const received = receiver(far);
  far.resume();
  await eventually('what was not dropped', () => received.length === written - pipe.dropped);
  const numbers = received.map(({ first }) => first);
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  expect(numbers.at(-1)).toBe(written);
});

it('ignores frames after its end', async () => {
  const pipe = new FramePipe(near, () => {});
  far.destroy();
  for (let i = 0; i < 10; i++) {
    pipe.write(1, frame(i), 0);
    await new Promise((resolve) => setImmediate(resolve));
  }
  pipe.close();
  pipe.write(1, frame(1), 0);
});

it('reports when all frames of a leg have arrived, to early and late subscribers', async () => {
  const received: number[] = [];
  const reader = new FramePipe(far, (leg) => received.push(leg));
  const pipe = new FramePipe(near, () => {});
  const count = (wanted: number) => received.filter((leg) => leg === wanted).length;
  const early = reader.ended(2).then(() => expect(count(2)).toBe(2));
  for (const leg of [1, 2, 1, 2]) pipe.write(leg, frame(leg), 0);
  pipe.end(2);
  pipe.write(1, frame(1), 0);
  pipe.end(1);
  await early;
  await eventually('all frames', () => received.length === 5);
  await reader.ended(1);
  expect(received, 'an end is no frame').toEqual([1, 2, 1, 2, 1]);
});

it('ends the wait for a leg whose pipe is closed', async () => {
  const reader = new FramePipe(far, () => {});
  const ended = reader.ended(1);
  reader.close();
  await ended;
  await reader.ended(2);
});
