import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import { checkedCore, type RawCore, type RawDtmfGenerator, type RawResampler } from './checked-core.js';
import type { Core, SlabLayout } from './core.js';

// Node's types leave this to those of browsers.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The exports of native/wasm/module.cc. Address 0 means none. */
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

/** Longest message in bytes, which always fits the scratch memory: kMaxMessage in native/transcoder.h. */
const MAX_MESSAGE = 64 * 1024;
/** 8 kHz samples that are converted at a time if arguments may have any length. */
const PIECE = 16_000;
/** Cached views of answers, by length. Audio comes in few lengths; further ones cost a view each. */
const MOST_VIEWS = 64;

/** The modules of the package, the faster one first; it lies two levels above both `src/media` and `dist/media`. */
export const WASM_MODULES: readonly string[] = ['trunkline-simd.wasm', 'trunkline.wasm'].map((name) =>
  fileURLToPath(new URL(`../../native/wasm/${name}`, import.meta.url)),
);

/**
 * Starts a module. Its memory never grows or moves.
 * @throws Error if there is no such module, or this engine cannot run it
 */
export function loadWasm(path: string): Core {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)));
  return checkedCore(new WasmMemory(exports as Exports).core(path));
}

/** One instance: its memory, and the classes whose objects live there. */
class WasmMemory {
  private readonly buffer: ArrayBuffer;
  private readonly bytes: Uint8Array;
  private readonly words: Int16Array;
  private readonly input: number;
  private readonly output: number;
  /** Views of the beginning of the output, by length: a new view per frame would be an allocation per frame. */
  private readonly samplesOut = new Map<number, Int16Array>();
  private readonly bytesOut = new Map<number, Uint8Array>();
  /** Frees the cells of objects that nobody closed. */
  private readonly forgotten = new FinalizationRegistry<number>((cell) => this.exports.release(cell));
  private liveTranscoders = 0;

  constructor(private readonly exports: Exports) {
    exports.initialize();
    this.buffer = exports.memory.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Int16Array(this.buffer);
    this.input = exports.inputAt();
    this.output = exports.outputAt();
  }

  core(origin: string): RawCore {
    return {
      backend: 'wasm',
      kernels: this.text(this.exports.kernels()) as RawCore['kernels'],
      origin,
      slab: this.buffer,
      layout: this.layout(),
      Upsampler: this.resamplerClass('up'),
      Downsampler: this.resamplerClass('down'),
      DtmfGenerator: this.dtmfClass(),
      openTranscoder: (format) => this.openTranscoder(format),
      closeTranscoder: (cell) => this.closeTranscoder(cell),
      bind: (cell, streamSid) => this.bind(cell, streamSid),
      receive: (cell, message) => this.receive(cell, message),
      receivePayload: (cell, base64, timestampMs) => this.receivePayload(cell, base64, timestampMs),
      conceal: (cell, samples) => this.exports.conceal(cell, samples),
      transmit: (cell, pcm) => this.exports.transmit(cell, this.addressOf(pcm), pcm.length),
      decode: (cell, payload, out, width) => this.decode(cell, payload, out, width),
      encode: (cell, pcm, out, width) => this.encode(cell, pcm, out, width),
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

  /** The address of `bytes`: in place if they lie in the core's memory, otherwise of a copy in the scratch memory. */
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
      new RangeError('The memory of the WebAssembly core is full: no further call fits in'),
      {
        code: 'GW_WASM_MEMORY_FULL',
      },
    );
  }

  // ---- Transcoders: the handle of each is the address of its cell ----

  private openTranscoder(format: number): number {
    const cell = this.cell(this.exports.newTranscoder(format));
    this.liveTranscoders++;
    return cell;
  }

  private closeTranscoder(cell: number): void {
    this.exports.release(cell);
    this.liveTranscoders--;
  }

  private bind(cell: number, streamSid: string): boolean {
    const text = Buffer.from(streamSid);
    return text.length <= MAX_MESSAGE && this.exports.bind(cell, this.addressOf(text), text.length) !== 0;
  }

  private receive(cell: number, message: ArrayBuffer | ArrayBufferView): number {
    const length = lengthOf(message);
    // A buffer that was given away has length 0, and no view can be made of it.
    if (length === 0 || length > MAX_MESSAGE) return -1;
    if (message instanceof Uint8Array) return this.exports.receive(cell, this.addressOf(message), length);
    const bytes = ArrayBuffer.isView(message)
      ? new Uint8Array(message.buffer, message.byteOffset, length)
      : new Uint8Array(message);
    return this.exports.receive(cell, this.addressOf(bytes), length);
  }

  private receivePayload(cell: number, base64: Uint8Array, timestampMs: number): number {
    const { length } = base64;
    if (length > MAX_MESSAGE) return -1;
    return this.exports.receivePayload(cell, this.addressOf(base64), length, timestampMs);
  }

  private decode(cell: number, payload: Uint8Array, out: Int16Array, width: number): void {
    for (let from = 0; width * from < payload.length; from += PIECE) {
      const piece = pieceOf(payload, width * from, width * PIECE);
      const samples = piece.length / width;
      this.exports.decode(cell, this.addressOf(piece), samples, this.output);
      out.set(this.samplesAnswer(6 * samples), 6 * from);
    }
  }

  private encode(cell: number, pcm: Int16Array, out: Uint8Array, width: number): void {
    for (let from = 0; 6 * from < pcm.length; from += PIECE) {
      const piece = pieceOf(pcm, 6 * from, 6 * PIECE);
      const samples = piece.length / 6;
      this.exports.encode(cell, this.addressOf(piece), samples, this.output);
      out.set(this.bytesAnswer(width * samples), width * from);
    }
  }

