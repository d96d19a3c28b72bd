import type { Clock, Timer } from '../clock.js';
import { audioWaited } from '../telemetry/ingress-time.js';
import { FRAME_MS } from './frame.js';

/** Something that looks at the time once a period. */
export interface Ticking {
  tick(): void;
}

export interface FrameClockOptions {
  /** Milliseconds between two ticks of a member; default 20, a frame. */
  readonly periodMs?: number;
  /** Groups that members are spread over, so that they do not all need the event loop at once; default 4. */
  readonly phases?: number;
  /** Delay up to which a late clock makes up for every missed tick; beyond it each member ticks once. Default: a period. */
  readonly catchUpMs?: number;
}

/**
 * Ticks its members once a period, by the monotonic clock: a timer only wakes it, so a late one loses nothing.
 * It holds one timer while it has members, and none otherwise.
 */
export class FrameClock {
  /** Replaced, never changed: a member that leaves during a tick does not disturb the loop. */
  private readonly phases: (readonly Ticking[])[];
  /** Milliseconds between the ticks of two phases. */
  private readonly stepMs: number;
  private readonly mostSteps: number;
  /** The time of the latest ticks in monotonic milliseconds, read once for all members. */
  tickedAt = 0;
  private timer: Timer | undefined;
  private tickedStep = 0;
  private size = 0;

  constructor(
    readonly clock: Clock,
    { periodMs = FRAME_MS, phases = 4, catchUpMs = periodMs }: FrameClockOptions = {},
  ) {
    this.phases = Array.from({ length: phases }, () => []);
    this.stepMs = periodMs / phases;
    this.mostSteps = catchUpMs / this.stepMs;
  }

  /** Puts a member on the emptiest phase. */
  join(member: Ticking): void {
    const least = Math.min(...this.phases.map((phase) => phase.length));
    const at = this.phases.findIndex((phase) => phase.length === least);
    this.phases[at] = [...(this.phases[at] as readonly Ticking[]), member];
    this.size += 1;
    if (this.timer !== undefined) return;
    this.tickedStep = this.stepAt(this.clock.now());
    this.timer = this.clock.every(this.stepMs, () => this.wake());
  }

  /** Takes a member off; unknown ones are ignored. */
  leave(member: Ticking): void {
    const at = this.phases.findIndex((phase) => phase.includes(member));
    if (at < 0) return;
    this.phases[at] = (this.phases[at] as readonly Ticking[]).filter((each) => each !== member);
    this.size -= 1;
    if (this.size > 0) return;
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  private wake(): void {
    const { phases, tickedStep } = this;
    this.tickedAt = this.clock.now();
    // What is passed on now has not just arrived.
    audioWaited();
    const now = this.stepAt(this.tickedAt);
    const isTooLate = now - tickedStep > this.mostSteps;
    for (let step = isTooLate ? now - phases.length + 1 : tickedStep + 1; step <= now; step++) {
      for (const member of phases[step % phases.length] as readonly Ticking[]) member.tick();
    }
    this.tickedStep = now;
  }

  private stepAt(ms: number): number {
    return Math.floor(ms / this.stepMs);
  }
}
