import { createRequire } from 'node:module';
import type SpeexModule from 'speex-resampler';
import { GatewayError } from '../errors.js';
import { pcmOf } from './arguments.js';

type SpeexClass = (typeof SpeexModule)['default'];
type Speex = InstanceType<SpeexClass>;

/** Rates that {@link createResampler} converts between, in samples per second. */
export const RESAMPLER_RATES = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] as const;

/** Speex's quality, 0 to 10: 7 keeps images and aliases below -90 dB, with 8 ms of delay at 8 kHz. */
const QUALITY = 7;
/** Length of its filter at that quality where the rate goes up, in input samples. */
const FILTER_SAMPLES = 128;
/** Largest input of one call: bounds the memory that an instance keeps. */
const PIECE_SAMPLES = 4_800;

/**
 * Converts one stream of 16-bit mono audio from one rate to another. It works in whole steps: {@link step} samples in give
 * exactly as many samples out as the rates say, so the stream never drifts. The rest of an input waits for the next call.
 */
export interface RateConverter {
  /** Samples per second of the input. */
  readonly from: number;
  /** Samples per second of the output. */
  readonly to: number;
  /** Delay of the filter in milliseconds, the same at all frequencies. */
  readonly delayMs: number;
  /** Input samples that are converted together: 1 for simple ratios, up to 441. */
  readonly step: number;
  /**
   * Converts audio of any length.
   * @returns a new array; empty while less than a step has come in
   * @throws TypeError if `pcm` is not an Int16Array; GatewayError `GW_RESAMPLER_CLOSED` after {@link close}
   */
  process(pcm: Int16Array): Int16Array;
  /**
   * Ends the stream: returns the rest, padded with silence, and the filter's tail. The next audio starts a new stream.
   * @returns samples up to the length of all input plus the delay
   */
  flush(): Int16Array;
  /** Returns the converter to the pool; safe to repeat. One that is never closed returns when it is collected. */
  close(): void;
}

/**
 * Makes converters synchronously.
 * @throws GatewayError `GW_RESAMPLER_RATE`
 */
export type ConverterMaker = (from: number, to: number) => RateConverter;

/**
 * A converter between two rates. The first one loads a library, hence the promise. For 8 kHz to 48 kHz and back,
 * `createTranscoder` is many times faster and has less delay.
 * @param from samples per second of the input: 8000, 16000, 22050, 24000, 32000, 44100 or 48000
 * @param to samples per second of the output, one of the same rates
 * @throws GatewayError `GW_RESAMPLER_RATE` for another rate
 */
export async function createResampler(from: number, to: number): Promise<RateConverter> {
  checkRates(from, to);
  return createConverter(from, to);
}

/** As {@link createResampler}, between any rates. A step is `from` divided by the greatest common divisor of the rates. */
export async function createConverter(from: number, to: number): Promise<RateConverter> {
  return from === to ? new Unchanged(from) : (await loadSpeex())(from, to);
}

/** Loads the library now, so that converters can be made synchronously later. */
export async function loadResampler(): Promise<ConverterMaker> {
  const make = await loadSpeex();
  return (from, to) => {
    checkRates(from, to);
    return from === to ? new Unchanged(from) : make(from, to);
  };
}

async function loadSpeex(): Promise<ConverterMaker> {
  const speex = load();
  await speex.initPromise;
  return (from, to) => new Converter(from, to, () => new speex(1, from, to, QUALITY));
}

function checkRates(...rates: readonly number[]): void {
  for (const rate of rates) {
    if (!(RESAMPLER_RATES as readonly unknown[]).includes(rate)) {
      throw new GatewayError(
        'GW_RESAMPLER_RATE',
        `Expected one of ${RESAMPLER_RATES.join(', ')} for a sample rate but received ${String(rate)}`,
      );
    }
  }
}

const PROCESS_FAULTS = ['uncaughtException', 'unhandledRejection'] as const;

/**
 * Loads the library on first use, since it takes 10 ms. Its WebAssembly glue adds listeners that abort the whole process on any
 * unhandled rejection, which is not for a library to decide: they are removed.
 */
function load(): SpeexClass {
  const before = PROCESS_FAULTS.map((fault) => new Set(process.rawListeners(fault)));
  // `require`, not `import`: nothing else can add a listener in between.
  const { default: speex } = createRequire(import.meta.url)('speex-resampler') as { default: SpeexClass };
  for (const [index, fault] of PROCESS_FAULTS.entries()) {
    for (const listener of process.rawListeners(fault)) {
      if (!before[index]?.has(listener)) process.removeListener(fault, listener as () => void);
    }
  }
  return speex;
}

/** Unused filters by their rates. Speex's WebAssembly never frees one, so they are reused. */
const idle = new Map<string, Speex[]>();

function takeIdle(rates: string): Speex | undefined {
  return idle.get(rates)?.pop();
}

function giveBack(rates: string, speex: Speex): void {
  const list = idle.get(rates);
  if (list === undefined) idle.set(rates, [speex]);
  else list.push(speex);
}

/** Filters of converters that were collected without a close. */
const forgotten = new FinalizationRegistry<{ rates: string; speex: Speex; silence: number }>(
  ({ rates, speex, silence }) => {
    speex.processChunk(Buffer.alloc(2 * silence));
    giveBack(rates, speex);
  },
);

