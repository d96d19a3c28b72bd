import type { Clock, Timer } from '../../clock.js';
import { type Measured, readTransport, type TransportState } from './transport.js';

/** A check costs CPU: every other one is skipped while each shows a sign of life. */
const INTERVAL_MS = 250;
/** Factor on the timeout of a path while the other one lives: one lost report and one lost check do not count. */
const ONE_WAY = 4 / 3;
/** The same while only connectivity checks are due: a bad network loses several in a row. */
const IDLE = 4;
/** Media that flowed this shortly before the silence should have continued. */
const RECENT_MS = 3_000;

/** One of the two media paths of a participant. */
export interface MediaPath {
  /** For the log. */
  readonly name: string;
  /** Its current connection, if any. */
  connection(): Measured | undefined;
  /** Whether media or reports of media are due: somebody talks and is not muted. */
  isDue(): boolean;
}

/**
 * Detects media that died silently on either path; each takes its own route through the network. WebRTC itself needs about
 * 15 s for that. While somebody talks, packets arrive many times a second and reports once a second. Connectivity checks are
 * answered every 2.5 s in any case, and repeated after 0.9 s.
 */
export class MediaWatchdog {
  private readonly timer: Timer;
  private readonly pulses: readonly Pulse[];
  private isLooking = false;
  private isRested = false;
  private isClosed = false;

  /**
   * @param patienceMs silence of both paths after which they count as dead; a third more for one alone
   * @param onDead called once, with the dead paths
   */
  constructor(
    ways: readonly MediaPath[],
    private readonly patienceMs: number,
    private readonly onDead: (what: string) => void,
    private readonly clock: Clock,
  ) {
    const now = clock.runningMs();
    this.pulses = ways.map((way) => new Pulse(way, now));
    this.timer = clock.every(INTERVAL_MS, () => void this.check());
  }

  close(): void {
    this.isClosed = true;
    this.clock.cancel(this.timer);
  }

  private async check(): Promise<void> {
    if (this.isLooking) return;
    this.isRested = !this.isRested;
    if (this.isRested && this.pulses.every(({ isBeating }) => isBeating)) return;
    this.isLooking = true;
    await Promise.all(this.pulses.map((pulse) => pulse.sample(this.clock)));
    this.isLooking = false;
    if (this.isClosed) return;
    const now = this.clock.runningMs();
    const silentMs = ({ lastSignAt }: Pulse) => now - lastSignAt;
    const areAllDead = this.pulses.every((pulse) => pulse.isDue && silentMs(pulse) >= this.patienceMs);
    const dead = this.pulses.filter(
      (pulse) => areAllDead || silentMs(pulse) >= this.patienceMs * (pulse.isDue ? ONE_WAY : IDLE),
    );
    if (dead.length === 0) return;
    this.close();
    const ms = Math.round(Math.min(...dead.map(silentMs)));
    this.onDead(`no sign of life of ${dead.map(({ name }) => name).join(' and ')} for ${ms} ms`);
  }
}

/** The signs of life of one path. */
class Pulse {
  lastSignAt: number;
  /** Whether the last check showed a sign of life. */
  isBeating = true;
  /** Whether media would arrive now if the path were alive. */
  isDue = false;
  private lastBytesAt: number;
  private connection: Measured | undefined;
  private state: TransportState | undefined;

  constructor(
    private readonly way: MediaPath,
    now: number,
  ) {
    this.lastSignAt = now;
    this.lastBytesAt = now;
  }

  get name(): string {
    return this.way.name;
  }

  async sample(clock: Clock): Promise<void> {
    const connection = this.way.connection();
    // A closed connection has no statistics, so it looks as silent as a dead one.
    const state = await (connection && readTransport(connection).catch(() => undefined));
    const now = clock.runningMs();
    const isNew = connection !== this.connection;
    this.connection = connection;
    if (connection === undefined || isNew || state?.hasPath === false) {
      this.state = state;
      this.lastSignAt = now;
      this.lastBytesAt = now;
    } else if (state !== undefined) {
      // Candidate pairs are discarded, so counters may fall: that is a sign of life as well.
      const hasBytes = state.bytes !== this.state?.bytes;
      if (hasBytes) this.lastBytesAt = now;
      if (hasBytes || state.checks !== this.state?.checks) this.lastSignAt = now;
      this.state = state;
    }
    this.isBeating = this.lastSignAt === now;
    this.isDue = this.way.isDue() && this.lastSignAt - this.lastBytesAt <= RECENT_MS;
  }
}
