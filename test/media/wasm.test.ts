import { deepStrictEqual } from 'node:assert';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { BUILT_ADDON as addon, loadAddon } from '../../src/media/addon.js';
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

/** Arguments of every kind, right and wrong. */
const ARGUMENTS: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 5],
  ['NaN', Number.NaN],
  ['six', 6],
  ['a number with a fraction', 6.5],
  ['a second', 48_000],
  ['more than a second', 48_006],
  ['a negative number', -6],
  ['a bigint', 5n],
  ['a boolean', true],
  ['a symbol', Symbol('x')],
  ['a function', () => 0],
  ['text', 'abc'],
  ['text with a quote', 'a"b\\\n'],
  ['text of 60 bytes', 'x'.repeat(60)],
  ['text cut within a character', `${'x'.repeat(59)}é`],
  ['half a character', 'x\ud800'],
  ['65 digits', '1'.repeat(65)],
  ['a SID', STREAM_SID],
  ['an object', {}],
  ['an object without prototype', Object.create(null)],
  ['a Date', new Date(0)],
  ['an array', [1]],
  ['a proxy of an array', new Proxy([], {})],
  [
    'a proxy that throws',
    new Proxy(
      {},
      {
        get: () => {
          throw new Error('somebody ran this');
        },
      },
    ),
  ],
  ['an Int16Array by prototype alone', Object.create(Int16Array.prototype)],
  ['an ArrayBuffer by prototype alone', Object.create(ArrayBuffer.prototype)],
  ['an Int8Array', new Int8Array(6)],
  ['a Uint8Array', new Uint8Array(12)],
  ['no bytes', new Uint8Array(0)],
  ['a Buffer', Buffer.alloc(12)],
  ['an Int16Array', new Int16Array(6)],
  ['an odd Int16Array', new Int16Array(7)],
  ['no samples', new Int16Array(0)],
  ['a frame', new Int16Array(960)],
  ['too many samples', new Int16Array(48_006)],
  ['too many bytes', new Uint8Array(70_000)],
  ['a Uint16Array', new Uint16Array(6)],
  [
    'a Float32Array that says otherwise',
    Object.defineProperty(new Float32Array(3), Symbol.toStringTag, { value: 'Int16Array' }),
  ],
  ['a BigInt64Array', new BigInt64Array(2)],
  ['a DataView', new DataView(new ArrayBuffer(4))],
  ['an ArrayBuffer', new ArrayBuffer(12)],
  ['a SharedArrayBuffer', new SharedArrayBuffer(12)],
  ['a Uint8Array of shared memory', new Uint8Array(new SharedArrayBuffer(12))],
  ['an Int16Array of shared memory', new Int16Array(new SharedArrayBuffer(12))],
  ['an ArrayBuffer that can grow', resizable(12)],
  ['a Uint8Array of memory that can grow', new Uint8Array(resizable(12))],
  ['an Int16Array of memory that can grow', new Int16Array(resizable(12))],
  ['a Uint8Array that its memory left behind', shrunk((buffer) => new Uint8Array(buffer, 6, 3))],
  ['an Int16Array that its memory left behind', shrunk((buffer) => new Int16Array(buffer, 6, 3))],
  ['a DataView that its memory left behind', shrunk((buffer) => new DataView(buffer, 6, 3))],
  ['an ArrayBuffer that was given away', givenAway((buffer) => buffer)],
  ['a Uint8Array that was given away', givenAway((buffer) => new Uint8Array(buffer))],
  ['an Int16Array that was given away', givenAway((buffer) => new Int16Array(buffer))],
  ['a DataView that was given away', givenAway((buffer) => new DataView(buffer))],
  ['an Int16Array of another realm', runInNewContext('Int16Array.of(900, 800, -700, 600, 5, 4)')],
  ['a Uint8Array of another realm', runInNewContext('Uint8Array.of(65, 66, 67, 68)')],
  ['an ArrayBuffer of another realm', runInNewContext('new ArrayBuffer(12)')],
];

/** Memory that can grow to 64 bytes: newer than the language the types are of. */
function resizable(length: number): ArrayBuffer & { resize(length: number): void } {
  return Reflect.construct(ArrayBuffer, [length, { maxByteLength: 64 }]);
}

/** A view of memory that has shrunk to less than where the view begins. */
function shrunk(viewOf: (buffer: ArrayBuffer) => ArrayBufferView): ArrayBufferView {
  const buffer = resizable(12);
  const view = viewOf(buffer);
  buffer.resize(4);
  return view;
}

/** Memory, or a view, that was transferred to another thread. */
function givenAway<T>(of: (buffer: ArrayBuffer) => T): T {
  const buffer = new ArrayBuffer(12);
  const value = of(buffer);
  structuredClone(buffer, { transfer: [buffer] });
  return value;
}

