import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type Core,
  type DtmfGenerator,
  PAYLOAD_FORMATS,
  type PayloadFormat,
  type Resampler,
  type SlabLayout,
} from './core.js';
import {
  bytesOf,
  checkLength,
  checkMembers,
  checkPiece,
  checkRoom,
  checkSid,
  checkWholeFrames,
  describe,
  messageOf,
  numberOf,
  pcmOf,
  rangeError,
  stringOf,
  timingOf,
} from './wasm-arguments.js';

// Node's types leave this to those of browsers.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** What native/wasm/module.cc exports. An address of 0 is none. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  initialize(): void;
  kernels(): number;
  infoAt(): number;
  samplesAt(): number;
  samplesCapacity(): number;
  messageAt(): number;
  messageCapacity(): number;
  inputAt(): number;
  outputAt(): number;
  scratchCapacity(): number;
  release(cell: number): void;
  newTranscoder(format: number): number;
  bind(self: number, sid: number, length: number): number;
  receive(self: number, message: number, length: number): number;
  receivePayload(self: number, base64: number, length: number, timestampMs: number): number;
  conceal(self: number, samples: number): void;
  transmit(self: number, pcm: number, samples: number): number;
  decode(self: number, bytes: number, count: number, pcm: number): void;
  encode(self: number, pcm: number, count: number, bytes: number): void;
  newUpsampler(): number;
  upsample(self: number, pcm: number, count: number, out: number): void;
  newDownsampler(): number;
  downsample(self: number, pcm: number, count: number, out: number): void;
  newDtmfGenerator(): number;
  findNonDigit(digits: number, length: number): number;
  dtmfPush(self: number, digits: number, length: number, tone: number, pause: number): number;
  dtmfRead(self: number, out: number, count: number): void;
  dtmfLeft(self: number): number;
  dtmfWaiting(self: number): number;
  dtmfClear(self: number): void;
  decodeMulaw(bytes: number, count: number, pcm: number): void;
  encodeMulaw(pcm: number, count: number, bytes: number): void;
  decodeAlaw(bytes: number, count: number, pcm: number): void;
  encodeAlaw(pcm: number, count: number, bytes: number): void;
  decodeBase64(text: number, length: number, bytes: number): number;
  encodeBase64(bytes: number, count: number, text: number): number;
  mixMinus(inputs: number, active: number, members: number, samples: number, outputs: number): void;
  mix(inputs: number, active: number, members: number, samples: number, output: number): void;
  shorten(pcm: number, count: number, most: number): number;
}

/** Bytes longer than this are not a message; a copy of them would not fit. See kMaxMessage in native/transcoder.h. */
const MAX_MESSAGE = 64 * 1024;
/** 1 s at 48 kHz, see kMaxTransmit. */
const MAX_TRANSMIT = 48_000;
/** 1 s at 48 kHz, see kMaxConcealed. */
const MAX_CONCEALED = 48_000;
/** What a piece can be shortened by, see native/shortener.h. */
const [MIN_PERIOD, MAX_PERIOD] = [120, 720];
/** 8 kHz samples that are converted at a time where the arguments may have any length. */
const PIECE = 16_000;
/** Lengths of answers that are kept in sight. Audio comes in few; whoever has more pays for a view each. */
const MOST_VIEWS = 64;

/** The modules that come with Trunkline, the faster first; the same two levels above `src/media` and `dist/media`. */
export const WASM_MODULES: readonly string[] = ['trunkline-simd.wasm', 'trunkline.wasm'].map((name) =>
  fileURLToPath(new URL(`../../native/wasm/${name}`, import.meta.url)),
);

/**
 * Starts a module: a memory of its own, which never grows or moves.
 * @throws Error in few words if there is no such module, or this engine cannot run it
 */
export function loadWasm(path: string): Core {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)));
  return new WasmMemory(exports as Exports).core(path);
}

/** One instance: the ways in and out of its memory, and the classes that live in it. */
class WasmMemory {
  private readonly buffer: ArrayBuffer;
  private readonly bytes: Uint8Array;
  private readonly words: Int16Array;
  private readonly input: number;
  private readonly output: number;
  /** The beginning of the output, by length: a frame is to leave nothing behind, so no view of its own either. */
  private readonly samplesOut = new Map<number, Int16Array>();
  private readonly bytesOut = new Map<number, Uint8Array>();
  /** Frees the cells of objects that nobody closed. */
  private readonly forgotten = new FinalizationRegistry<number>((cell) => this.exports.release(cell));
  private readonly forgottenTranscoders = new FinalizationRegistry<number>((cell) =>
    this.freeTranscoder(cell),
  );
  private liveTranscoders = 0;

