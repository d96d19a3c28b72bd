import { Presets, SingleBar } from 'cli-progress';

/** Shows how far something is: a bar on a terminal, a line at the start and at the end elsewhere. */
export class Progress {
  private readonly bar: SingleBar | undefined;

  constructor(
    private readonly what: string,
    private readonly total: number,
  ) {
    if (process.stderr.isTTY) {
      this.bar = new SingleBar(
        { format: `${what} {bar} {value}/{total} s`, stream: process.stderr },
        Presets.shades_classic,
      );
      this.bar.start(total, 0);
    } else console.error(`${what}: ${total} s`);
  }

  update(done: number): void {
    this.bar?.update(Math.min(this.total, Math.round(done)));
  }

  stop(): void {
    if (this.bar === undefined) console.error(`${this.what}: done`);
    else {
      this.bar.update(this.total);
      this.bar.stop();
    }
  }
}
