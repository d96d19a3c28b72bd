import { types } from 'node:util';
import { describe, expected } from '../errors.js';
import { bytesLength, bytesOf, numberOf, pcmLength, pcmOf, stringOf } from './arguments.js';
import {
  type Core,
  type DtmfGenerator,
  PAYLOAD_FORMATS,
  type PayloadFormat,
  type Resampler,
  type Transcoder,
} from './core.js';

/** See kMaxTransmit, kMaxConcealed and kMaxMixMembers in native/. */
const MAX_TRANSMIT = 48_000;
const MAX_CONCEALED = 48_000;
const MAX_MEMBERS = 65_535;
/** Samples that `shorten` takes, and how many it can remove: see native/shortener.h. */
const [MIN_SHORTENED, MAX_SHORTENED] = [960, 1_920];
const [MIN_PERIOD, MAX_PERIOD] = [120, 720];
/** Digits that may wait, and samples of a tone or a pause: see native/dtmf.h. */
const MAX_DIGITS = 64;
const [MIN_TIMING, DEFAULT_TIMING, MAX_TIMING] = [1_920, 4_800, 96_000];
const SAMPLES_PER_MS = 48;

/**
 * What the addon and the WebAssembly modules implement. They trust their caller: every argument has the type, the length and
 * the room that {@link Core} asks for. {@link checkedCore} makes sure of that, for all of them in one place.
 */
export interface RawCore
  extends Pick<Core, 'backend' | 'kernels' | 'origin' | 'slab' | 'layout' | 'liveTranscoders' | 'shorten'> {
  /** @param format its place in {@link PAYLOAD_FORMATS} */
  readonly Transcoder: new (
    format: number,
  ) => RawTranscoder;
  readonly Upsampler: new () => RawResampler;
  readonly Downsampler: new () => RawResampler;
  readonly DtmfGenerator: new () => RawDtmfGenerator;
  decodeMulaw(bytes: Uint8Array, out: Int16Array): void;
  encodeMulaw(pcm: Int16Array, out: Uint8Array): void;
  decodeAlaw(bytes: Uint8Array, out: Int16Array): void;
  encodeAlaw(pcm: Int16Array, out: Uint8Array): void;
  decodeBase64(text: Uint8Array, out: Uint8Array): number;
  encodeBase64(bytes: Uint8Array, out: Uint8Array): void;
  mixMinus(inputs: Int16Array, active: Uint8Array, outputs: Int16Array): void;
  mix(inputs: Int16Array, active: Uint8Array, output: Int16Array): void;
}

export interface RawTranscoder {
  /** @returns false, with nothing changed, for a SID that is none */
  bind(streamSid: string): boolean;
  /** Of any value: -1 unless it is memory with a plain message. */
  receive(message: ArrayBuffer | ArrayBufferView): number;
  receivePayload(base64: Uint8Array, timestampMs: number): number;
  conceal(samples: number): void;
  transmit(pcm: Int16Array): number;
  decode(payload: Uint8Array, out: Int16Array): void;
  encode(pcm: Int16Array, out: Uint8Array): void;
  /** Frees the native state; called once, and nothing after it. */
  close(): void;
}

export interface RawResampler {
  process(pcm: Int16Array, out: Int16Array): void;
}

export interface RawDtmfGenerator {
  /** @param toneSamples at 48 kHz, as `pauseSamples` @returns false, with nothing changed, if too many digits would wait */
  push(digits: string, toneSamples: number, pauseSamples: number): boolean;
  read(out: Int16Array): void;
  clear(): void;
  /** Samples left to read. */
  left(): number;
  /** Digits not yet read to their end. */
  waiting(): number;
}

