import type { Clock, Timeout } from '../../clock.js';

/** After this much quiet nothing more is on its way: a jitter buffer holds less. */
const QUIET_MS = 120;
/** Longest wait for the end. */
const LONGEST_MS = 300;
/** Peak amplitude that counts as quiet, of 32767: -60 dBFS. WebRTC's concealment of missing packets fades below it. */
const QUIET_PEAK = 33;
const SAMPLES_PER_MS = 48;

/** Audio still on its way when a participant leaves or a call ends. It ends with quiet, or after {@link LONGEST_MS}. */
export class Tail {
  private readonly patience: Timeout;
  private quietSamples = 0;
  private isOver = false;

  /** @param onEnd called once */
  constructor(
    clock: Clock,
    private readonly onEnd: () => void,
  ) {
    this.patience = clock.timeout(LONGEST_MS, () => this.end());
  }

  /** @param samples the next ones, at 48 kHz */
  pushFrame(samples: Int16Array): void {
    this.quietSamples = isQuiet(samples) ? this.quietSamples + samples.length : 0;
    if (this.quietSamples >= QUIET_MS * SAMPLES_PER_MS) this.end();
  }

  /** Cancels the wait. */
  close(): void {
    this.isOver = true;
    this.patience.cancel();
  }

  /** Ends it now. Idempotent. */
  end(): void {
    if (this.isOver) return;
    this.close();
    this.onEnd();
  }
}

function isQuiet(samples: Int16Array): boolean {
  for (let i = 0; i < samples.length; i++) {
    const sample = samples[i] as number;
    if (sample > QUIET_PEAK || sample < -QUIET_PEAK) return false;
  }
  return true;
}
