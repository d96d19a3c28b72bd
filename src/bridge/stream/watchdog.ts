import type { Clock, Timer } from '../../clock.js';
import { type Measured, readTransport, type TransportState } from './transport.js';

/** A look costs: every other one is left out as long as each shows a sign. */
const INTERVAL_MS = 250;
/** A way that lives alone is given so many times the patience: a lost report and a lost check are no death. */
const ONE_WAY = 4 / 3;
/** And so many times where nothing is due on it but connectivity checks, of which a bad network loses several in turn. */
const IDLE = 4;
/** Media that came so long before the silence, or later, would have gone on. */
const RECENT_MS = 3_000;

/** One of the two ways of media, as its participant knows it. */
export interface MediaPath {
  /** Whose loss it is, for the log. */
  readonly name: string;
  /** Its connection at this moment; there may be none. */
  connection(): Measured | undefined;
  /** Whether media, or reports of media, are due on it: somebody talks, and is not muted. */
  isDue(): boolean;
}

/**
 * Notices media that died without a word, on either way: each is a path of its own through the network. WebRTC itself needs
 * some fifteen seconds for that. Packets come many times a second where somebody talks, reports once a second;
 * connectivity checks are answered every 2.5 s even where nobody does, and asked for again after 0.9 s.
 */
export class MediaWatchdog {
  private readonly timer: Timer;
  private readonly pulses: readonly Pulse[];
  private isLooking = false;
  private isRested = false;
  private isClosed = false;

  /**
   * @param patienceMs silence of all ways until they count as dead; of one alone it is a third more
   * @param onDead called once, with what is dead
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

/** The signs of life of one way. */
class Pulse {
  lastSignAt: number;
  /** Whether the last look showed a sign. */
  isBeating = true;
  /** Whether media would come on it now if it were alive. */
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
    // A connection that was closed meanwhile has no statistics: as silent as a dead one.
    const state = await (connection && readTransport(connection).catch(() => undefined));
    const now = clock.runningMs();
    const isNew = connection !== this.connection;
    this.connection = connection;
    if (connection === undefined || isNew || state?.hasPath === false) {
      this.state = state;
      this.lastSignAt = now;
      this.lastBytesAt = now;
    } else if (state !== undefined) {
      // Pairs of candidates are given up, so that it may be less than before: that is a sign as well.
      const hasBytes = state.bytes !== this.state?.bytes;
      if (hasBytes) this.lastBytesAt = now;
      if (hasBytes || state.checks !== this.state?.checks) this.lastSignAt = now;
      this.state = state;
    }
    this.isBeating = this.lastSignAt === now;
    this.isDue = this.way.isDue() && this.lastSignAt - this.lastBytesAt <= RECENT_MS;
  }
}
