import type { Clock, Timer } from '../clock.js';
import { FRAME_MS } from './frame.js';

/** Members are spread over so many parts of a frame's time, lest they all want the event loop at once. */
const PHASES = 4;
const PHASE_MS = FRAME_MS / PHASES;

/** Something that looks at the time once a frame. */
export interface Ticking {
  tick(): void;
}

/**
 * Wakes its members about every 20 ms. What is due then they know from the monotonic clock: a late tick loses nothing.
 * It holds one timer while anybody is on it, none otherwise.
 */
export class FrameClock {
  /** Replaced, never changed: who leaves during a tick does not disturb the loop. */
  private readonly phases: (readonly Ticking[])[] = Array.from({ length: PHASES }, () => []);
  private timer: Timer | undefined;
  private tickedPhase = 0;
  private size = 0;

  constructor(private readonly clock: Clock) {}

  /** Puts a member on the emptiest phase. */
  join(member: Ticking): void {
    const least = Math.min(...this.phases.map((phase) => phase.length));
    const at = this.phases.findIndex((phase) => phase.length === least);
    this.phases[at] = [...(this.phases[at] as readonly Ticking[]), member];
    this.size += 1;
    if (this.timer !== undefined) return;
    this.tickedPhase = this.currentPhase();
    this.timer = this.clock.every(PHASE_MS, () => this.wake());
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
    const now = this.currentPhase();
    // After a stall everybody is woken once: they catch up by themselves.
    for (let phase = Math.max(this.tickedPhase + 1, now - PHASES + 1); phase <= now; phase++) {
      for (const member of this.phases[phase % PHASES] as readonly Ticking[]) member.tick();
    }
    this.tickedPhase = now;
  }

  private currentPhase(): number {
    return Math.floor(this.clock.now() / PHASE_MS);
  }
}
