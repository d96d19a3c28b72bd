import type { Clock, Timer } from '../clock.js';
import type { Session } from './session.js';

const LOOK_MS = 1_000;

/** In which way a call was stuck. */
export type StuckKind = 'silent' | 'ending';

/**
 * Finds calls that are stuck: live ones from which nothing comes any more (Twilio sends audio as long as a call lasts, so
 * its end was lost), and ended ones whose end does not finish. Only time in which this process ran counts.
 */
export class CallWatchdog {
  /** Calls found so far. */
  readonly found = new Map<StuckKind, number>([
    ['silent', 0],
    ['ending', 0],
  ]);
  private readonly heard = new Map<Session, { messages: number; at: number }>();
  private readonly endings = new Map<Session, { readonly at: number; told: boolean }>();
  private timer: Timer | undefined;

  /**
   * @param limitMs longest silence, and longest end
   * @param onStuck told once of each
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

  /** A call has ended; all of it is freed when `ending` is settled. */
  watchEnd(session: Session, ending: Promise<unknown>): void {
    this.heard.delete(session);
    this.endings.set(session, { at: this.clock.runningMs(), told: false });
    const done = () => this.endings.delete(session);
    ending.then(done, done);
  }

  /** Looks once; {@link start} does so every second. */
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
