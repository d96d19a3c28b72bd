import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';

/** Lines a second: what strangers do fills no disk. */
const PER_SECOND = 10;

/** The log of sockets that are refused. */
export class RefusalLog {
  private second = Number.NEGATIVE_INFINITY;
  private lines = 0;
  private untold = 0;

  constructor(
    /** Whose socket, e.g. `media socket`. */
    private readonly what: string,
    private readonly log: Logger,
    private readonly clock: Clock,
  ) {}

  /** A fault of ours is told in full, always. */
  tell(error: unknown): void {
    if (!(error instanceof GatewayError)) {
      this.log.error({ err: error }, `${this.what} failed`);
      return;
    }
    const now = this.clock.now();
    if (now - this.second >= 1_000) {
      this.second = now;
      this.lines = 0;
    }
    this.lines += 1;
    if (this.lines > PER_SECOND) {
      this.untold += 1;
      return;
    }
    const { status, code } = error;
    const untold = this.untold === 0 ? {} : { untold: this.untold };
    this.untold = 0;
    this.log.warn({ status, code, ...untold }, `${this.what} refused`);
  }
}
