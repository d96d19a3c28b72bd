import { once } from 'node:events';
import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { builtAddon } from '../../src/media/addon.js';
import { loadRtcNative } from '../../src/rtc/native.js';
import { leanOnly } from '../support/rtc-native.js';
import { exchange, pair } from './dtls-pair.js';

const native = leanOnly();

it('is loaded once for a thread', () => {
  expect(loadRtcNative()).toBe(native);
});

function openAll(): { free(): void }[] {
  const { client, server } = pair(native);
  client.start();
  exchange(client, server);
  return [
    { free: () => client.close() },
    { free: () => server.close() },
    client.srtp(),
    server.srtp(),
    native.openEncoder({ rate: 8_000 }),
    native.openDecoder(48_000),
  ];
}

it('frees what is freed, and counts what is not', () => {
  const before = native.liveObjects();
  const opened = [openAll(), openAll()].flat();
  // Each pair has two certificates.
  expect(native.liveObjects()).toBe(before + opened.length + 4);
  for (const object of [...opened, ...opened]) object.free();
  expect(native.liveObjects()).toBe(before + 4);
});

it('frees what was forgotten', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 20; i++) openAll();
  expect(native.liveObjects()).toBeGreaterThan(20);
  for (let i = 0; i < 50 && native.liveObjects() > 0; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(native.liveObjects()).toBe(0);
});

it('belongs to its thread, and goes with it', async () => {
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData.path);
    const certificate = addon.makeCertificate();
    addon.startDtls(addon.openDtls(certificate, true, 1200));
    addon.openSrtp(7, new Uint8Array(56), true);
    addon.openEncoder(8000, 0);
    parentPort.postMessage(addon.liveObjects());
    if (workerData.stays) setInterval(() => {}, 1000);
  `;
  for (const stays of [true, false, true]) {
    const workerData = { path: builtAddon('trunkline_rtc'), stays };
    const worker = new Worker(script, { eval: true, workerData });
    const [count] = await once(worker, 'message');
    expect(count).toBe(4);
    await worker.terminate();
  }
  const { client } = pair(native);
  client.start();
  expect(client.state).toBe('handshaking');
});

// The addon believes no argument by itself either: a wrong one comes to a number, or to nothing.
it('answers any call of its exports with any arguments', () => {
  const addon = createRequire(import.meta.url)(builtAddon('trunkline_rtc')) as Record<
    string,
    (...args: unknown[]) => unknown
  >;
  const odd = [
    undefined,
    null,
    -1,
    0,
    1,
    2 ** 31,
    2 ** 53,
    Number.NaN,
    'sha-256',
    {},
    [],
    Symbol('s'),
    5n,
    () => {},
  ];
  const views = [
    new Uint8Array(0),
    new Uint8Array(60),
    new Int16Array(160),
    new Float64Array(4),
    new ArrayBuffer(8),
  ];
  const detached = new Uint8Array(64);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const all = [...odd, ...views, detached];
  for (const [name, call] of Object.entries(addon)) {
    // They would free what other tests use.
    if (/^(free|close|make)/.test(name)) continue;
    for (const first of odd) {
      expect(call(first), name).toBeOneOf([
        undefined,
        expect.any(Number),
        expect.any(String),
        expect.any(Buffer),
      ]);
      for (const second of all) for (const third of all) call(first, second, third, third);
    }
  }
});
