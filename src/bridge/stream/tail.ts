import type { Clock, Timeout } from '../../clock.js';

/** Quiet for so long, and nothing more is on its way: a jitter buffer holds less. */
const QUIET_MS = 120;
/** And no end is waited for any longer. */
const LONGEST_MS = 300;
/** Peak of what counts as quiet, of 32767: -60 dBFS. What WebRTC makes up for packets that are missing fades below it. */
const QUIET_PEAK = 33;
const SAMPLES_PER_MS = 48;

/** What is still on its way when somebody leaves or a call ends: over when it is quiet, or after {@link LONGEST_MS}. */
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

  /** Some more of it, at 48 kHz. */
  pushFrame(samples: Int16Array): void {
    this.quietSamples = isQuiet(samples) ? this.quietSamples + samples.length : 0;
    if (this.quietSamples >= QUIET_MS * SAMPLES_PER_MS) this.end();
  }

  /** Nobody waits for its end any more. */
  close(): void {
    this.isOver = true;
    this.patience.cancel();
  }

  /** Nothing more is on its way: it is over now. Idempotent. */
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