  constructor(private readonly exports: Exports) {
    exports.initialize();
    this.buffer = exports.memory.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Int16Array(this.buffer);
    this.input = exports.inputAt();
    this.output = exports.outputAt();
  }

  core(origin: string): Core {
    return {
      backend: 'wasm',
      kernels: this.text(this.exports.kernels()) as Core['kernels'],
      origin,
      slab: this.buffer,
      layout: this.layout(),
      Transcoder: this.transcoderClass(),
      Upsampler: this.resamplerClass('up'),
      Downsampler: this.resamplerClass('down'),
      DtmfGenerator: this.dtmfClass(),
      decodeMulaw: (bytes, out) => this.expand(this.exports.decodeMulaw, bytes, out),
      encodeMulaw: (pcm, out) => this.compress(this.exports.encodeMulaw, pcm, out),
      decodeAlaw: (bytes, out) => this.expand(this.exports.decodeAlaw, bytes, out),
      encodeAlaw: (pcm, out) => this.compress(this.exports.encodeAlaw, pcm, out),
      decodeBase64: (text, out) => this.decodeBase64(text, out),
      encodeBase64: (bytes, out) => this.encodeBase64(bytes, out),
      mixMinus: (inputs, active, outputs) => this.mixMinus(inputs, active, outputs),
      mix: (inputs, active, output) => this.mix(inputs, active, output),
      shorten: (pcm, most) => this.shorten(pcm, most),
      liveTranscoders: () => this.liveTranscoders,
    };
  }

  private layout(): SlabLayout {
    return {
      info: this.exports.infoAt(),
      samples: this.exports.samplesAt(),
      samplesCapacity: this.exports.samplesCapacity(),
      message: this.exports.messageAt(),
      messageCapacity: this.exports.messageCapacity(),
    };
  }

  private text(at: number): string {
    return Buffer.from(this.buffer, at, this.bytes.indexOf(0, at) - at).toString('latin1');
  }

  /** Where the core reads `bytes`: in place if they lie in its memory, else a copy, at most the scratch's size long. */
  private addressOf(bytes: Uint8Array | Int16Array): number {
    if (bytes.buffer === this.buffer) return bytes.byteOffset;
    if (bytes.length === 0) return this.input;
    if (bytes.BYTES_PER_ELEMENT === 2) this.words.set(bytes, this.input / 2);
    else this.bytes.set(bytes, this.input);
    return this.input;
  }

  /** The first samples of the output, until the next call. */
  private samplesAnswer(count: number): Int16Array {
    const known = this.samplesOut.get(count);
    if (known !== undefined) return known;
    const view = this.words.subarray(this.output / 2, this.output / 2 + count);
    if (this.samplesOut.size < MOST_VIEWS) this.samplesOut.set(count, view);
    return view;
  }

  /** The first bytes of the output, until the next call. */
  private bytesAnswer(count: number): Uint8Array {
    const known = this.bytesOut.get(count);
    if (known !== undefined) return known;
    const view = this.bytes.subarray(this.output, this.output + count);
    if (this.bytesOut.size < MOST_VIEWS) this.bytesOut.set(count, view);
    return view;
  }

  private cell(address: number): number {
    if (address !== 0) return address;
    throw Object.assign(
      new RangeError(
        'Expected room for another call in the memory of the WebAssembly core but received a full one',
      ),
      {
        code: 'GW_WASM_MEMORY_FULL',
      },
    );
  }

  private freeTranscoder(cell: number): void {
    this.exports.release(cell);
    this.liveTranscoders--;
  }

  // ---- Classes: each object is a cell of the memory ----