  // ---- Classes: each object is a cell of the memory ----

  private resamplerClass(direction: 'up' | 'down'): new () => RawResampler {
    const memory = this;
    const { exports } = this;
    const isUp = direction === 'up';
    const [taken, given] = isUp ? [1, 6] : [6, 1];
    const convert = isUp ? exports.upsample : exports.downsample;
    return class implements RawResampler {
      readonly #cell = memory.cell(isUp ? exports.newUpsampler() : exports.newDownsampler());

      constructor() {
        memory.forgotten.register(this, this.#cell);
      }

      process(pcm: Int16Array, out: Int16Array): void {
        for (let from = 0; taken * from < pcm.length; from += PIECE) {
          const piece = pieceOf(pcm, taken * from, taken * PIECE);
          const samples = piece.length / taken;
          convert(this.#cell, memory.addressOf(piece), samples, memory.output);
          out.set(memory.samplesAnswer(given * samples), given * from);
        }
      }
    };
  }

  private dtmfClass(): new () => RawDtmfGenerator {
    const memory = this;
    const { exports } = this;
    return class implements RawDtmfGenerator {
      readonly #cell = memory.cell(exports.newDtmfGenerator());

      constructor() {
        memory.forgotten.register(this, this.#cell);
      }

      push(digits: string, toneSamples: number, pauseSamples: number): boolean {
        const text = Buffer.from(digits);
        const { length } = text;
        return (
          length <= MAX_MESSAGE &&
          exports.dtmfPush(this.#cell, memory.addressOf(text), length, toneSamples, pauseSamples) !== 0
        );
      }

      read(out: Int16Array): void {
        for (let from = 0; from < out.length; from += 6 * PIECE) {
          const count = Math.min(6 * PIECE, out.length - from);
          exports.dtmfRead(this.#cell, memory.output, count);
          out.set(memory.samplesAnswer(count), from);
        }
      }

      clear(): void {
        exports.dtmfClear(this.#cell);
      }

      left(): number {
        return exports.dtmfLeft(this.#cell);
      }

      waiting(): number {
        return exports.dtmfWaiting(this.#cell);
      }
    };
  }

  // ---- Functions: in pieces, if the arguments do not fit the scratch memory ----

  private expand(
    decode: (bytes: number, count: number, pcm: number) => void,
    bytes: Uint8Array,
    out: Int16Array,
  ): void {
    for (let from = 0; from < bytes.length; from += PIECE) {
      const piece = pieceOf(bytes, from, PIECE);
      decode(this.addressOf(piece), piece.length, this.output);
      out.set(this.samplesAnswer(piece.length), from);
    }
  }

  private compress(
    encode: (pcm: number, count: number, bytes: number) => void,
    pcm: Int16Array,
    out: Uint8Array,
  ): void {
    for (let from = 0; from < pcm.length; from += PIECE) {
      const piece = pieceOf(pcm, from, PIECE);
      encode(this.addressOf(piece), piece.length, this.output);
      out.set(this.bytesAnswer(piece.length), from);
    }
  }

  private decodeBase64(text: Uint8Array, out: Uint8Array): number {
    if (text.length % 4 !== 0) return -1;
    let written = 0;
    for (let from = 0; from < text.length; from += 4 * PIECE) {
      const piece = pieceOf(text, from, 4 * PIECE);
      const count = this.exports.decodeBase64(this.addressOf(piece), piece.length, this.output);
      const isLast = from + piece.length === text.length;
      // Padding is only allowed at the very end.
      if (count < 0 || (!isLast && count < (piece.length / 4) * 3)) return -1;
      out.set(this.bytesAnswer(count), written);
      written += count;
    }
    return written;
  }

  private encodeBase64(bytes: Uint8Array, out: Uint8Array): void {
    let written = 0;
    for (let from = 0; from < bytes.length; from += 3 * PIECE) {
      const piece = pieceOf(bytes, from, 3 * PIECE);
      const count = this.exports.encodeBase64(this.addressOf(piece), piece.length, this.output);
      out.set(this.bytesAnswer(count), written);
      written += count;
    }
  }

  private mixMinus(inputs: Int16Array, active: Uint8Array, outputs: Int16Array): void {
    const members = active.length;
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
    const members = active.length;
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
    this.words.set(pcm, this.output / 2);
    const left = this.exports.shorten(this.output, pcm.length, most);
    if (left < pcm.length) pcm.set(this.samplesAnswer(pcm.length));
    return left;
  }

  /** Samples of every member that fit the scratch memory, besides the members' active flags. */
  private mixRoom(members: number): number {
    return Math.floor((this.exports.scratchCapacity() - members) / (2 * members));
  }

  /** Copies a piece of every member, and the active flags, to the input. @returns the address of the flags */
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

/** Bytes of a message; 0 if its memory was given away or has shrunk, or if it is no memory at all. */
function lengthOf(message: ArrayBuffer | ArrayBufferView): number {
  try {
    return ArrayBuffer.isView(message) || types.isAnyArrayBuffer(message) ? message.byteLength : 0;
  } catch {
    return 0;
  }
}

/** `count` elements from `from` on; the array itself if that is all of it. */
function pieceOf<A extends Int16Array | Uint8Array>(array: A, from: number, count: number): A {
  return from === 0 && array.length <= count ? array : (array.subarray(from, from + count) as A);
}
