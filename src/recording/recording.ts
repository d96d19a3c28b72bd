import type { Clock, Timer } from '../clock.js';
import { SAMPLE_RATE } from '../media/frame.js';
import type { AudioTap } from '../phone/audio-tap.js';
import { CallerClock } from './caller-clock.js';
import { PhoneBand } from './phone-band.js';
import { StereoTape } from './stereo-tape.js';
import type { WavFile } from './wav-file.js';

/** Sample rates of a recording. */
export const RECORD_RATES = [8_000, 16_000, 48_000] as const;
export type RecordRate = (typeof RECORD_RATES)[number];

/** How late the caller's audio may arrive and still be placed correctly. */
const LATE_MS = 2_000;
/** Margin beyond the lead for pre-sent audio. */
const SLACK_MS = 500;
/** Audio this close to the end of the previous audio continues it seamlessly. */
const SEAM_MS = 2;

/** Why a recording ended. */
export type RecordingEnd = 'stopped' | 'limit' | 'call-ended' | 'disk-error' | 'closed';

/** A finished recording. */
export interface RecordingResult {
  readonly callId: string;
  /** File name in the recordings directory. */
  readonly file: string;
  readonly end: RecordingEnd;
  readonly seconds: number;
  /** Milliseconds replaced by silence because the disk was too slow. */
  readonly droppedMs: number;
  /** Milliseconds of the caller's audio that arrived too late. */
  readonly lateMs: number;
  /** The file system's error, for `disk-error`. */
  readonly error?: unknown;
}

export interface RecordingOptions {
  readonly callId: string;
  readonly file: string;
  readonly rate: RecordRate;
  readonly maxSeconds: number;
  /** Maximum lead of the caller's phone in milliseconds. */
  readonly leadMs: number;
}

/**
 * Records one call on two tracks: the caller left, what the caller hears right, both on the call's clock.
 * Audio that was discarded before the caller heard it is not recorded.
 */
export class Recording implements AudioTap {
  readonly startedAt: Date;
  /** Resolves when the file is closed; never rejects. */
  readonly ended: Promise<RecordingResult>;
  private readonly tape: StereoTape;
  private readonly caller: Track;
  private readonly rest: Track;
  private readonly callerClock = new CallerClock();
  private readonly resolve: (result: RecordingResult) => void;
  /** Monotonic milliseconds of the first sample; NaN until the call is answered. */
  private origin = Number.NaN;
  private timer: Timer | undefined;
  private isOver = false;
  private lostMs = 0;

  constructor(
    readonly options: RecordingOptions,
    private readonly wav: WavFile,
    private readonly clock: Clock,
  ) {
    this.startedAt = clock.date();
    const { rate, leadMs } = options;
    this.tape = new StereoTape(wav, Math.ceil(((LATE_MS + leadMs + SLACK_MS) * rate) / 1_000));
    this.caller = new Track(this.tape, 0, rate);
    this.rest = new Track(this.tape, 1, rate);
    let resolve: (result: RecordingResult) => void = () => {};
    this.ended = new Promise((settle) => {
      resolve = settle;
    });
    this.resolve = resolve;
  }

  /** Starts the recording when the call is answered. */
  begin(): void {
    if (this.isOver || !Number.isNaN(this.origin)) return;
    this.origin = this.clock.now();
    this.timer = this.clock.after(this.options.maxSeconds * 1_000, () => void this.finish('limit'));
    this.timer.unref();
  }

  /** Recorded length in seconds. */
  get seconds(): number {
    return Number.isNaN(this.origin) ? 0 : Math.min(this.sinceBegin() / 1_000, this.options.maxSeconds);
  }

  get droppedMs(): number {
    return this.wav.droppedMs;
  }

  get lateMs(): number {
    return this.lostMs + this.caller.lateMs;
  }

