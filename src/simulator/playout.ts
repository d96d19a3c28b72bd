import { type Clock, systemClock, type Timer } from '../clock.js';
import { decodeMulaw, MULAW_SILENCE } from './mulaw.js';

/** µ-law bytes a millisecond. */
const BYTES_PER_MS = 8;
/** Audio that comes this soon after the buffer ran dry belongs to the same talk: the caller heard a hole. */
const HOLE_MS = 400;
/** Marks that may wait at once; Twilio documents no limit, a simulator needs one. */
const MAX_PENDING_MARKS = 10_000;

/** How a {@link PlayoutBuffer} plays. */
export interface PlayoutBufferOptions {
  /**
   * Milliseconds between the first byte and its sound, also after the buffer ran dry; default 0. Twilio's own
   * de-jitter delay is not documented.
   */
  readonly dejitterMs?: number;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
  /** Keep what is heard, up to so many milliseconds; default 0, keep nothing. */
  readonly recordMs?: number;
  /** A mark was reached, or flushed by `clear`. */
  readonly onMark: (name: string) => void;
}

/** What a playout buffer saw; everything counts from the start of the stream. */
export interface PlayoutCounts {
  /** Milliseconds of audio played to the caller. */
  readonly playedMs: number;
  /** Milliseconds of audio dropped by `clear`. */
  readonly clearedMs: number;
  /** Most audio ever buffered, in milliseconds. */
  readonly maxLeadMs: number;
  /** Times the buffer ran dry while the other side talked on. */
  readonly underruns: number;
  /** Milliseconds of silence in those holes. */
  readonly underrunMs: number;
  readonly marks: number;
  readonly clears: number;
}

/**
 * Twilio's buffer of outbound audio: any amount is taken at once and played in order at 1×, from the moment
 * the first byte comes. Marks are echoed when everything before them was played, at once where nothing is
 * buffered; `clear` drops the rest and echoes what waits. Its clock is monotonic, it holds at most one timer.
 * Source: twilio.com/docs/voice/media-streams/websocket-messages#send-websocket-messages-to-twilio.
 */
export class PlayoutBuffer {
  private readonly clock: Clock;
  private origin: number;
  private readonly dejitterMs: number;
  private readonly recordBytes: number;
  private readonly onMark: (name: string) => void;
  private readonly pending: { readonly name: string; readonly due: number }[] = [];
  private timer: Timer | undefined;
  /** When the last buffered byte will have been played. */
  private dryAt = 0;
  private appendedMs = 0;
  private clearedMs = 0;
  private maxLeadMs = 0;
  private underruns = 0;
  private underrunMs = 0;
  private marks = 0;
  private clears = 0;
  /** µ-law on the timeline that begins with the stream; grows by doubling. */
  private tape = new Uint8Array(0);
  private tapeLength = 0;

  constructor(options: PlayoutBufferOptions) {
    this.clock = options.clock ?? systemClock;
    this.origin = this.clock.now();
    this.dejitterMs = options.dejitterMs ?? 0;
    this.recordBytes = (options.recordMs ?? 0) * BYTES_PER_MS;
    this.onMark = options.onMark;
  }

  /** Sets the zero of the recording's timeline; by default it is the buffer's creation. @param origin in monotonic milliseconds */
  begin(origin: number): void {
    this.origin = origin;
  }

  /** Whether appended bytes are kept; if not, their number is enough. */
  get records(): boolean {
    return this.recordBytes > 0;
  }

  /** Milliseconds of audio not yet played. */
  leadMs(now = this.clock.now()): number {
    return Math.max(0, this.dryAt - now);
  }

  /** When audio that comes now will be heard, in monotonic milliseconds. */
  nextAt(now = this.clock.now()): number {
    return this.dryAt <= now ? now + this.dejitterMs : this.dryAt;
  }

