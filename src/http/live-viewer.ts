import type { Clock } from '../clock.js';
import type { StreamedAnswer } from './streamed-answer.js';

/** A viewer that reads nothing for so long is disconnected. */
const STALLED_MS = 30_000;

/** A viewer of `/v1/live`. Rounds that it is too slow for are skipped, not queued. */
export class LiveViewer {
  /** When its socket was last full; `undefined` while it is not. */
  private blockedAt: number | undefined;

  constructor(
    private readonly answer: StreamedAnswer,
    private readonly clock: Clock,
  ) {
    answer.onWritable = () => {
      this.blockedAt = undefined;
    };
  }

  show(text: string): void {
    if (this.blockedAt === undefined) {
      if (!this.answer.write(text)) this.blockedAt = this.clock.runningMs();
    } else if (this.clock.runningMs() - this.blockedAt >= STALLED_MS) this.close();
  }

  close(): void {
    this.answer.close();
  }
}
