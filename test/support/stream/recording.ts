import { type Clock, systemClock } from '../../../src/clock.js';

const RATE = 48_000;
/** How much is kept. */
const SECONDS = 5;
/** What is older than this counts as silence: the sender has gone. */
const STALE_MS = 200;

/** The last seconds of what was heard of somebody. */
export class Recording {
  private readonly ring = new Int16Array(RATE * SECONDS);
  private written = 0;
  private lastAt = 0;

  constructor(private readonly clock: Clock = systemClock) {}

  write(samples: Int16Array): void {
    this.lastAt = this.clock.now();
    let at = this.written % this.ring.length;
    for (const sample of samples) {
      this.ring[at] = sample;
      at = at + 1 === this.ring.length ? 0 : at + 1;
    }
    this.written += samples.length;
  }

  /** The latest samples, fewer if there are not so many; none if nothing has come for a while. */
  latest(seconds: number): Int16Array {
    if (this.clock.now() - this.lastAt > STALE_MS) return new Int16Array(0);
    const count = Math.min(this.written, this.ring.length, Math.round(seconds * RATE));
    const begin = (this.written - count) % this.ring.length;
    const samples = new Int16Array(count);
    const head = this.ring.subarray(begin, Math.min(begin + count, this.ring.length));
    samples.set(head);
    samples.set(this.ring.subarray(0, count - head.length), head.length);
    return samples;
  }
}

/** Amplitude of one frequency, by Goertzel: the peak of a sine of that frequency. */
export function amplitudeOf(frequencyHz: number, samples: Int16Array): number {
  if (samples.length === 0) return 0;
  const coefficient = 2 * Math.cos((2 * Math.PI * frequencyHz) / RATE);
  let last = 0;
  let beforeLast = 0;
  for (const sample of samples) {
    const next = sample + coefficient * last - beforeLast;
    beforeLast = last;
    last = next;
  }
  const power = last * last + beforeLast * beforeLast - coefficient * last * beforeLast;
  return (2 * Math.sqrt(Math.max(0, power))) / samples.length;
}

/** Root mean square. */
export function levelOf(samples: Int16Array): number {
  if (samples.length === 0) return 0;
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length);
}