/** A core that checks every argument before a raw one gets it. */
export function checkedCore(raw: RawCore): Core {
  return {
    backend: raw.backend,
    kernels: raw.kernels,
    origin: raw.origin,
    slab: raw.slab,
    layout: raw.layout,
    liveTranscoders: () => raw.liveTranscoders(),
    Transcoder: transcoderClass(raw),
    Upsampler: resamplerClass(raw, 'up'),
    Downsampler: resamplerClass(raw, 'down'),
    DtmfGenerator: dtmfClass(raw),
    decodeMulaw: expander(raw.decodeMulaw),
    encodeMulaw: compressor(raw.encodeMulaw),
    decodeAlaw: expander(raw.decodeAlaw),
    encodeAlaw: compressor(raw.encodeAlaw),
    decodeBase64(text, out) {
      const length = bytesLength(text, 'text');
      checkRoom(Math.floor(length / 4) * 3, bytesLength(out, 'out'), 'bytes');
      return raw.decodeBase64(text, out);
    },
    encodeBase64(bytes, out) {
      const length = Math.ceil(bytesLength(bytes, 'bytes') / 3) * 4;
      checkRoom(length, bytesLength(out, 'out'), 'bytes');
      raw.encodeBase64(bytes, out);
      return length;
    },
    mixMinus(inputs, active, outputs) {
      const samples = pcmLength(inputs, 'inputs');
      checkMix(samples, bytesLength(active, 'active'), samples, pcmLength(outputs, 'outputs'), 'outputs');
      raw.mixMinus(inputs, active, outputs);
    },
    mix(inputs, active, output) {
      const samples = pcmLength(inputs, 'inputs');
      const members = bytesLength(active, 'active');
      checkMix(samples, members, samples / members, pcmLength(output, 'output'), 'output');
      raw.mix(inputs, active, output);
    },
    shorten(pcm, most) {
      const samples = pcmLength(pcm, 'pcm');
      numberOf(most, 'most');
      if (samples < MIN_SHORTENED || samples > MAX_SHORTENED) {
        throw rangeError(`${MIN_SHORTENED} to ${MAX_SHORTENED} samples`, 'pcm', `${samples} samples`);
      }
      // NaN counts as too small.
      return raw.shorten(pcm, most >= MIN_PERIOD ? Math.min(most, MAX_PERIOD) : 0);
    },
  };
}

