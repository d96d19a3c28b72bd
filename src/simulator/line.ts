import type { Clock, Timer } from '../clock.js';
import { expected } from '../errors.js';
import { randomNumbers } from './random.js';

/** How the network between phone and server treats the caller's frames; all default to "not at all". */
export interface LineProfile {
  /** Frames come up to so many milliseconds late, in order; 0…1,000. */
  readonly jitterMs?: number;
  /** So many frames are held and sent together; 1…500. */
  readonly burstFrames?: number;
  /** Every so many milliseconds of the stream, nothing passes either way for `stallMs`; then all of it at once. 100…3,600,000. */
  readonly stallEveryMs?: number;
  /** 20…30,000, and less than `stallEveryMs`. */
  readonly stallMs?: number;
  /** Share of frames that are lost (timestamps jump over them); 0…1. */
  readonly loss?: number;
  /** Seed of the profile's randomness, so that a run can be repeated; default 1. */
  readonly seed?: number;
}

/** Lines as people know them. */
export const LINES = {
  clean: {},
  jittery: { jitterMs: 60 },
  bursty: { burstFrames: 5 },
  stalling: { stallEveryMs: 10_000, stallMs: 500 },
  mobile: { jitterMs: 40, stallEveryMs: 15_000, stallMs: 300 },
} as const satisfies Record<string, LineProfile>;

/** A line in {@link LINES}. */
export type LineName = keyof typeof LINES;

/** One frame of the caller's voice. */
export interface Frame {
  readonly payload: string;
  /** Milliseconds since the stream began. */
  readonly timestamp: number;
}

interface DelayedFrame extends Frame {
  readonly due: number;
}

/** What a line does to the stream. */
export interface LineEffects {
  deliver(payload: string, timestamp: number): void;
  /** Nothing comes through from the other side either, until told otherwise. */
  stall(isStalled: boolean): void;
}

/**
 * Delays, holds and loses frames after a {@link LineProfile}. Frames leave by `deliver`, in order; the line
 * has one timer at most and holds at most what its profile allows.
 */
export class Line {
  /** Frames lost on purpose. */
  lost = 0;
  private readonly jitterMs: number;
  private readonly burstFrames: number;
  private readonly loss: number;
  private readonly waiting: DelayedFrame[] = [];
  private timer: Timer | undefined;
  private lastDue = 0;
  private readonly stallEveryMs: number;
  private readonly stallMs: number;
  /** When the stall that runs is over; 0 while none does. */
  private stalledUntil = 0;
  private nextStallAt = 0;
  private readonly random: () => number;

  constructor(
    profile: LineProfile,
    private readonly effects: LineEffects,
    private readonly clock: Clock,
  ) {
    const { jitterMs = 0, burstFrames = 1, loss = 0, stallEveryMs = 0, stallMs = 0 } = profile;
    if (!(jitterMs >= 0 && jitterMs <= 1000)) throw expected('0 to 1000 milliseconds', 'jitterMs', jitterMs);
    if (!(burstFrames >= 1 && burstFrames <= 500))
      throw expected('1 to 500 frames', 'burstFrames', burstFrames);
    if (!(loss >= 0 && loss <= 1)) throw expected('0 to 1', 'loss', loss);
    if (stallEveryMs !== 0 && !(stallEveryMs >= 100 && stallEveryMs <= 3_600_000))
      throw expected('100 to 3600000 milliseconds', 'stallEveryMs', stallEveryMs);
    if (stallEveryMs !== 0 && !(stallMs >= 20 && stallMs <= 30_000 && stallMs < stallEveryMs))
      throw expected('20 to 30000 milliseconds, less than stallEveryMs,', 'stallMs', stallMs);
    this.stallEveryMs = stallEveryMs;
    this.stallMs = stallMs;
    this.jitterMs = jitterMs;
    this.burstFrames = burstFrames;
    this.loss = loss;
    this.random = randomNumbers(profile.seed ?? 1);
  }

  /** Takes one frame; on a clean line it is delivered before this returns. */
  push(payload: string, timestamp: number, now: number): void {
    if (this.loss > 0 && this.random() < this.loss) {
      this.lost += 1;
      return;
    }
    if (this.stallEveryMs > 0 && this.isStalled(now)) {
      this.waiting.push({ payload, timestamp, due: this.lastDue });
      return;
    }
    if (this.jitterMs === 0 && this.burstFrames === 1) {
      this.effects.deliver(payload, timestamp);
      return;
    }
    this.lastDue = Math.max(this.lastDue, now + this.random() * this.jitterMs);
    this.waiting.push({ payload, timestamp, due: this.lastDue });
    if (this.burstFrames > 1) {
      if (this.waiting.length >= this.burstFrames) this.flush();
    } else this.wake();
  }

  /** Delivers everything held, e.g. before the call ends. */
  flush(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
    if (this.stalledUntil > 0) {
      this.stalledUntil = 0;
      this.effects.stall(false);
    }
    for (const frame of this.waiting.splice(0)) this.effects.deliver(frame.payload, frame.timestamp);
  }

  /** Frees the timer and drops what is held. */
  close(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
    this.waiting.length = 0;
  }

  /** Begins and ends stalls; frames come every 20 ms, so no timer is needed for it. */
  private isStalled(now: number): boolean {
    if (this.nextStallAt === 0) {
      // Not all phones at the same time, and each the same in every run.
      this.nextStallAt = now + this.stallEveryMs * (0.5 + this.random() / 2);
    }
    if (this.stalledUntil > 0 && now >= this.stalledUntil) {
      this.flush();
    } else if (this.stalledUntil === 0 && now >= this.nextStallAt) {
      this.nextStallAt += this.stallEveryMs;
      this.stalledUntil = now + this.stallMs;
      this.effects.stall(true);
      this.clock.cancel(this.timer);
      this.timer = undefined;
    }
    return this.stalledUntil > 0;
  }

  private wake(): void {
    const first = this.waiting[0];
    if (first === undefined || this.timer !== undefined) return;
    this.timer = this.clock.after(Math.ceil(first.due - this.clock.now()), this.ring);
  }

  private readonly ring = (): void => {
    this.timer = undefined;
    const now = this.clock.now();
    while (this.waiting[0] !== undefined && this.waiting[0].due <= now) {
      const frame = this.waiting.shift() as DelayedFrame;
      this.effects.deliver(frame.payload, frame.timestamp);
    }
    this.wake();
  };
}