  callerAudio(samples: Int16Array, mediaMs: number): void {
    if (this.isOver || Number.isNaN(this.origin)) return;
    const now = this.sinceBegin();
    const lengthMs = (samples.length * 1_000) / SAMPLE_RATE;
    const at = this.callerClock.place(mediaMs, lengthMs, now);
    if (Number.isNaN(at)) this.lostMs += lengthMs;
    else this.caller.write(samples, at);
    this.commit(now - LATE_MS);
  }

  phoneAudio(frame: Int16Array, leadMs: number): void {
    if (this.isOver || Number.isNaN(this.origin)) return;
    const now = this.sinceBegin();
    this.commit(now - LATE_MS);
    this.rest.write(frame, now + leadMs);
  }

  cleared(sinceMs: number): void {
    if (!this.isOver && !Number.isNaN(this.origin)) this.rest.cut(this.sinceBegin() - sinceMs);
  }

  /** Ends the recording. Idempotent. */
  finish(end: RecordingEnd): Promise<RecordingResult> {
    if (!this.isOver) {
      this.isOver = true;
      this.clock.cancel(this.timer);
      void this.close(end);
    }
    return this.ended;
  }

  private async close(end: RecordingEnd): Promise<void> {
    // A timer may fire slightly early.
    const seconds = end === 'limit' ? this.options.maxSeconds : this.seconds;
    if (seconds > 0) this.commit(seconds * 1_000, true);
    const error = await this.wav.close();
    const { callId, file } = this.options;
    this.resolve({
      callId,
      file,
      end: error === undefined ? end : 'disk-error',
      seconds: this.wav.lengthMs / 1_000,
      droppedMs: Math.round(this.droppedMs),
      lateMs: Math.round(this.lateMs),
      ...(error === undefined ? {} : { error }),
    });
  }

  private sinceBegin(): number {
    return this.clock.now() - this.origin;
  }

  private commit(untilMs: number, isLast = false): void {
    const until = Math.min(untilMs, this.options.maxSeconds * 1_000);
    this.caller.endBefore(until);
    this.rest.endBefore(until);
    this.tape.commit(Math.round((until * this.options.rate) / 1_000), isLast);
  }
}

/** One track, at its own rate. */
class Track {
  private samplesLate = 0;
  /** Position of the next sample; NaN at the beginning and after a cut. */
  private next = Number.NaN;

  /** Undefined if the full band is kept. */
  private readonly band: PhoneBand | undefined;

  constructor(
    private readonly tape: StereoTape,
    private readonly side: 0 | 1,
    private readonly rate: RecordRate,
  ) {
    if (rate !== SAMPLE_RATE) this.band = new PhoneBand(rate);
  }

  get lateMs(): number {
    return (this.samplesLate * 1_000) / this.rate;
  }

  /** Writes 48 kHz audio heard from `atMs` on. */
  write(samples: Int16Array, atMs: number): void {
    const at = this.samplesIn(atMs);
    if (!(Math.abs(at - this.next) <= this.samplesIn(SEAM_MS))) {
      this.seam();
      this.next = at;
    }
    this.put(this.band?.process(samples) ?? samples);
  }

  /** Ends a segment and flushes the filter. */
  private seam(): void {
    if (!Number.isNaN(this.next) && this.band !== undefined) this.put(this.band.flush());
    this.next = Number.NaN;
  }

  /** Ends a segment that stopped before this time. */
  endBefore(untilMs: number): void {
    if (this.next < this.samplesIn(untilMs)) this.seam();
  }

  /** Erases everything from here on. */
  cut(atMs: number): void {
    this.band?.flush();
    this.tape.erase(this.side, this.samplesIn(atMs));
    this.next = Number.NaN;
  }

  private put(samples: Int16Array): void {
    const lost = this.tape.put(this.side, samples, this.next);
    // Audio before the beginning is not late.
    if (this.next >= 0) this.samplesLate += lost;
    this.next += samples.length;
  }

  private samplesIn(ms: number): number {
    return Math.round((ms * this.rate) / 1_000);
  }
}
