// The addon compiled with sanitizers beside the one that is shipped: any calls, with any arguments, must come to the same
// end in both. What reads or writes out of bounds, uses freed memory or is undefined ends this process with a report.
//
//   node --expose-gc addon-child.mjs SANITIZED SHIPPED SEED RUNS [unshrunk]

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import { types } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import fc from 'fast-check';
import { checkedCore } from '../../dist/media/checked-core.js';

const [sanitized, shipped, seed, runs, unshrunk] = process.argv.slice(2);
const load = createRequire(import.meta.url);
/** As the gateway uses an addon: behind the checks of its arguments. */
const addons = [sanitized, shipped].map((path) => {
  const raw = load(path);
  return { ...checkedCore(raw), usableKernels: raw.usableKernels, useKernels: raw.useKernels };
});
const CLASSES = ['Transcoder', 'Upsampler', 'Downsampler', 'DtmfGenerator'];
const FORMATS = ['mulaw', 'alaw', 'l16', 'l16le'];
const SID = 'MZ18ad3ab5a668481ce02b83e7395059f0';

// ---- Arguments, as data: each addon gets its own of them ----

/** One of these, the first more often than not. */
const mostly = (arbitrary, ...others) => fc.oneof({ weight: 2 + 2 * others.length, arbitrary }, ...others);
const rarely = (oneIn, arbitrary, usual = null) =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary });

const texts = (folder) => {
  const path = new URL(`corpus/${folder}/`, import.meta.url);
  return fc.constantFrom(...readdirSync(path).map((name) => readFileSync(new URL(name, path), 'latin1')));
};

/** Around the kernels' blocks and vectors, and the bounds of a message. */
const LENGTH = fc.oneof(fc.nat(40), fc.nat(1000), fc.constantFrom(159, 160, 161, 320, 960, 8000, 8001));
/** Memory has no slack behind it, so that one element too far is seen, unless it is the slab. */
const MEMORY = rarely(
  6,
  fc.constantFrom('shared', 'resizable', 'shrunk', 'detached', 'slab', 'first'),
  'exact',
);
const PLACE = fc.record({ offset: fc.nat(32), memory: MEMORY, noise: fc.integer() });
const NEARLY = rarely(6, fc.constantFrom(-1, 1, 7), 0);

const view = (type, lengths) =>
  fc.tuple(lengths, PLACE).map(([length, place]) => ({ type, length, ...place }));

/** An input, and an output with room for `factor` times as many elements, or nearly. */
const through = (from, to, ...factors) =>
  fc
    .tuple(LENGTH, NEARLY, fc.constantFrom(...factors), PLACE, PLACE)
    .map(([elements, more, factor, input, output]) => {
      const length = factor < 1 ? elements / factor : elements;
      const room = Math.max(0, Math.ceil(length * factor) + more);
      return [
        { type: from, length, ...input },
        { type: to, length: room, ...output },
      ];
    });

const edited = (text) =>
  fc
    .tuple(text, fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.string({ maxLength: 3 })), { maxLength: 2 }))
    .map(([whole, edits]) =>
      edits.reduce((left, [at, drop, put]) => {
        const from = at % (left.length + 1);
        return left.slice(0, from) + put + left.slice(from + drop);
      }, whole),
    );
const sometimesEdited = (text) => mostly(text, edited(text));

const BASE64 = sometimesEdited(
  mostly(
    LENGTH.map((length) => Buffer.alloc(length, 'pcm').toString('base64')),
    texts('base64'),
    fc.string(),
  ),
);
const COUNTER = mostly(
  fc.stringMatching(/^[0-9]{1,15}$/),
  fc.constantFrom('', '9'.repeat(16), '9'.repeat(30)),
);
const MESSAGE = sometimesEdited(
  mostly(
    fc.tuple(COUNTER, COUNTER, COUNTER, BASE64).map(([sequenceNumber, chunk, timestamp, payload]) => {
      const media = { track: 'inbound', chunk, timestamp, payload };
      return JSON.stringify({ event: 'media', sequenceNumber, media, streamSid: SID });
    }),
    texts('message'),
    fc
      .constantFrom(65_536, 65_537)
      .map((length) => '{"event":"media","sequenceNumber":"'.padEnd(length, '1')),
  ),
);
const bytes = (text, types = ['Uint8Array']) =>
  fc
    .tuple(text, fc.constantFrom(...types), PLACE)
    .map(([text, type, place]) => ({ type, text, length: text.length, ...place }));

