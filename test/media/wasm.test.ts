import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import type { Core } from '../../src/media/core.js';
import { core as threadCore } from '../../src/media/thread-core.js';
import { loadWasm, WASM_MODULES } from '../../src/media/wasm.js';
import { media, noise, randomBytes, randomNumbers, STREAM_SID } from '../support/media.js';

const modules = WASM_MODULES.map((path) => [path.split('/').at(-1) as string, path] as const);

/** What a core leaves of a message in its slab. */
function received(core: Core, transcoder: InstanceType<Core['Transcoder']>, message: Uint8Array): Int16Array {
  const count = transcoder.receive(message);
  return new Int16Array(core.slab, core.layout.samples, core.layout.samplesCapacity).slice(0, count);
}

describe.each(modules)('%s', (_, path) => {
  test('imports nothing', async () => {
    const { Module } = (
      globalThis as unknown as {
        WebAssembly: { Module: { imports(m: object): unknown[] } & (new (b: Uint8Array) => object) };
      }
    ).WebAssembly;
    const { readFileSync } = await import('node:fs');
    expect(Module.imports(new Module(readFileSync(path)))).toEqual([]);
  });

  test('gives what the core of this thread gives, over thousands of frames of every kind', () => {
    const wasm = loadWasm(path);
    const cores = [wasm, threadCore];
    const transcoders = cores.map((core) => new core.Transcoder());
    for (const transcoder of transcoders) transcoder.bind(STREAM_SID);
    const next = randomNumbers(3);
    let timestamp = 0;
    for (let i = 0; i < 3_000; i++) {
      const length = next() % 4 === 0 ? next() % 4_001 : 160;
      const message = media({ payload: randomBytes(length, i + 1), timestamp });
      timestamp += Math.floor(length / 8) + (next() % 20 === 0 ? 60 : 0);
      const [one, other] = cores.map((core, c) => received(core, transcoders[c] as never, message));
      if (
        Buffer.compare(Buffer.from(one?.buffer as ArrayBuffer), Buffer.from(other?.buffer as ArrayBuffer)) !==
        0
      ) {
        throw new Error(`frame ${i} of ${length} bytes differs`);
      }
      const pcm = noise(6 * (1 + (next() % 200)), i + 1);
      const texts = cores.map((core, c) => {
        const count = (transcoders[c] as InstanceType<Core['Transcoder']>).transmit(pcm);
        return Buffer.from(core.slab, core.layout.message, count).toString();
      });
      expect(texts[0]).toBe(texts[1]);
    }
  });

  test('does in pieces what is larger than its scratch memory', () => {
    const wasm = loadWasm(path);
    const bytes = randomBytes(1_000_003, 5);
    for (const run of [
      (core: Core) => {
        const out = new Int16Array(bytes.length);
        core.decodeMulaw(bytes, out);
        return out;
      },
      (core: Core) => {
        const out = new Uint8Array(bytes.length);
        core.encodeMulaw(new Int16Array(bytes.buffer, 0, 500_001), out);
        return out;
      },
      (core: Core) => {
        const out = new Int16Array(6 * 100_001);
        new core.Upsampler().process(noise(100_001, 6), out);
        return out;
      },
      (core: Core) => {
        const out = new Int16Array(100_001);
        new core.Downsampler().process(noise(600_006, 6), out);
        return out;
      },
      (core: Core) => {
        const out = new Int16Array(6 * bytes.length);
        new core.Transcoder().decode(bytes, out);
        return out;
      },
      (core: Core) => {
        const out = new Uint8Array(100_000);
        new core.Transcoder().encode(noise(600_000, 6), out);
        return out;
      },
      (core: Core) => {
        const out = new Int16Array(600_000);
        core.mixMinus(noise(600_000, 6), new Uint8Array(1_000).fill(1), out);
        return out;
      },
      (core: Core) => {
        const out = new Int16Array(6);
        core.mix(noise(390_000, 6), new Uint8Array(65_000).fill(1), out);
        return out;
      },
      (core: Core) => {
        const out = new Int16Array(500_000);
        const tones = new core.DtmfGenerator();
        tones.push('159D');
        tones.read(out);
        return out;
      },
      (core: Core) => {
        const text = new Uint8Array(Math.ceil(bytes.length / 3) * 4);
        core.encodeBase64(bytes, text);
        const back = new Uint8Array((text.length / 4) * 3);
        expect(core.decodeBase64(text, back)).toBe(bytes.length);
        expect(Buffer.compare(back.subarray(0, bytes.length), bytes)).toBe(0);
        text[80_000] = 61;
        expect(core.decodeBase64(text, back), 'padding in the middle').toBe(-1);
        return text;
      },
    ]) {
      const [one, other] = [run(wasm), run(threadCore)];
      expect(Buffer.compare(Buffer.from(one.buffer), Buffer.from(other.buffer)), run.toString()).toBe(0);
    }
  });

  test('keeps no memory of what is closed, and tells when it is full', () => {
    const wasm = loadWasm(path);
    for (let i = 0; i < 200_000; i++) new wasm.Transcoder().close();
    expect(wasm.liveTranscoders()).toBe(0);
    const held = [];
    let error: unknown;
    while (error === undefined && held.length < 1_000_000) {
      try {
        held.push(new wasm.Transcoder());
      } catch (thrown) {
        error = thrown;
      }
    }
    expect(error).toMatchObject({ name: 'RangeError', code: 'GW_WASM_MEMORY_FULL' });
    expect(held.length).toBeGreaterThan(20_000);
    expect(wasm.liveTranscoders()).toBe(held.length);
    held.pop()?.close();
    new wasm.Transcoder().close();
  });

  test('is one of its own in every thread', async () => {
    const url = new URL('../../dist/media/wasm.js', import.meta.url).href;
    const worker = new Worker(
      `import(${JSON.stringify(url)}).then(({ loadWasm }) => {
        const core = loadWasm(${JSON.stringify(path)});
        const transcoder = new core.Transcoder();
        transcoder.bind(${JSON.stringify(STREAM_SID)});
        const count = transcoder.receive(Buffer.from(${JSON.stringify(Buffer.from(media({ payload: randomBytes(160, 1) })).toString())}));
        require('node:worker_threads').parentPort.postMessage(new Int16Array(core.slab, core.layout.samples, count).slice());
      })`,
      { eval: true },
    );
    const [heard] = await once(worker, 'message');
    const transcoder = new threadCore.Transcoder();
    transcoder.bind(STREAM_SID);
    expect(heard).toEqual(received(threadCore, transcoder, media({ payload: randomBytes(160, 1) })));
    transcoder.close();
  });
});
