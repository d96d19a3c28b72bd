import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { BUILT_ADDON as addon } from '../../src/media/addon.js';
import { core, frame } from '../../src/media/thread-core.js';
import { WASM_MODULES } from '../../src/media/wasm.js';
import { media, randomBytes, STREAM_SID } from '../support/media.js';

const isNative = core.backend === 'native';
const module = WASM_MODULES.find((path) => path.endsWith(core.origin.split(';')[0] as string));
const dist = (file: string) => JSON.stringify(new URL(`../../dist/media/${file}`, import.meta.url).href);

/** Loads the core that this thread runs on. */
const opening = isNative
  ? `const { loadAddon } = await import(${dist('addon.js')}); const core = loadAddon(${JSON.stringify(addon)});`
  : `const core = (await import(${dist('wasm.js')})).loadWasm(${JSON.stringify(module)});`;

/** The start of every script here: `core`, a bound `transcoder` and a `message` of 20 ms. */
const prelude = `
  const { parentPort } = require('node:worker_threads');
  ${opening}
  const transcoder = new core.Transcoder();
  transcoder.bind(${JSON.stringify(STREAM_SID)});
  const message = Buffer.from(${JSON.stringify(Buffer.from(media({ payload: randomBytes(160, 1) })).toString())});
  const frame = new Int16Array(core.slab, core.layout.samples, 960);
  const busy = () => { transcoder.receive(message); transcoder.transmit(frame); };
`;

const whole = (script: string) => `(async () => { ${prelude} ${script} })()`;
const worker = (script: string) => new Worker(whole(script), { eval: true });
const run = (script: string) => promisify(execFile)(process.execPath, ['-e', whole(script)]);

describe('worker threads with a core each', () => {
  test('each has a core of its own with the same output', async () => {
    const transcoder = new core.Transcoder();
    transcoder.bind(STREAM_SID);
    transcoder.receive(media({ payload: randomBytes(160, 1) }));
    const wanted = frame.slice();
    const before = core.liveTranscoders();
    const workers = Array.from({ length: 3 }, () =>
      worker('transcoder.receive(message); parentPort.postMessage([core.liveTranscoders(), frame.slice()])'),
    );
    const answers = await Promise.all(workers.map(async (each) => (await once(each, 'message'))[0]));
    for (const answer of answers) expect(answer).toEqual([1, wanted]);
    expect(core.liveTranscoders()).toBe(before);
    expect(frame).toEqual(wanted);
    transcoder.close();
  });

  test('may end by themselves, with transcoders open', async () => {
    for (let round = 0; round < 5; round++) {
      const ending = worker(
        'globalThis.kept = [transcoder]; for (let i = 0; i < 100; i++) { kept.push(new core.Transcoder()); busy(); }',
      );
      expect(await once(ending, 'exit')).toEqual([0]);
    }
  });

  test('may be terminated in the middle of a call', async () => {
    const workers = Array.from({ length: 4 }, () => worker('parentPort.postMessage(0); for (;;) busy();'));
    await Promise.all(workers.map((each) => once(each, 'message')));
    expect(await Promise.all(workers.map((each) => each.terminate()))).toEqual([1, 1, 1, 1]);
    const transcoder = new core.Transcoder();
    transcoder.bind(STREAM_SID);
    expect(transcoder.receive(media({ payload: randomBytes(160, 1) }))).toBe(960);
  });

  test('a slab that hostile code gave away does no harm', async () => {
    const robbed = worker(`
      try { structuredClone(core.slab, { transfer: [core.slab] }); } catch {}
      try { core.slab.transfer?.(0); } catch {}
      try { parentPort.postMessage(core.slab, [core.slab]); } catch {}
      for (let i = 0; i < 100; i++) { transcoder.receive(message); transcoder.transmit(new Int16Array(960)); }
      parentPort.postMessage('alive');
    `);
    const seen: unknown[] = [];
    robbed.on('message', (value) => seen.push(value));
    expect(await once(robbed, 'exit')).toEqual([0]);
    expect(seen.at(-1)).toBe('alive');
  });
});

describe('the process', () => {
  test('may exit while transcoders are open', async () => {
    await expect(run('busy(); process.exit(0)')).resolves.toBeDefined();
    await expect(
      run('globalThis.kept = Array.from({ length: 1000 }, () => new core.Transcoder()); busy()'),
    ).resolves.toBeDefined();
  });

  test('may exit while a worker is in the middle of a call', async () => {
    const script = `
      const { Worker } = require('node:worker_threads');
      const other = new Worker(${JSON.stringify(whole('parentPort.postMessage(0); for (;;) busy();'))}, { eval: true });
      other.once('message', () => { busy(); process.exit(0); });
    `;
    await expect(run(script)).resolves.toBeDefined();
  });

  test.runIf(isNative)('may load the addon again: the second has memory of its own', async () => {
    const script = `
      delete require.cache[${JSON.stringify(addon)}];
      const second = loadAddon(${JSON.stringify(addon)});
      const other = new second.Transcoder();
      other.close();
      busy();
      console.log(second.slab !== core.slab, second.liveTranscoders(), core.liveTranscoders());
    `;
    expect((await run(script)).stdout).toBe('true 0 1\n');
  });
});