const pcm = () => Int16Array.of(1, 2, 3, 4, 5, 6);
const bytes = () => Uint8Array.of(65, 66, 67, 68);
/** A scratch buffer for ignored output. */
const [manySamples, manyBytes] = [new Int16Array(6 * 70_000), new Uint8Array(4 * 70_000)];

/** Each way into a core, with one argument open. */
const CALLS: Readonly<Record<string, (core: Core, value: never) => unknown>> = {
  'new Transcoder': (core, value) => new core.Transcoder(value).close(),
  ...Object.fromEntries(
    ['bind', 'receive', 'transmit'].flatMap((name) => {
      const method = name as 'bind' | 'receive' | 'transmit';
      return [
        [`${name}, unbound`, (core: Core, value: never) => new core.Transcoder()[method](value)],
        [
          name,
          (core: Core, value: never) => {
            const transcoder = new core.Transcoder();
            transcoder.bind(STREAM_SID);
            return transcoder[method](value);
          },
        ],
        [
          `${name}, closed`,
          (core: Core, value: never) => {
            const transcoder = new core.Transcoder();
            transcoder.close();
            return transcoder[method](value);
          },
        ],
      ];
    }),
  ),
  'receivePayload(…, 0)': (core, value) => new core.Transcoder().receivePayload(value, 0),
  'receivePayload(bytes, …)': (core, value) => new core.Transcoder().receivePayload(bytes(), value),
  conceal: (core, value) => new core.Transcoder().conceal(value),
  'conceal, closed': (core, value) => {
    const transcoder = new core.Transcoder();
    transcoder.close();
    return transcoder.conceal(value);
  },
  'decode(…, out)': (core, value) => new core.Transcoder().decode(value, manySamples),
  'decode(…, out) of l16': (core, value) => new core.Transcoder('l16').decode(value, manySamples),
  'decode(bytes, …)': (core, value) => new core.Transcoder().decode(bytes(), value),
  'encode(…, out)': (core, value) => new core.Transcoder().encode(value, manyBytes),
  'encode(pcm, …)': (core, value) => new core.Transcoder().encode(pcm(), value),
  'up(…, out)': (core, value) => new core.Upsampler().process(value, manySamples),
  'up(pcm, …)': (core, value) => new core.Upsampler().process(pcm(), value),
  'down(…, out)': (core, value) => new core.Downsampler().process(value, manySamples),
  'down(pcm, …)': (core, value) => new core.Downsampler().process(pcm(), value),
  push: (core, value) => new core.DtmfGenerator().push(value),
  read: (core, value) => new core.DtmfGenerator().read(value),
  'decodeMulaw(…, out)': (core, value) => core.decodeMulaw(value, manySamples),
  'decodeMulaw(bytes, …)': (core, value) => core.decodeMulaw(bytes(), value),
  'encodeMulaw(…, out)': (core, value) => core.encodeMulaw(value, manyBytes),
  'encodeMulaw(pcm, …)': (core, value) => core.encodeMulaw(pcm(), value),
  'decodeAlaw(…, out)': (core, value) => core.decodeAlaw(value, manySamples),
  'encodeAlaw(…, out)': (core, value) => core.encodeAlaw(value, manyBytes),
  'decodeBase64(…, out)': (core, value) => core.decodeBase64(value, manyBytes),
  'decodeBase64(bytes, …)': (core, value) => core.decodeBase64(bytes(), value),
  'encodeBase64(…, out)': (core, value) => core.encodeBase64(value, manyBytes),
  'encodeBase64(bytes, …)': (core, value) => core.encodeBase64(bytes(), value),
  'mixMinus(…, active, out)': (core, value) => core.mixMinus(value, Uint8Array.of(1, 1), pcm()),
  'mixMinus(pcm, …, out)': (core, value) => core.mixMinus(pcm(), value, pcm()),
  'mixMinus(pcm, active, …)': (core, value) => core.mixMinus(pcm(), Uint8Array.of(1, 1), value),
  'mix(…, active, out)': (core, value) => core.mix(value, Uint8Array.of(1, 1), pcm()),
  'mix(pcm, …, out)': (core, value) => core.mix(pcm(), value, pcm()),
  'shorten(…, 200)': (core, value) => core.shorten(value, 200),
  'shorten(pcm, …)': (core, value) => core.shorten(new Int16Array(960), value),
  'mix(pcm, active, …)': (core, value) => core.mix(pcm(), Uint8Array.of(1, 1), value),
};

function outcome(call: () => unknown): string {
  try {
    return `gives ${call()}`;
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string };
    return `${name} ${code ?? ''}: ${message}`;
  }
}

