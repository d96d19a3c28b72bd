import type { Clock } from '../clock.js';
import type { StreamedAnswer } from './streamed-answer.js';

/** Who takes nothing for so long is cut. */
const STALLED_MS = 30_000;

/** One who watches. It is sent the present or nothing: what it was too slow for is not kept for it. */
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