function transcoderClass(raw: RawCore): Core['Transcoder'] {
  return class implements Transcoder {
    // Shared by the transcoders of a thread: thread-core.ts puts them on the prototype.
    declare readonly samples: Int16Array;
    declare readonly message: Uint8Array;
    declare readonly info: Float64Array;
    /** `undefined` once it is closed. */
    #raw: RawTranscoder | undefined;
    #isBound = false;
    /** Bytes of a sample of payload. */
    readonly #width: number;

    constructor(format: PayloadFormat = 'mulaw') {
      const number = PAYLOAD_FORMATS.indexOf(format);
      if (number < 0) throw rangeError('mulaw, alaw, l16 or l16le', 'format', describe(format));
      this.#width = number < 2 ? 1 : 2;
      this.#raw = new raw.Transcoder(number);
    }

    bind(streamSid: string): void {
      const open = this.#raw ?? closed();
      if (!open.bind(stringOf(streamSid, 'streamSid'))) {
        throw rangeError('1 to 64 characters of A-Z a-z 0-9 _ -', 'streamSid', describe(streamSid));
      }
      this.#isBound = true;
    }

    receive(message: ArrayBuffer | ArrayBufferView): number {
      const open = this.#raw ?? closed();
      if (!this.#isBound) {
        checkMessage(message);
        throw unbound();
      }
      const samples = open.receive(message);
      // Only now, off the hot path: a raw core takes any value, and finds no message in a wrong one.
      if (samples < 0) checkMessage(message);
      return samples;
    }

    receivePayload(base64: Uint8Array, timestampMs: number): number {
      const open = this.#raw ?? closed();
      return open.receivePayload(bytesOf(base64, 'base64'), numberOf(timestampMs, 'timestampMs'));
    }

    conceal(samples: number): number {
      const open = this.#raw ?? closed();
      numberOf(samples, 'samples');
      if (!(samples >= 6 && samples <= MAX_CONCEALED && samples % 6 === 0)) {
        throw rangeError(`a multiple of 6 from 6 to ${MAX_CONCEALED}`, 'samples', describe(samples));
      }
      open.conceal(samples);
      return samples;
    }

    transmit(pcm: Int16Array): number {
      const open = this.#raw ?? closed();
      const length = pcmLength(pcm, 'pcm');
      if (!this.#isBound) throw unbound();
      if (length === 0 || length > MAX_TRANSMIT || length % 6 !== 0) {
        throw rangeError(`a multiple of 6 from 6 to ${MAX_TRANSMIT} samples`, 'pcm', `${length} samples`);
      }
      return open.transmit(pcm);
    }

    decode(payload: Uint8Array, out: Int16Array): number {
      const open = this.#raw ?? closed();
      const bytes = bytesLength(payload, 'payload');
      const room = pcmLength(out, 'out');
      if (bytes % this.#width !== 0) throw rangeError('a multiple of 2 bytes', 'payload', `${bytes} bytes`);
      const samples = (6 * bytes) / this.#width;
      checkRoom(samples, room, 'samples');
      open.decode(payload, out);
      return samples;
    }

    encode(pcm: Int16Array, out: Uint8Array): number {
      const open = this.#raw ?? closed();
      const samples = pcmLength(pcm, 'pcm');
      const room = bytesLength(out, 'out');
      checkSixths(samples);
      const bytes = (samples / 6) * this.#width;
      checkRoom(bytes, room, 'bytes');
      open.encode(pcm, out);
      return bytes;
    }

    close(): void {
      this.#raw?.close();
      this.#raw = undefined;
    }
  };
}

function resamplerClass(raw: RawCore, direction: 'up' | 'down'): new () => Resampler {
  const isUp = direction === 'up';
  return class implements Resampler {
    readonly #raw = isUp ? new raw.Upsampler() : new raw.Downsampler();

    process(pcm: Int16Array, out: Int16Array): number {
      const resampler = this.#raw;
      const length = pcmLength(pcm, 'pcm');
      const room = pcmLength(out, 'out');
      if (!isUp) checkSixths(length);
      const samples = isUp ? 6 * length : length / 6;
      checkRoom(samples, room, 'samples');
      resampler.process(pcm, out);
      return samples;
    }
  };
}

function dtmfClass(raw: RawCore): new () => DtmfGenerator {
  return class implements DtmfGenerator {
    readonly #raw = new raw.DtmfGenerator();

    push(digits: string, toneMs?: number, pauseMs?: number): number {
      const generator = this.#raw;
      // The errors do not repeat the digits: they may be somebody's PIN.
      const stray = stringOf(digits, 'digits').search(/[^0-9*#A-Da-dwW]/);
      if (stray >= 0) {
        throw rangeError('only 0-9 * # A-D w W', 'digits', `another character at index ${stray}`);
      }
      const tone = timingOf(toneMs, 'toneMs');
      const pause = timingOf(pauseMs, 'pauseMs');
      if (!generator.push(digits, tone, pause)) {
        const waiting = generator.waiting() + digits.length;
        const error = rangeError(`at most ${MAX_DIGITS} digits`, 'the queue', `${waiting} digits`);
        throw Object.assign(error, { code: 'GW_DTMF_QUEUE_FULL' });
      }
      return generator.left();
    }

    read(out: Int16Array): number {
      const generator = this.#raw;
      generator.read(pcmOf(out, 'out'));
      return generator.left();
    }

    clear(): void {
      this.#raw.clear();
    }
  };
}

function expander(decode: RawCore['decodeMulaw']): Core['decodeMulaw'] {
  return (bytes, out) => {
    const samples = bytesLength(bytes, 'bytes');
    checkRoom(samples, pcmLength(out, 'out'), 'samples');
    decode(bytes, out);
    return samples;
  };
}

function compressor(encode: RawCore['encodeMulaw']): Core['encodeMulaw'] {
  return (pcm, out) => {
    const samples = pcmLength(pcm, 'pcm');
    checkRoom(samples, bytesLength(out, 'out'), 'bytes');
    encode(pcm, out);
    return samples;
  };
}

function checkMessage(value: unknown): void {
  if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) return;
  throw expected('an ArrayBuffer or a view of one', 'message', value);
}

function closed(): never {
  throw Object.assign(new Error('The transcoder has already been closed'), {
    code: 'GW_TRANSCODER_CLOSED',
  });
}

function unbound(): Error {
  return Object.assign(new Error('The transcoder is not bound to a stream yet'), {
    code: 'GW_TRANSCODER_UNBOUND',
  });
}

function rangeError(what: string, subject: string, received: string): RangeError {
  return new RangeError(`Expected ${what} for ${subject} but received ${received}`);
}

/** 48 kHz audio must be a whole number of samples at 8 kHz. */
function checkSixths(samples: number): void {
  if (samples % 6 !== 0) throw rangeError('a multiple of 6 samples', 'pcm', `${samples} samples`);
}

function checkRoom(needed: number, room: number, unit: string): void {
  if (room < needed) throw rangeError(`room for ${needed} ${unit}`, 'out', `${room} ${unit}`);
}

/** The inputs must hold as many samples of each member, and the output must be exactly as long as `wanted`. */
function checkMix(samples: number, members: number, wanted: number, length: number, subject: string): void {
  if (members === 0 || members > MAX_MEMBERS) {
    throw rangeError(`1 to ${MAX_MEMBERS} members`, 'active', `${members} members`);
  }
  if (samples % members !== 0) {
    throw rangeError(`a multiple of ${members} samples`, 'inputs', `${samples} samples`);
  }
  if (length !== wanted) throw rangeError(`${wanted} samples`, subject, `${length} samples`);
}

/** Milliseconds of a tone, or of the pause after it, as samples. */
function timingOf(ms: unknown, subject: string): number {
  if (ms === undefined) return DEFAULT_TIMING;
  const samples = Math.round(numberOf(ms, subject) * SAMPLES_PER_MS);
  if (samples >= MIN_TIMING && samples <= MAX_TIMING) return samples;
  throw rangeError('40 to 2000 milliseconds', subject, 'another number');
}
