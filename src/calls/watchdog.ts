import type { Clock, Timer } from '../clock.js';
import type { Session } from './session.js';

const LOOK_MS = 1_000;

/** How a call is stuck. */
export type StuckKind = 'silent' | 'ending';

/**
 * Finds stuck calls: live ones from which no messages arrive (Twilio sends audio throughout a call, so its
 * end was lost), and ended ones whose cleanup does not finish. Only time in which this process was running
 * counts.
 */
export class CallWatchdog {
  /** Stuck calls found so far, by kind. */
  readonly found = new Map<StuckKind, number>([
    ['silent', 0],
    ['ending', 0],
  ]);
  private readonly heard = new Map<Session, { messages: number; at: number }>();
  private readonly endings = new Map<Session, { readonly at: number; told: boolean }>();
  private timer: Timer | undefined;

  /**
   * @param limitMs maximum silence, and maximum time to end, in milliseconds
   * @param onStuck called once per stuck call
   */
  constructor(
    private readonly limitMs: number,
    private readonly sessions: () => Iterable<Session>,
    private readonly onStuck: (session: Session, way: StuckKind) => void,
    private readonly clock: Clock,
  ) {}

  start(): void {
    if (this.timer !== undefined) return;
    this.timer = this.clock.every(LOOK_MS, () => this.checkCalls());
    this.timer.unref();
  }

  stop(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
    this.heard.clear();
    this.endings.clear();
  }

  /** Watches an ended call until `ending` settles. */
  watchEnd(session: Session, ending: Promise<unknown>): void {
    this.heard.delete(session);
    this.endings.set(session, { at: this.clock.runningMs(), told: false });
    const done = () => this.endings.delete(session);
    ending.then(done, done);
  }

  /** Checks once; {@link start} does so every second. */
  checkCalls(): void {
    const now = this.clock.runningMs();
    for (const session of [...this.sessions()]) {
      if (!session.stream.isConnected) continue;
      const messages = session.stream.messagesIn;
      const last = this.heard.get(session);
      if (last === undefined || last.messages !== messages) this.heard.set(session, { messages, at: now });
      else if (now - last.at >= this.limitMs) this.reportStuck(session, 'silent');
    }
    for (const [session, ending] of this.endings) {
      if (ending.told || now - ending.at < this.limitMs) continue;
      ending.told = true;
      this.reportStuck(session, 'ending');
    }
  }

  private reportStuck(session: Session, way: StuckKind): void {
    this.found.set(way, (this.found.get(way) ?? 0) + 1);
    this.heard.delete(session);
    this.onStuck(session, way);
  }
}