test('every module gives what the core of this thread gives, over thousands of frames of every kind', () => {
  const cores = [threadCore, ...WASM_MODULES.map(loadWasm)];
  const transcoders = cores.map((core) => new core.Transcoder());
  for (const transcoder of transcoders) transcoder.bind(STREAM_SID);
  const next = randomNumbers(3);
  let timestamp = 0;
  for (let i = 0; i < 3_000; i++) {
    const length = next() % 4 === 0 ? next() % 4_001 : 160;
    const message = media({ payload: randomBytes(length, i + 1), timestamp });
    // Holes that are bridged, that fade, and that are too long to be filled.
    timestamp +=
      Math.floor(length / 8) +
      (next() % 8 === 0 ? ([20, 21, 40, 59, 60, 150, 200, 201][next() % 8] ?? 0) : 0);
    const concealed = next() % 16 === 0 ? 6 * (1 + (next() % 1_000)) : 0;
    const pcm = noise(6 * (1 + (next() % 200)), i + 1);
    const [wanted, ...others] = cores.map((core, c) => {
      const transcoder = transcoders[c] as InstanceType<Core['Transcoder']>;
      const samples = received(core, transcoder, message);
      if (concealed > 0) {
        expect(transcoder.conceal(concealed)).toBe(concealed);
        const { slab, layout } = core;
        samples.set(new Int16Array(slab, layout.samples, concealed).subarray(0, samples.length));
      }
      const count = transcoder.transmit(pcm);
      return { samples, text: Buffer.from(core.slab, core.layout.message, count).toString() };
    });
    for (const other of others) deepStrictEqual(other, wanted, `frame ${i} of ${length} bytes`);
  }
});

test('processes in pieces what is larger than its scratch memory', () => {
  const modules = WASM_MODULES.map(loadWasm);
  const bytes = randomBytes(1_000_003, 5);
  const loud = noise(600_006, 6);
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
      new core.Upsampler().process(loud.subarray(0, 100_001), out);
      return out;
    },
    (core: Core) => {
      const out = new Int16Array(100_001);
      new core.Downsampler().process(loud, out);
      return out;
    },
    (core: Core) => {
      const out = new Int16Array(6 * bytes.length);
      new core.Transcoder().decode(bytes, out);
      return out;
    },
    (core: Core) => {
      const out = new Uint8Array(100_000);
      new core.Transcoder().encode(loud.subarray(0, 600_000), out);
      return out;
    },
    (core: Core) => {
      const out = new Int16Array(600_000);
      core.mixMinus(loud.subarray(0, 600_000), new Uint8Array(1_000).fill(1), out);
      return out;
    },
    (core: Core) => {
      const out = new Int16Array(6);
      core.mix(loud.subarray(0, 390_000), new Uint8Array(65_000).fill(1), out);
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
    const wanted = run(threadCore);
    for (const core of modules) deepStrictEqual(run(core), wanted, run.toString());
  }
});

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

  test('makes every sample of every key as the core of this thread does', () => {
    const wasm = loadWasm(path);
    for (const key of '123A456B789C*0#DwW') {
      const [one, other] = [wasm, threadCore].map((core) => {
        const tones = new core.DtmfGenerator();
        const audio = new Int16Array(tones.push(key));
        tones.read(audio);
        return audio;
      });
      expect(
        Buffer.compare(Buffer.from((one as Int16Array).buffer), Buffer.from((other as Int16Array).buffer)),
        key,
      ).toBe(0);
    }
  });

  test.runIf(existsSync(addon))(
    'accepts and rejects the same arguments as the addon, with the same errors',
    () => {
      // With its own kernels, where it is this thread's core already.
      const native = loadAddon(addon, threadCore.backend === 'native' ? threadCore.kernels : undefined);
      const wasm = loadWasm(path);
      for (const [name, call] of Object.entries(CALLS)) {
        for (const [kind, value] of ARGUMENTS) {
          const wanted = outcome(() => call(native, value as never));
          expect(`${name} of ${kind} ${outcome(() => call(wasm, value as never))}`).toBe(
            `${name} of ${kind} ${wanted}`,
          );
        }
      }
    },
  );

  test('reads arrays of another realm as its own', () => {
    const wasm = loadWasm(path);
    const values = [900, 800, -700, 600, 5, 4];
    const [own, foreign] = [Int16Array.from(values), runInNewContext(`Int16Array.from([${values}])`)].map(
      (audio) => {
        const bytes = new Uint8Array(6);
        wasm.encodeMulaw(audio, bytes);
        return bytes;
      },
    );
    expect(foreign).toEqual(own);
  });

  test('keeps no memory of closed objects, and reports when it is full', () => {
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

  test('has a separate instance in every thread', async () => {
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
