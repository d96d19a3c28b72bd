import type { RtcAudioSource } from '../../../src/bridge/stream/rtc-stack.js';

/** Samples of 10 ms at 48 kHz. */
export const BLOCK = 480;
const BLOCK_MS = 10;
/** A longer stall is not caught up. */
const MAX_LATE_MS = 200;

/** Gives the next 10 ms to be said; `index` counts them from the beginning. */
export type FrameMaker = (index: number) => Int16Array;

/** An agent's audio: a block every 10 ms of the monotonic clock, silence by default. */
export class Voice {
  private readonly silent = new Int16Array(BLOCK);
  private make: FrameMaker = () => this.silent;
  private index = 0;
  private nextAt = performance.now();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly source: RtcAudioSource) {
    this.timer = setInterval(() => this.wake(), BLOCK_MS / 2);
  }

  /** A steady tone with continuous phase. */
  play(frequencyHz: number, amplitude: number): void {
    const block = new Int16Array(BLOCK);
    const step = (2 * Math.PI * frequencyHz) / 48_000;
    this.playFrames((index) => {
      for (let i = 0; i < BLOCK; i++) {
        block[i] = Math.round(amplitude * Math.sin((step * (index * BLOCK + i)) % (2 * Math.PI)));
      }
      return block;
    });
  }

  silence(): void {
    this.playFrames(() => this.silent);
  }

  playFrames(make: FrameMaker): void {
    this.make = make;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private wake(): void {
    const now = performance.now();
    if (now - this.nextAt > MAX_LATE_MS) this.nextAt = now;
    for (; this.nextAt <= now; this.nextAt += BLOCK_MS) this.source.write(this.make(this.index++));
  }
}