const mixed = (outputs) =>
  fc
    .tuple(fc.integer({ min: 1, max: 9 }), fc.nat(500), NEARLY, PLACE, PLACE, PLACE)
    .map(([members, samples, more, inputs, active, output]) => [
      { type: 'Int16Array', length: members * samples, ...inputs },
      { type: 'Uint8Array', length: members, ...active },
      { type: 'Int16Array', length: Math.max(0, outputs(members) * samples + more), ...output },
    ]);

const TIME = fc.oneof(fc.nat(10_000), fc.double(), fc.constantFrom(2 ** 53 - 1, 2 ** 53, -0, -(2 ** 63)));
const TIMING = mostly(
  fc.constant(undefined),
  fc.integer({ min: 40, max: 2000 }),
  fc.double(),
  fc.constantFrom(39.9, 2001),
);
const DIGITS = mostly(fc.stringMatching(/^[0-9*#A-Da-dwW]{0,40}$/), fc.string(), fc.constant('1'.repeat(65)));
const NAME = mostly(fc.constant(SID), fc.string(), fc.stringMatching(/^\w{63,65}$/));
const VIEWS = ['Uint8Array', 'Uint8Array', 'ArrayBuffer', 'DataView', 'Int8Array', 'Uint16Array'];

/** Everything there is to call, with the arguments of it. */
const CALLS = {
  decodeMulaw: through('Uint8Array', 'Int16Array', 1),
  encodeMulaw: through('Int16Array', 'Uint8Array', 1),
  decodeAlaw: through('Uint8Array', 'Int16Array', 1),
  encodeAlaw: through('Int16Array', 'Uint8Array', 1),
  decodeBase64: fc.tuple(bytes(BASE64), NEARLY, PLACE).map(([text, more, output]) => {
    const length = Math.max(0, Math.floor(text.length / 4) * 3 + more);
    return [text, { type: 'Uint8Array', length, ...output }];
  }),
  encodeBase64: through('Uint8Array', 'Uint8Array', 1).map(([input, output]) => {
    const length = Math.ceil(input.length / 3) * 4 + output.length - input.length;
    return [input, { ...output, length: Math.max(0, length) }];
  }),
  mix: mixed(() => 1),
  mixMinus: mixed((members) => members),
  shorten: fc.tuple(
    view('Int16Array', mostly(fc.integer({ min: 960, max: 1920 }), fc.constantFrom(959, 960, 1920, 1921))),
    mostly(fc.nat(1000), fc.double(), fc.constantFrom(119.9, 120, 720, 2 ** 53)),
  ),
  useKernels: fc.tuple(fc.constantFrom(...addons[0].usableKernels)),
  liveTranscoders: fc.constant([]),
  Transcoder: fc.tuple(fc.constantFrom(undefined, ...FORMATS)),
  Upsampler: fc.constant([]),
  Downsampler: fc.constant([]),
  DtmfGenerator: fc.constant([]),
  'Transcoder.bind': fc.tuple(NAME),
  'Transcoder.receive': fc.tuple(bytes(MESSAGE, VIEWS)),
  'Transcoder.receivePayload': fc.tuple(bytes(BASE64), TIME),
  'Transcoder.conceal': fc.tuple(
    mostly(
      fc.integer({ min: 1, max: 8000 }).map((n) => 6 * n),
      fc.nat(50_000),
      fc.double(),
    ),
  ),
  'Transcoder.transmit': fc.tuple(
    view(
      'Int16Array',
      fc.oneof(
        LENGTH.map((n) => 6 * n),
        LENGTH,
      ),
    ),
  ),
  'Transcoder.decode': through('Uint8Array', 'Int16Array', 3, 6),
  'Transcoder.encode': through('Int16Array', 'Uint8Array', 1 / 6, 1 / 3),
  'Transcoder.close': fc.constant([]),
  'Upsampler.process': through('Int16Array', 'Int16Array', 6),
  'Downsampler.process': through('Int16Array', 'Int16Array', 1 / 6),
  'DtmfGenerator.push': fc.tuple(DIGITS, TIMING, TIMING),
  'DtmfGenerator.read': fc.tuple(view('Int16Array', fc.oneof(LENGTH, fc.nat(200_000)))),
  'DtmfGenerator.clear': fc.constant([]),
};

const angry = () => {
  throw new Error('asked');
};
const detach = (buffer) => structuredClone(buffer, { transfer: [buffer] }) && buffer;
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  return proxy;
};
/** Invalid arguments. */
const HOSTILE = {
  null: () => null,
  true: () => true,
  zero: () => 0,
  NaN: () => Number.NaN,
  infinity: () => Number.NEGATIVE_INFINITY,
  bigint: () => -(10n ** 40n),
  'empty string': () => '',
  'long string': () => 'µ'.repeat(100_000),
  'half a character': () => '\ud800',
  'a string with a zero': () => 'mulaw\0',
  symbol: () => Symbol('mulaw'),
  function: () => angry,
  class: (addon) => addon.Transcoder,
  object: () => ({ length: 8, toString: angry, valueOf: angry, [Symbol.toPrimitive]: angry }),
  array: () => [1, 2, 3],
  'array without a prototype': () => Object.setPrototypeOf(new Int16Array(6), null),
  date: () => new Date(0),
  proxy: () => new Proxy(new Int16Array(6), { get: angry, getPrototypeOf: angry }),
  'revoked proxy': revoked,
  Float64Array: () => new Float64Array(3),
  BigInt64Array: () => new BigInt64Array(3),
  Uint8ClampedArray: () => new Uint8ClampedArray(6),
  'empty Int16Array': () => new Int16Array(),
  'empty Uint8Array': () => new Uint8Array(),
  ArrayBuffer: () => new ArrayBuffer(12),
  SharedArrayBuffer: () => new SharedArrayBuffer(12),
  'detached ArrayBuffer': () => detach(new ArrayBuffer(12)),
  DataView: () => new DataView(new ArrayBuffer(12)),
  Upsampler: (addon) => new addon.Upsampler(),
  'inheriting object': (addon) => Object.create(new addon.Transcoder()),
  'object of two classes': (addon) => Reflect.construct(addon.Transcoder, [], addon.Upsampler),
  'proxy of a Transcoder': (addon) => new Proxy(new addon.Transcoder(), {}),
};

const hostile = fc.constantFrom(...Object.keys(HOSTILE)).map((name) => ({ hostile: name }));
const STEP = fc.oneof(
  ...Object.entries(CALLS).map(([call, args]) => ({
    // Beginnings and ends are rarer than uses.
    weight: /close|clear|^[A-Z]\w+$/.test(call) ? 2 : /[.]/.test(call) ? 16 : 8,
    arbitrary: fc.record({
      call: fc.constant(call),
      args,
      of: fc.nat(),
      /** One argument of it is another, or is missing together with those after it. */
      spoilt: rarely(6, fc.record({ at: fc.nat(2), by: fc.option(hostile) })),
      receiver: rarely(10, hostile),
      odd: rarely(8, fc.constant(true)),
    }),
  })),
  fc.record({ call: fc.constant('forget'), args: fc.constant([]), of: fc.nat() }),
);

// ---- What becomes of them ----

function fill(memory, noise) {
  let state = noise | 1;
  // A few constants are the loudest, the quietest, and what the codecs make of them.
  if (noise % 4 === 0) return memory.fill(noise >> 2);
  for (let i = 0; i < memory.length; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    memory[i] = state >>> 24;
  }
}

function make(argument, { addon }, before) {
  if (argument?.hostile) return HOSTILE[argument.hostile](addon);
  if (argument?.type === undefined) return argument;
  const { type, text, length, noise, memory } = argument;
  const View = globalThis[type];
  const size = View.BYTES_PER_ELEMENT ?? 1;
  const offset = type === 'ArrayBuffer' ? 0 : argument.offset * size;
  if (memory === 'slab' && View !== ArrayBuffer) {
    const start = addon.layout.samples + offset;
    return new View(addon.slab, start, Math.min(length, 100_000));
  }
  // A detached buffer has none.
  if (memory === 'first' && before?.buffer?.byteLength >= Math.max(1, length * size)) {
    return new View(before.buffer, 0, length);
  }
  const total = offset + length * size;
  const isResizable = memory === 'resizable' || memory === 'shrunk';
  const buffer =
    memory === 'shared'
      ? new SharedArrayBuffer(total)
      : new ArrayBuffer(total, isResizable ? { maxByteLength: total + 64 } : {});
  const whole = new Uint8Array(buffer);
  if (text === undefined) fill(whole, noise);
  else whole.set(Buffer.from(text, 'latin1'), offset);
  const made = View === ArrayBuffer ? buffer : new View(buffer, offset, ...(isResizable ? [] : [length]));
  if (memory === 'shrunk') buffer.resize(total >> 1);
  if (memory === 'detached') detach(buffer);
  return made;
}

function newWorld(addon) {
  new Uint8Array(addon.slab).fill(0);
  const objects = Object.fromEntries(CLASSES.map((name) => [name, [new addon[name]()]]));
  for (const format of FORMATS) {
    const transcoder = new addon.Transcoder(format);
    transcoder.bind(SID);
    objects.Transcoder.push(transcoder);
  }
  return { addon, objects };
}

function perform({ addon, objects }, { call, of, receiver, odd }, args) {
  const [name, method] = call.split('.');
  if (call === 'forget') {
    const kind = objects[CLASSES[of % CLASSES.length]];
    kind.splice(of % kind.length, 1);
  } else if (method !== undefined) {
    const kind = objects[name];
    const self = receiver ? HOSTILE[receiver.hostile](addon) : kind[of % kind.length];
    // Without an object left, the call is one on nothing.
    return Reflect.apply(addon[name].prototype[method], self, args);
  } else if (!CLASSES.includes(name)) {
    return odd ? new addon[name](...args) : addon[name](...args);
  } else if (odd) {
    return addon[name](...args);
  } else {
    objects[name].push(new addon[name](...args));
  }
}

/** The end of a step, and all memory that it could have touched. */
function take(world, step) {
  const args = [];
  for (const argument of step.args) args.push(make(argument, world, args[0]));
  if (step.spoilt?.by) args[step.spoilt.at] = make(step.spoilt.by, world);
  else if (step.spoilt) args.length = Math.min(args.length, step.spoilt.at);
  let end;
  try {
    const returned = perform(world, step, args);
    end = { returned: typeof returned === 'object' ? 'an object' : returned };
  } catch (error) {
    assert(error instanceof Error && !/asked/.test(error.message), 'nobody was to be asked');
    end = { thrown: [error.name, error.code, error.message] };
  }
  // Not of proxies: they would be asked.
  const memory = args.map((argument) => (ArrayBuffer.isView(argument) ? argument.buffer : argument));
  return {
    end,
    memory: [world.addon.slab, ...memory]
      .filter((buffer) => types.isAnyArrayBuffer(buffer) && buffer.byteLength > 0)
      .map((buffer) => Buffer.from(buffer)),
  };
}

const ends = Object.fromEntries(
  [...Object.keys(CALLS), 'forget'].map((call) => [call, { taken: 0, thrown: 0 }]),
);

function same(worlds, step) {
  const [ours, theirs] = worlds.map((world) => take(world, step));
  const count = step.call === 'liveTranscoders' && ours.end.returned >= 0;
  if (!count) assert.deepEqual(ours.end, theirs.end);
  assert.equal(ours.memory.length, theirs.memory.length);
  for (const [i, memory] of ours.memory.entries()) assert(memory.equals(theirs.memory[i]), 'the same memory');
  if (ours.end.thrown) ends[step.call].thrown++;
  else if (ours.end.returned !== -1) ends[step.call].taken++;
}

// ---- Calls that are not left to chance ----

/** As long as Node 20 allows; always rejected, so the memory is never touched. */
function refuseHuge(addon) {
  const memory = new ArrayBuffer(2 ** 32 - 4);
  const bytes = new Uint8Array(memory);
  const pcm = new Int16Array(memory);
  const fewBytes = new Uint8Array(6);
  const fewSamples = new Int16Array(6);
  const transcoder = new addon.Transcoder();
  transcoder.bind(SID);
  assert.equal(transcoder.receive(memory), -1);
  assert.equal(transcoder.receive(bytes), -1);
  assert.equal(transcoder.receivePayload(bytes, 0), -1);
  for (const call of [
    () => transcoder.transmit(pcm),
    () => transcoder.decode(bytes, fewSamples),
    () => transcoder.encode(pcm, fewBytes),
    () => new addon.Upsampler().process(pcm, fewSamples),
    () => new addon.Downsampler().process(pcm, fewSamples),
    () => addon.decodeMulaw(bytes, fewSamples),
    () => addon.encodeMulaw(pcm, fewBytes),
    () => addon.decodeAlaw(bytes, fewSamples),
    () => addon.encodeAlaw(pcm, fewBytes),
    () => addon.decodeBase64(bytes, fewBytes),
    () => addon.encodeBase64(bytes, fewBytes),
    () => addon.mix(pcm, new Uint8Array(2), fewSamples),
    () => addon.mix(fewSamples, bytes, fewSamples),
    () => addon.mixMinus(pcm, new Uint8Array(2), fewSamples),
    () => addon.mixMinus(fewSamples, bytes, fewSamples),
    () => new addon.DtmfGenerator().push('1'.repeat(2 ** 24)),
  ]) {
    assert.throws(call, RangeError);
  }
}

/** A thread leaves while its objects live, by its end or in the middle of a call. */
async function leaveThread(how) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2), workerData: how });
  const gone = once(worker, 'exit');
  await once(worker, 'message');
  if (how === 'terminated') worker.terminate();
  await gone;
}