class Converter implements RateConverter {
  readonly delayMs: number;
  readonly step: number;
  private readonly stepOut: number;
  private readonly rates: string;
  private readonly delaySamples: number;
  /** Input samples, in whole steps, that flush the filter. */
  private readonly silence: number;
  /** Input that does not fill a step yet. */
  private readonly waiting: Int16Array;
  private waitingCount = 0;
  private samplesIn = 0;
  private samplesOut = 0;
  private speex: Speex | undefined;

  constructor(
    readonly from: number,
    readonly to: number,
    make: () => Speex,
  ) {
    const divisor = greatestCommonDivisor(from, to);
    this.step = from / divisor;
    this.stepOut = to / divisor;
    this.rates = `${from}:${to}`;
    // For lower output rates Speex stretches the filter by the ratio, to a multiple of 8.
    const filter = from < to ? FILTER_SAMPLES : ((Math.floor((FILTER_SAMPLES * from) / to) - 1) & ~7) + 8;
    this.delaySamples = filter / 2;
    this.delayMs = (this.delaySamples / from) * 1_000;
    this.silence = Math.ceil((2 * filter) / this.step) * this.step;
    this.waiting = new Int16Array(this.step);
    this.speex = takeIdle(this.rates) ?? this.prime(make());
    forgotten.register(this, { rates: this.rates, speex: this.speex, silence: this.silence }, this);
  }

  process(pcm: Int16Array): Int16Array {
    const speex = this.open();
    const total = this.waitingCount + pcmOf(pcm, 'pcm').length;
    const whole = Math.floor(total / this.step) * this.step;
    this.samplesIn += pcm.length;
    if (whole === 0) {
      this.waiting.set(pcm, this.waitingCount);
      this.waitingCount = total;
      return new Int16Array();
    }
    if (whole === pcm.length && this.waitingCount === 0) return this.convert(speex, pcm);
    const input = new Int16Array(whole);
    input.set(this.waiting.subarray(0, this.waitingCount));
    const taken = whole - this.waitingCount;
    input.set(pcm.subarray(0, taken), this.waitingCount);
    this.waiting.set(pcm.subarray(taken));
    this.waitingCount = total - whole;
    return this.convert(speex, input);
  }

  flush(): Int16Array {
    const speex = this.open();
    const wanted = Math.ceil(((this.samplesIn + this.delaySamples) * this.to) / this.from) - this.samplesOut;
    // Enough silence for the tail, and so that the next stream finds nothing of this one.
    const input = new Int16Array(Math.ceil((this.waitingCount + this.silence) / this.step) * this.step);
    input.set(this.waiting.subarray(0, this.waitingCount));
    const tail = this.convert(speex, input).subarray(0, this.samplesIn === 0 ? 0 : wanted);
    this.waitingCount = 0;
    this.samplesIn = 0;
    this.samplesOut = 0;
    return tail;
  }

  close(): void {
    if (this.speex === undefined) return;
    forgotten.unregister(this);
    this.flush();
    giveBack(this.rates, this.speex);
    this.speex = undefined;
  }

  private open(): Speex {
    if (this.speex === undefined) throw closed();
    return this.speex;
  }

  /**
   * Makes a new instance's output buffer larger than any piece needs: it grows with the longest input so far, and input that
   * does not fit is lost.
   */
  private prime(speex: Speex): Speex {
    const longer = (Math.ceil(PIECE_SAMPLES / this.step) + 1) * this.step;
    speex.processChunk(Buffer.alloc(2 * longer));
    // That call may have lost a few zeros. The next output sample begins a step: feed zeros until it appears.
    const zero = Buffer.alloc(2);
    while (speex.processChunk(zero).length === 0);
    if (this.step > 1) speex.processChunk(Buffer.alloc(2 * (this.step - 1)));
    return speex;
  }

  /** Converts whole steps. */
  private convert(speex: Speex, input: Int16Array): Int16Array {
    const piece = Math.floor(PIECE_SAMPLES / this.step) * this.step;
    if (input.length <= piece) return this.convertPiece(speex, input);
    const out = new Int16Array((input.length / this.step) * this.stepOut);
    for (let at = 0, written = 0; at < input.length; at += piece) {
      const part = this.convertPiece(speex, input.subarray(at, at + piece));
      out.set(part, written);
      written += part.length;
    }
    return out;
  }

  /** The library returns a new buffer for each call, so no copy is needed. */
  private convertPiece(speex: Speex, piece: Int16Array): Int16Array {
    const bytes = speex.processChunk(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    this.samplesOut += samples.length;
    return samples;
  }
}

/** Equal rates: a copy, since every converter returns a new array. */
class Unchanged implements RateConverter {
  readonly to: number;
  readonly delayMs = 0;
  readonly step = 1;
  private isClosed = false;

  constructor(readonly from: number) {
    this.to = from;
  }

  process(pcm: Int16Array): Int16Array {
    this.checkOpen();
    return pcmOf(pcm, 'pcm').slice();
  }

  flush(): Int16Array {
    this.checkOpen();
    return new Int16Array();
  }

  close(): void {
    this.isClosed = true;
  }

  private checkOpen(): void {
    if (this.isClosed) throw closed();
  }
}

function closed(): GatewayError {
  return new GatewayError('GW_RESAMPLER_CLOSED', 'The resampler has already been closed');
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
