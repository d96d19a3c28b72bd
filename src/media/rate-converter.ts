import { createRequire } from 'node:module';
import type SpeexModule from 'speex-resampler';
import { GatewayError } from '../errors.js';
import { pcmOf } from './arguments.js';

type SpeexClass = (typeof SpeexModule)['default'];
type Speex = InstanceType<SpeexClass>;

/** Rates {@link createResampler} converts between, in samples per second. */
export const RESAMPLER_RATES = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] as const;

/** Speex's own scale, 0 to 10: 7 keeps images and aliases 90 dB down for 8 ms of delay at 8 kHz. */
const QUALITY = 7;
/** Length of its filter at that quality where the rate goes up, in input samples. */
const FILTER_SAMPLES = 128;
/** Input that is handed over at once: bounds what an instance keeps of it. */
const PIECE_SAMPLES = 4_800;

/**
 * One stream of 16-bit mono audio from one rate to another. Audio goes through in whole steps: {@link step} samples in are
 * exactly as many out as the rates say, so that not a sample too many or too few comes out in any length of time; what is
 * left over of an input waits for the next.
 */
export interface RateConverter {
  readonly from: number;
  readonly to: number;
  /** Delay of the filter in milliseconds, at all frequencies. */
  readonly delayMs: number;
  /** Input samples that are converted together: 1 for simple ratios, up to 441. */
  readonly step: number;
  /**
   * Converts what is there, of any length.
   * @returns samples of its own; none while less than a step has come in
   * @throws TypeError if `pcm` is not an Int16Array; GatewayError `GW_RESAMPLER_CLOSED` after {@link close}
   */
  process(pcm: Int16Array): Int16Array;
  /**
   * Ends the stream: what is left over, filled up with silence, and the filter's tail. What comes next is a new stream.
   * @returns as many samples as are missing to the length of all input and the delay
   */
  flush(): Int16Array;
  /** Gives the converter back; safe to repeat. One that is never closed comes back when it is collected. */
  close(): void;
}

/**
 * Makes converters without a wait.
 * @throws GatewayError `GW_RESAMPLER_RATE`
 */
export type ConverterMaker = (from: number, to: number) => RateConverter;

/**
 * A converter between two rates. The first one loads its library, hence the promise. 8 kHz from and to 48 kHz is what
 * `createTranscoder` does, many times faster and with less delay.
 * @param from samples per second that come in, one of 8000, 16000, 22050, 24000, 32000, 44100, 48000
 * @param to samples per second that go out, likewise
 * @throws GatewayError `GW_RESAMPLER_RATE` for another rate
 */
export async function createResampler(from: number, to: number): Promise<RateConverter> {
  checkRates(from, to);
  return createConverter(from, to);
}

/** As {@link createResampler}, between any rates: audio goes through in steps of `from` by their greatest common divisor. */
export async function createConverter(from: number, to: number): Promise<RateConverter> {
  return from === to ? new Unchanged(from) : (await loadSpeex())(from, to);
}

/** Loads the library now, for where no converter may be waited for later. */
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
 * Loaded by whoever needs it first: 10 ms that an import of Trunkline does not take. Its WebAssembly glue listens to faults of
 * the whole process and aborts it on any unhandled rejection, which is not a library's to decide: those listeners go again.
 */
function load(): SpeexClass {
  const before = PROCESS_FAULTS.map((fault) => new Set(process.rawListeners(fault)));
  // Not `import`: nothing else may listen in between. A CommonJS module.
  const { default: speex } = createRequire(import.meta.url)('speex-resampler') as { default: SpeexClass };
  for (const [index, fault] of PROCESS_FAULTS.entries()) {
    for (const listener of process.rawListeners(fault)) {
      if (!before[index]?.has(listener)) process.removeListener(fault, listener as () => void);
    }
  }
  return speex;
}

/** Filters that no stream uses, by their rates. Speex's WebAssembly never frees one: they are used again and again. */
const idle = new Map<string, Speex[]>();

function takeIdle(rates: string): Speex | undefined {
  return idle.get(rates)?.pop();
}

function giveBack(rates: string, speex: Speex): void {
  const list = idle.get(rates);
  if (list === undefined) idle.set(rates, [speex]);
  else list.push(speex);
}

/** Those whose stream was forgotten without a close. */
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
  /** Input samples, in whole steps, that push everything out of the filter. */
  private readonly silence: number;
  /** Less than a step of input that waits. */
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
    // On the way down the filter is stretched by the ratio, to a multiple of 8.
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
    // What waits, then silence in whole steps: enough for the tail, and for the next stream to find nothing of this one.
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
    if (this.speex !== undefined) return this.speex;
    throw new GatewayError(
      'GW_RESAMPLER_CLOSED',
      'Expected an open resampler but received one that was closed',
    );
  }

  /**
   * Gives a new instance more room than any piece takes: its output buffer is as long as the longest input so far asks for,
   * and input it has not read when that is full is lost to it.
   */
  private prime(speex: Speex): Speex {
    const longer = (Math.ceil(PIECE_SAMPLES / this.step) + 1) * this.step;
    speex.processChunk(Buffer.alloc(2 * longer));
    // That one may have lost a few zeros. The next sample out begins a step all the same; zeros in until it shows.
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

  /** The library answers in memory it has made for that: no copy is needed to call it one's own. */
  private convertPiece(speex: Speex, piece: Int16Array): Int16Array {
    const bytes = speex.processChunk(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    this.samplesOut += samples.length;
    return samples;
  }
}

/** Of one rate to the same: a copy, so that every converter's output is the caller's own. */
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
    if (!this.isClosed) return;
    throw new GatewayError(
      'GW_RESAMPLER_CLOSED',
      'Expected an open resampler but received one that was closed',
    );
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
