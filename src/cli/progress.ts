import { Presets, SingleBar } from 'cli-progress';
import { systemClock } from '../clock.js';
import type { LoadProgress } from '../simulator/load.js';
import { describeStep, type LoadStep } from '../simulator/load-steps.js';
import type { Shell } from './shell.js';

const some = (count: number) => (count === 1 ? '1 call' : `${count} calls`);
const talking = (count: number) => `${some(count)} ${count === 1 ? 'talks' : 'talk'}`;

/** Shows how far a run of simulated calls is: a bar on a terminal, plain lines elsewhere. */
export class RunProgress {
  private readonly bar: SingleBar | undefined;
  private phase: LoadProgress['phase'] | undefined;
  private step: LoadStep | undefined;
  private since = 0;
  private total = 1;

  /** @param calls to be placed @param seconds that they are held; a run that tells its steps goes by those */
  constructor(
    private readonly calls: number,
    private readonly seconds: number,
    private readonly shell: Shell,
  ) {
    if (!shell.stderr.isTTY) return;
    const format = '{text} {bar} {value}/{total}, {now}';
    this.bar = new SingleBar({ format, stream: shell.stderr, clearOnComplete: true }, Presets.shades_classic);
  }

  update = (progress: LoadProgress): void => {
    const { phase, step, streaming, failed } = progress;
    if (phase !== this.phase || step !== this.step) this.enter(progress);
    const seconds = Math.round((systemClock.now() - this.since) / 1000);
    const value = phase === 'ramp' ? streaming : phase === 'end' ? 0 : seconds;
    const now = `${talking(streaming)}${failed > 0 ? `, ${failed} failed` : ''}`;
    this.bar?.update(Math.min(value, this.total), { now });
  };

  stop(): void {
    this.bar?.stop();
  }

  private enter({ phase, step, stepBegunAt, streaming }: LoadProgress): void {
    this.phase = phase;
    this.step = step;
    this.since = stepBegunAt ?? systemClock.now();
    const calls = step?.kind === 'ramp' ? step.calls : this.calls;
    const seconds = step === undefined || step.kind === 'ramp' ? this.seconds : step.seconds;
    this.total = { ramp: Math.max(1, calls), hold: seconds, churn: seconds, end: 1 }[phase];
    const plain = { ramp: `placing ${some(calls)}`, hold: `talking for ${seconds} s` };
    const text =
      phase === 'end' ? 'hanging up' : step === undefined ? plain[phase as 'ramp'] : describeStep(step);
    if (this.bar === undefined) this.shell.console.error(text);
    else {
      this.bar.stop();
      this.bar.start(this.total, 0, { text, now: talking(streaming) });
    }
  }
}