  /** Buffers audio: `bytes` of µ-law, and the bytes themselves where they are recorded. */
  append(bytes: number, now = this.clock.now(), mulaw?: Uint8Array): void {
    if (bytes === 0) return;
    if (this.dryAt <= now) {
      const hole = now - this.dryAt;
      if (this.dryAt > 0 && hole < HOLE_MS) {
        this.underruns += 1;
        this.underrunMs += hole;
      }
      this.dryAt = now + this.dejitterMs;
    }
    if (mulaw !== undefined && this.records) this.tapeAt(this.dryAt, mulaw);
    const lengthMs = bytes / BYTES_PER_MS;
    this.dryAt += lengthMs;
    this.appendedMs += lengthMs;
    this.maxLeadMs = Math.max(this.maxLeadMs, this.dryAt - now);
  }

  /**
   * Places a mark behind everything buffered.
   * @param now monotonic milliseconds
   * @returns false where 10,000 wait already
   */
  mark(name: string, now = this.clock.now()): boolean {
    if (this.pending.length >= MAX_PENDING_MARKS) return false;
    if (this.dryAt <= now) this.echo(name);
    else {
      this.pending.push({ name, due: this.dryAt });
      this.wake();
    }
    return true;
  }

  /** Drops what is buffered and echoes the marks that wait. */
  clear(now = this.clock.now()): void {
    this.clears += 1;
    const dropped = this.leadMs(now);
    this.clearedMs += Math.min(dropped, this.appendedMs);
    this.dryAt = Math.min(this.dryAt, now);
    this.tapeLength = Math.min(this.tapeLength, this.position(now));
    this.clock.cancel(this.timer);
    this.timer = undefined;
    for (const { name } of this.pending.splice(0)) this.echo(name);
  }

  /** What the caller heard since the stream began, 8 kHz: silence where nothing was to play. */
  heard(now = this.clock.now()): Int16Array {
    const bytes = new Uint8Array(Math.min(this.position(now), this.recordBytes)).fill(MULAW_SILENCE);
    bytes.set(this.tape.subarray(0, Math.min(this.tapeLength, bytes.length)));
    return decodeMulaw(bytes);
  }

  /** What the buffer saw until `now`, in monotonic milliseconds. */
  counts(now = this.clock.now()): PlayoutCounts {
    return {
      playedMs: Math.max(0, this.appendedMs - this.clearedMs - this.leadMs(now)),
      clearedMs: this.clearedMs,
      maxLeadMs: this.maxLeadMs,
      underruns: this.underruns,
      underrunMs: this.underrunMs,
      marks: this.marks,
      clears: this.clears,
    };
  }

  /** Frees the timer and forgets what waits; the recording stays. */
  close(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
    this.pending.length = 0;
  }

  private echo(name: string): void {
    this.marks += 1;
    this.onMark(name);
  }

  private readonly ring = (): void => {
    this.timer = undefined;
    const now = this.clock.now();
    while (this.pending[0] !== undefined && this.pending[0].due <= now) {
      this.echo((this.pending.shift() as { name: string }).name);
    }
    this.wake();
  };

  private wake(): void {
    const first = this.pending[0];
    if (first === undefined || this.timer !== undefined) return;
    this.timer = this.clock.after(Math.ceil(first.due - this.clock.now()), this.ring);
  }

  private position(time: number): number {
    return Math.max(0, Math.round((time - this.origin) * BYTES_PER_MS));
  }

  private tapeAt(time: number, mulaw: Uint8Array): void {
    const at = Math.max(this.tapeLength, this.position(time));
    // Back to back audio follows without a seam, whatever rounding says about its time.
    const begin = at - this.tapeLength <= 1 ? this.tapeLength : at;
    const end = Math.min(begin + mulaw.length, this.recordBytes);
    if (end <= begin) return;
    if (end > this.tape.length) {
      const longer = new Uint8Array(Math.min(this.recordBytes, Math.max(end, 2 * this.tape.length, 16_384)));
      longer.fill(MULAW_SILENCE).set(this.tape.subarray(0, this.tapeLength));
      this.tape = longer;
    }
    this.tape.fill(MULAW_SILENCE, this.tapeLength, begin);
    this.tape.set(mulaw.subarray(0, end - begin), begin);
    this.tapeLength = end;
  }
}
