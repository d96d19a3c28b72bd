import { type Clock, systemClock, type Timer } from '../clock.js';
import { FRAME_MS } from './audio.js';
import { Histogram } from './histogram.js';

/** Phones are spread over this many phases of the 20 ms period, one a millisecond. */
const PHASES = 20;
/** A tick that comes later than this many milliseconds is counted as late. */
export const LATE_MS = 10;

/** Something that is due every 20 ms, e.g. a phone that speaks. */
export interface Ticker {
  /**
   * Called every 20 ms.
   * @param due monotonic milliseconds when it was due
   * @param now monotonic milliseconds when it is called, never before `due`
   */
  tick(due: number, now: number): void;
}

/**
 * One 20 ms clock for all phones of a process. Deadlines are monotonic and absolute: a late tick is followed
 * by the next one at its own time, and missed ticks are made up for at once, so that audio never drifts.
 * It holds one timer while anybody is on it, none otherwise.
 */
export class PhoneClock {
  /** How late ticks were, in microseconds. */
  readonly lateness = new Histogram();
  /** Ticks that were more than 10 ms late. */
  lateTicks = 0;
  private readonly members: Ticker[][] = Array.from({ length: PHASES }, () => []);
  /** Next deadline of each phase; stale while a phase is empty. */
  private readonly deadlines = new Float64Array(PHASES);
  private readonly origin: number;
  private timer: Timer | undefined;
  private wakeAt = Number.POSITIVE_INFINITY;

  /** @param time the only time that phones on this clock know */
  constructor(readonly time: Clock = systemClock) {
    this.origin = time.now();
  }

  /** Phones on the clock. */
  get size(): number {
    return this.members.reduce((sum, phase) => sum + phase.length, 0);
  }

  /**
   * Puts a ticker on the emptiest phase (the soonest of several).
   * @returns its first deadline in monotonic milliseconds, at most 20 ms away
   */
  join(ticker: Ticker): number {
    const now = this.time.now();
    let chosen = 0;
    let soonest = Number.POSITIVE_INFINITY;
    for (let phase = 0; phase < PHASES; phase++) {
      const fewer = (this.members[phase] as Ticker[]).length - (this.members[chosen] as Ticker[]).length;
      const next = this.nextDeadline(phase, now);
      if (fewer < 0 || (fewer === 0 && next < soonest)) {
        chosen = phase;
        soonest = next;
      }
    }
    const members = this.members[chosen] as Ticker[];
    if (members.length === 0) this.deadlines[chosen] = soonest;
    members.push(ticker);
    this.wake();
    return this.deadlines[chosen] as number;
  }

  /** Takes a ticker off; unknown ones are ignored. */
  leave(ticker: Ticker): void {
    for (const [phase, members] of this.members.entries()) {
      if (!members.includes(ticker)) continue;
      // A new list, so that a tick which is under way goes through the old one unharmed.
      this.members[phase] = members.filter((each) => each !== ticker);
    }
    if (this.size > 0) return;
    this.time.cancel(this.timer);
    this.timer = undefined;
    this.wakeAt = Number.POSITIVE_INFINITY;
  }

  /** Forgets how late ticks were so far. */
  forgetLateness(): void {
    this.lateness.reset();
    this.lateTicks = 0;
  }

  private nextDeadline(phase: number, now: number): number {
    const periods = Math.ceil((now - this.origin - phase) / FRAME_MS);
    return this.origin + phase + periods * FRAME_MS;
  }

  private wake(): void {
    let earliest = Number.POSITIVE_INFINITY;
    for (let phase = 0; phase < PHASES; phase++) {
      if ((this.members[phase] as Ticker[]).length === 0) continue;
      earliest = Math.min(earliest, this.deadlines[phase] as number);
    }
    if (earliest === this.wakeAt && this.timer !== undefined) return;
    this.time.cancel(this.timer);
    this.wakeAt = earliest;
    this.timer =
      earliest === Number.POSITIVE_INFINITY
        ? undefined
        : this.time.after(Math.max(0, earliest - this.time.now()), this.ring);
  }

  private readonly ring = (): void => {
    this.timer = undefined;
    for (let phase = 0; phase < PHASES; phase++) this.ringPhase(phase);
    this.wake();
  };

  private ringPhase(phase: number): void {
    const now = this.time.now();
    while ((this.deadlines[phase] as number) <= now) {
      const members = this.members[phase] as Ticker[];
      if (members.length === 0) return;
      const due = this.deadlines[phase] as number;
      this.deadlines[phase] = due + FRAME_MS;
      this.lateness.record((now - due) * 1000);
      if (now - due > LATE_MS) this.lateTicks += 1;
      for (const member of members) member.tick(due, now);
    }
  }
}