  private transcoderClass(): Core['Transcoder'] {
    const memory = this;
    const { exports } = this;
    return class WasmTranscoder {
      // What all of a thread share: the prototype has them, see thread-core.ts.
      declare readonly samples: Int16Array;
      declare readonly message: Uint8Array;
      declare readonly info: Float64Array;
      #cell = 0;
      #bound = false;
      /** Bytes of a sample of payload. */
      readonly #width: number;

      constructor(format: PayloadFormat = 'mulaw') {
        const number = PAYLOAD_FORMATS.indexOf(format);
        if (number < 0) throw rangeError('mulaw, alaw, l16 or l16le', 'format', describe(format));
        this.#width = number < 2 ? 1 : 2;
        this.#cell = memory.cell(exports.newTranscoder(number));
        memory.liveTranscoders++;
        memory.forgottenTranscoders.register(this, this.#cell, this);
      }

      bind(streamSid: string): void {
        const cell = this.#open();
        const text = Buffer.from(stringOf(streamSid, 'streamSid'));
        if (text.length <= MAX_MESSAGE)
          checkSid(exports.bind(cell, memory.addressOf(text), text.length) !== 0, streamSid);
        else checkSid(false, streamSid);
        this.#bound = true;
      }

      receive(message: ArrayBuffer | ArrayBufferView): number {
        const cell = this.#open();
        const length = messageOf(message).byteLength;
        this.#checkBound();
        // A buffer that was given away has length 0, and no view can be made of it.
        if (length === 0 || length > MAX_MESSAGE) return -1;
        if (message instanceof Uint8Array) return exports.receive(cell, memory.addressOf(message), length);
        const bytes = ArrayBuffer.isView(message)
          ? new Uint8Array(message.buffer, message.byteOffset, length)
          : new Uint8Array(message);
        return exports.receive(cell, memory.addressOf(bytes), length);
      }

      receivePayload(base64: Uint8Array, timestampMs: number): number {
        const cell = this.#open();
        bytesOf(base64, 'base64');
        numberOf(timestampMs, 'timestampMs');
        if (base64.length > MAX_MESSAGE) return -1;
        return exports.receivePayload(cell, memory.addressOf(base64), base64.length, timestampMs);
      }

      conceal(samples: number): number {
        const cell = this.#open();
        numberOf(samples, 'samples');
        if (!(samples >= 6 && samples <= MAX_CONCEALED && samples % 6 === 0)) {
          throw rangeError(`a multiple of 6 from 6 to ${MAX_CONCEALED}`, 'samples', describe(samples));
        }
        exports.conceal(cell, samples);
        return samples;
      }

      transmit(pcm: Int16Array): number {
        const cell = this.#open();
        const { length } = pcmOf(pcm, 'pcm');
        this.#checkBound();
        if (length === 0 || length > MAX_TRANSMIT || length % 6 !== 0) {
          throw rangeError(`a multiple of 6 from 6 to ${MAX_TRANSMIT} samples`, 'pcm', `${length} samples`);
        }
        return exports.transmit(cell, memory.addressOf(pcm), length);
      }

      decode(payload: Uint8Array, out: Int16Array): number {
        const cell = this.#open();
        bytesOf(payload, 'payload');
        pcmOf(out, 'out');
        const width = this.#width;
        if (payload.length % width !== 0) {
          throw rangeError('a multiple of 2 bytes', 'payload', `${payload.length} bytes`);
        }
        const count = payload.length / width;
        checkRoom(6 * count, out.length, 'samples');
        for (let from = 0; from < count; from += PIECE) {
          const piece = pieceOf(payload, width * from, width * PIECE);
          const samples = piece.length / width;
          exports.decode(cell, memory.addressOf(piece), samples, memory.output);
          out.set(memory.samplesAnswer(6 * samples), 6 * from);
        }
        return 6 * count;
      }

      encode(pcm: Int16Array, out: Uint8Array): number {
        const cell = this.#open();
        pcmOf(pcm, 'pcm');
        bytesOf(out, 'out');
        checkWholeFrames(pcm);
        const width = this.#width;
        const count = pcm.length / 6;
        checkRoom(width * count, out.length, 'bytes');
        for (let from = 0; from < count; from += PIECE) {
          const piece = pieceOf(pcm, 6 * from, 6 * PIECE);
          const samples = piece.length / 6;
          exports.encode(cell, memory.addressOf(piece), samples, memory.output);
          out.set(memory.bytesAnswer(width * samples), width * from);
        }
        return width * count;
      }

      close(): void {
        if (this.#cell === 0) return;
        memory.forgottenTranscoders.unregister(this);
        memory.freeTranscoder(this.#cell);
        this.#cell = 0;
      }

      #open(): number {
        if (this.#cell !== 0) return this.#cell;
        throw Object.assign(new Error('Expected an open transcoder but received a closed one'), {
          code: 'GW_TRANSCODER_CLOSED',
        });
      }

      #checkBound(): void {
        if (this.#bound) return;
        throw Object.assign(
          new Error('Expected a transcoder bound to a stream but received an unbound one'),
          {
            code: 'GW_TRANSCODER_UNBOUND',
          },
        );
      }
    };
  }

  private resamplerClass(direction: 'up' | 'down'): new () => Resampler {
    const memory = this;
    const { exports } = this;
    const isUp = direction === 'up';
    const taken = isUp ? 1 : 6;
    const given = isUp ? 6 : 1;
    const convert = isUp ? exports.upsample : exports.downsample;
    return class WasmResampler {
      readonly #cell: number;

      constructor() {
        this.#cell = memory.cell(isUp ? exports.newUpsampler() : exports.newDownsampler());
        memory.forgotten.register(this, this.#cell);
      }

      process(pcm: Int16Array, out: Int16Array): number {
        const cell = this.#cell;
        pcmOf(pcm, 'pcm');
        pcmOf(out, 'out');
        if (!isUp) checkWholeFrames(pcm);
        const count = pcm.length / taken;
        checkRoom(count * given, out.length, 'samples');
        for (let from = 0; from < count; from += PIECE) {
          const piece = pieceOf(pcm, from * taken, PIECE * taken);
          const samples = piece.length / taken;
          convert(cell, memory.addressOf(piece), samples, memory.output);
          out.set(memory.samplesAnswer(samples * given), from * given);
        }
        return count * given;
      }
    };
  }

  private dtmfClass(): new () => DtmfGenerator {
    const memory = this;
    const { exports } = this;
    return class WasmDtmfGenerator {
      readonly #cell: number;

      constructor() {
        this.#cell = memory.cell(exports.newDtmfGenerator());
        memory.forgotten.register(this, this.#cell);
      }

      push(digits: string, toneMs?: number, pauseMs?: number): number {
        const cell = this.#cell;
        const text = Buffer.from(stringOf(digits, 'digits'));
        // No more is needed to tell what is wrong with it.
        const length = Math.min(text.length, MAX_MESSAGE);
        const at = memory.addressOf(text.subarray(0, length));
        // The errors do not repeat the digits: they may be somebody's PIN.
        const stray = exports.findNonDigit(at, length);
        if (stray < length) {
          throw rangeError('only 0-9 * # A-D w W', 'digits', `another character at index ${stray}`);
        }
        const tone = timingOf(toneMs, 'toneMs');
        const pause = timingOf(pauseMs, 'pauseMs');
        if (!exports.dtmfPush(cell, at, length, tone, pause)) {
          const waiting = exports.dtmfWaiting(cell) + text.length;
          throw Object.assign(rangeError('at most 64 digits', 'the queue', `${waiting} digits`), {
            code: 'GW_DTMF_QUEUE_FULL',
          });
        }
        return exports.dtmfLeft(cell);
      }

      read(out: Int16Array): number {
        const cell = this.#cell;
        pcmOf(out, 'out');
        for (let from = 0; from < out.length; from += 6 * PIECE) {
          const count = Math.min(6 * PIECE, out.length - from);
          exports.dtmfRead(cell, memory.output, count);
          out.set(memory.samplesAnswer(count), from);
        }
        return exports.dtmfLeft(cell);
      }

      clear(): void {
        exports.dtmfClear(this.#cell);
      }
    };
  }

  // ---- Functions: what does not fit the scratch is done in pieces ----

  private expand(
    decode: (bytes: number, count: number, pcm: number) => void,
    bytes: Uint8Array,
    out: Int16Array,
  ): number {
    bytesOf(bytes, 'bytes');
    pcmOf(out, 'out');
    checkRoom(bytes.length, out.length, 'samples');
    for (let from = 0; from < bytes.length; from += PIECE) {
      const piece = pieceOf(bytes, from, PIECE);
      decode(this.addressOf(piece), piece.length, this.output);
      out.set(this.samplesAnswer(piece.length), from);
    }
    return bytes.length;
  }

  private compress(
    encode: (pcm: number, count: number, bytes: number) => void,
    pcm: Int16Array,
    out: Uint8Array,
  ): number {
    pcmOf(pcm, 'pcm');
    bytesOf(out, 'out');
    checkRoom(pcm.length, out.length, 'bytes');
    for (let from = 0; from < pcm.length; from += PIECE) {
      const piece = pieceOf(pcm, from, PIECE);
      encode(this.addressOf(piece), piece.length, this.output);
      out.set(this.bytesAnswer(piece.length), from);
    }
    return pcm.length;
  }

  private decodeBase64(text: Uint8Array, out: Uint8Array): number {
    bytesOf(text, 'text');
    bytesOf(out, 'out');
    checkRoom(Math.floor(text.length / 4) * 3, out.length, 'bytes');
    if (text.length % 4 !== 0) return -1;
    let written = 0;
    for (let from = 0; from < text.length; from += 4 * PIECE) {
      const piece = pieceOf(text, from, 4 * PIECE);
      const count = this.exports.decodeBase64(this.addressOf(piece), piece.length, this.output);
      const isLast = from + piece.length === text.length;
      // Padding may only be at the very end.
      if (count < 0 || (!isLast && count < (piece.length / 4) * 3)) return -1;
      out.set(this.bytesAnswer(count), written);
      written += count;
    }
    return written;
  }

  private encodeBase64(bytes: Uint8Array, out: Uint8Array): number {
    bytesOf(bytes, 'bytes');
    bytesOf(out, 'out');
    checkRoom(Math.ceil(bytes.length / 3) * 4, out.length, 'bytes');
    let written = 0;
    for (let from = 0; from < bytes.length; from += 3 * PIECE) {
      const piece = pieceOf(bytes, from, 3 * PIECE);
      const count = this.exports.encodeBase64(this.addressOf(piece), piece.length, this.output);
      out.set(this.bytesAnswer(count), written);
      written += count;
    }
    return written;
  }

  private mixMinus(inputs: Int16Array, active: Uint8Array, outputs: Int16Array): void {
    const members = this.members(inputs, active);
    pcmOf(outputs, 'outputs');
    checkMembers(members, inputs.length);
    checkLength(inputs.length, outputs.length, 'outputs');
    const samples = inputs.length / members;
    const piece = this.mixRoom(members);
    for (let begin = 0; begin < samples; begin += piece) {
      const count = Math.min(piece, samples - begin);
      const activeAt = this.takeMembers(inputs, active, begin, count);
      this.exports.mixMinus(this.input, activeAt, members, count, this.output);
      if (count === samples) outputs.set(this.samplesAnswer(members * count));
      else this.giveMembers(outputs, members, begin, count);
    }
  }

  private mix(inputs: Int16Array, active: Uint8Array, output: Int16Array): void {
    const members = this.members(inputs, active);
    pcmOf(output, 'output');
    checkMembers(members, inputs.length);
    checkLength(inputs.length / members, output.length, 'output');
    const samples = inputs.length / members;
    const piece = this.mixRoom(members);
    for (let begin = 0; begin < samples; begin += piece) {
      const count = Math.min(piece, samples - begin);
      const activeAt = this.takeMembers(inputs, active, begin, count);
      this.exports.mix(this.input, activeAt, members, count, this.output);
      output.set(this.samplesAnswer(count), begin);
    }
  }

  private shorten(pcm: Int16Array, most: number): number {
    pcmOf(pcm, 'pcm');
    numberOf(most, 'most');
    checkPiece(pcm);
    this.words.set(pcm, this.output / 2);
    // No number is too large, and NaN is too small.
    const left = this.exports.shorten(
      this.output,
      pcm.length,
      most >= MIN_PERIOD ? Math.min(most, MAX_PERIOD) : 0,
    );
    if (left < pcm.length) pcm.set(this.samplesAnswer(pcm.length));
    return left;
  }

  private members(inputs: Int16Array, active: Uint8Array): number {
    pcmOf(inputs, 'inputs');
    return bytesOf(active, 'active').length;
  }

  /** Samples of every member that the scratch has room for, with a byte each for who is active. */
  private mixRoom(members: number): number {
    return Math.floor((this.exports.scratchCapacity() - members) / (2 * members));
  }

  /** Copies a piece of every member to the input. @returns where it then says who is active */
  private takeMembers(inputs: Int16Array, active: Uint8Array, begin: number, count: number): number {
    const members = active.length;
    const samples = inputs.length / members;
    if (count === samples) this.words.set(inputs, this.input / 2);
    else {
      for (let member = 0; member < members; member++) {
        const from = member * samples + begin;
        this.words.set(inputs.subarray(from, from + count), this.input / 2 + member * count);
      }
    }
    const activeAt = this.input + 2 * members * count;
    this.bytes.set(active, activeAt);
    return activeAt;
  }

  private giveMembers(outputs: Int16Array, members: number, begin: number, count: number): void {
    const samples = outputs.length / members;
    for (let member = 0; member < members; member++) {
      const from = this.output / 2 + member * count;
      outputs.set(this.words.subarray(from, from + count), member * samples + begin);
    }
  }
}

/** So many of `array` from `from` on: itself where that is all of it. */
function pieceOf<A extends Int16Array | Uint8Array>(array: A, from: number, count: number): A {
  return from === 0 && array.length <= count ? array : (array.subarray(from, from + count) as A);
}
