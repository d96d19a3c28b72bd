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
  readonly Upsampler: new () => RawResampler;
  readonly Downsampler: new () => RawResampler;
  readonly DtmfGenerator: new () => RawDtmfGenerator;
  /** Makes a transcoder. @param format its place in {@link PAYLOAD_FORMATS} @returns its handle, a small integer */
  openTranscoder(format: number): number;
  /** Frees a transcoder; called once, and nothing with its handle after it. */
  closeTranscoder(transcoder: number): void;
  /** @returns false, with nothing changed, for a SID that is none */
  bind(transcoder: number, streamSid: string): boolean;
  /** Of any value: -1 unless it is memory with a plain message. */
  receive(transcoder: number, message: ArrayBuffer | ArrayBufferView): number;
  receivePayload(transcoder: number, base64: Uint8Array, timestampMs: number): number;
  conceal(transcoder: number, samples: number): void;
  transmit(transcoder: number, pcm: Int16Array): number;
  /** @param width bytes of a sample of the payload */
  decode(transcoder: number, payload: Uint8Array, out: Int16Array, width: number): void;
  encode(transcoder: number, pcm: Int16Array, out: Uint8Array, width: number): void;
  decodeMulaw(bytes: Uint8Array, out: Int16Array): void;
  encodeMulaw(pcm: Int16Array, out: Uint8Array): void;
  decodeAlaw(bytes: Uint8Array, out: Int16Array): void;
  encodeAlaw(pcm: Int16Array, out: Uint8Array): void;
  decodeBase64(text: Uint8Array, out: Uint8Array): number;
  encodeBase64(bytes: Uint8Array, out: Uint8Array): void;
  mixMinus(inputs: Int16Array, active: Uint8Array, outputs: Int16Array): void;
  mix(inputs: Int16Array, active: Uint8Array, output: Int16Array): void;
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
  /** Frees the transcoders that nobody closed. */
  const forgotten = new FinalizationRegistry<number>((handle) => raw.closeTranscoder(handle));
  return class implements Transcoder {
    // Shared by the transcoders of a thread: thread-core.ts puts them on the prototype.
    declare readonly samples: Int16Array;
    declare readonly message: Uint8Array;
    declare readonly info: Float64Array;
    /** `undefined` once it is closed. */
    #handle: number | undefined;
    #isBound = false;
    /** Bytes of a sample of payload. */
    readonly #width: number;

    constructor(format: PayloadFormat = 'mulaw') {
      const number = PAYLOAD_FORMATS.indexOf(format);
      if (number < 0) throw rangeError('mulaw, alaw, l16 or l16le', 'format', describe(format));
      this.#width = number < 2 ? 1 : 2;
      this.#handle = raw.openTranscoder(number);
      forgotten.register(this, this.#handle, this);
    }

    bind(streamSid: string): void {
      const handle = this.#handle ?? closed();
      if (!raw.bind(handle, stringOf(streamSid, 'streamSid'))) {
        throw rangeError('1 to 64 characters of A-Z a-z 0-9 _ -', 'streamSid', describe(streamSid));
      }
      this.#isBound = true;
    }

    receive(message: ArrayBuffer | ArrayBufferView): number {
      const handle = this.#handle ?? closed();
      if (!this.#isBound) {
        checkMessage(message);
        throw unbound();
      }
      const samples = raw.receive(handle, message);
      // Only now, off the hot path: a raw core takes any value, and finds no message in a wrong one.
      if (samples < 0) checkMessage(message);
      return samples;
    }

    receivePayload(base64: Uint8Array, timestampMs: number): number {
      const handle = this.#handle ?? closed();
      return raw.receivePayload(handle, bytesOf(base64, 'base64'), numberOf(timestampMs, 'timestampMs'));
    }

    conceal(samples: number): number {
      const handle = this.#handle ?? closed();
      numberOf(samples, 'samples');
      if (!(samples >= 6 && samples <= MAX_CONCEALED && samples % 6 === 0)) {
        throw rangeError(`a multiple of 6 from 6 to ${MAX_CONCEALED}`, 'samples', describe(samples));
      }
      raw.conceal(handle, samples);
      return samples;
    }

    transmit(pcm: Int16Array): number {
      const handle = this.#handle ?? closed();
      const length = pcmLength(pcm, 'pcm');
      if (!this.#isBound) throw unbound();
      if (length === 0 || length > MAX_TRANSMIT || length % 6 !== 0) {
        throw rangeError(`a multiple of 6 from 6 to ${MAX_TRANSMIT} samples`, 'pcm', `${length} samples`);
      }
      return raw.transmit(handle, pcm);
    }

    decode(payload: Uint8Array, out: Int16Array): number {
      const handle = this.#handle ?? closed();
      const bytes = bytesLength(payload, 'payload');
      const room = pcmLength(out, 'out');
      if (bytes % this.#width !== 0) throw rangeError('a multiple of 2 bytes', 'payload', `${bytes} bytes`);
      const samples = (6 * bytes) / this.#width;
      checkRoom(samples, room, 'samples');
      raw.decode(handle, payload, out, this.#width);
      return samples;
    }

    encode(pcm: Int16Array, out: Uint8Array): number {
      const handle = this.#handle ?? closed();
      const samples = pcmLength(pcm, 'pcm');
      const room = bytesLength(out, 'out');
      checkSixths(samples);
      const bytes = (samples / 6) * this.#width;
      checkRoom(bytes, room, 'bytes');
      raw.encode(handle, pcm, out, this.#width);
      return bytes;
    }

    close(): void {
      if (this.#handle === undefined) return;
      forgotten.unregister(this);
      raw.closeTranscoder(this.#handle);
      this.#handle = undefined;
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
