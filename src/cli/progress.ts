import { Presets, SingleBar } from 'cli-progress';
import type { LoadProgress } from '../simulator/load.js';

/** Shows how far a run of simulated calls is: a bar on a terminal, plain lines elsewhere. */
export class RunProgress {
  private readonly bar: SingleBar | undefined;
  private phase: LoadProgress['phase'] | undefined;
  private heldSince = 0;

  /** @param calls to be placed @param seconds that they are held */
  constructor(
    private readonly calls: number,
    private readonly seconds: number,
  ) {
    if (!process.stderr.isTTY) return;
    const format = '{phase} {bar} {value}/{total}';
    this.bar = new SingleBar(
      { format, stream: process.stderr, clearOnComplete: true },
      Presets.shades_classic,
    );
  }

  update = ({ phase, placed, streaming }: LoadProgress): void => {
    if (phase !== this.phase) this.enter(phase, streaming);
    if (phase === 'ramp') this.bar?.update(placed);
    else if (phase === 'hold')
      this.bar?.update(Math.min(this.seconds, Math.round((performance.now() - this.heldSince) / 1000)));
  };

  stop(): void {
    this.bar?.stop();
  }

  private enter(phase: LoadProgress['phase'], streaming: number): void {
    this.phase = phase;
    this.heldSince = performance.now();
    const { calls, seconds } = this;
    const total = { ramp: calls, hold: seconds, end: 1 }[phase];
    const some = (count: number) => (count === 1 ? '1 call' : `${count} calls`);
    const text = {
      ramp: `placing ${some(calls)}`,
      hold: `talking for ${seconds} s: ${some(streaming)}`,
      end: 'hanging up',
    }[phase];
    if (this.bar === undefined) console.error(text);
    else {
      this.bar.stop();
      this.bar.start(total, 0, { phase: text });
    }
  }
}