if (isMainThread) {
  const called = Object.keys(CALLS);
  assert.deepEqual(
    called.sort(),
    Object.entries(addons[0])
      .flatMap(([name, value]) => [
        ...(typeof value === 'function' ? [name] : []),
        ...(CLASSES.includes(name)
          ? Object.getOwnPropertyNames(value.prototype)
              .filter((method) => method !== 'constructor')
              .map((method) => `${name}.${method}`)
          : []),
      ])
      .sort(),
    'everything that the addon exports is called here',
  );

  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { minLength: 1, maxLength: 500, size: 'max' }), async (steps) => {
      const worlds = addons.map(newWorld);
      for (const step of steps) same(worlds, step);
      if (run++ % 4 === 0) globalThis.gc();
      await setImmediate();
    }),
    { seed: Number(seed), numRuns: Number(runs), endOnFailure: unshrunk === 'unshrunk' },
  );
  refuseHuge(addons[0]);
  for (const how of ['ended', 'terminated']) await leaveThread(how);
  for (let i = 0; i < 10 && addons[0].liveTranscoders() > 0; i++) {
    globalThis.gc();
    await setImmediate();
  }
  assert.equal(addons[0].liveTranscoders(), 0, 'all transcoders were collected');
  // Counts accepted and rejected calls of each function.
  console.log(JSON.stringify(ends));
} else {
  const { objects } = newWorld(addons[0]);
  parentPort.postMessage('working');
  const pcm = new Int16Array(960);
  do objects.Transcoder[1].transmit(pcm);
  while (workerData === 'terminated');
}
