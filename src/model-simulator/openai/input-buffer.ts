import { PHONE_RATE } from '../../simulator/wav.js';

/** Audio that is kept while nobody commits it. */
const MOST_SAMPLES = 120 * PHONE_RATE;
const PER_MS = PHONE_RATE / 1000;

/** The caller's audio that no message holds yet: 8 kHz. */
export class InputBuffer {
  private readonly chunks: Int16Array[] = [];
  private samples = 0;
  /** Samples of the session before the first chunk. */
  private begin = 0;

  /** Milliseconds of audio in it. */
  get ms(): number {
    return this.samples / PER_MS;
  }

  /** Milliseconds of audio that the session has had. */
  get endMs(): number {
    return (this.begin + this.samples) / PER_MS;
  }

  /** The oldest audio makes room beyond two minutes. */
  push(pcm: Int16Array): void {
    this.chunks.push(pcm);
    this.samples += pcm.length;
    while (this.samples > MOST_SAMPLES) this.drop();
  }

  /** Keeps what comes after `ms` of the session, and up to a chunk before. */
  dropBefore(ms: number): void {
    while (this.chunks[0] !== undefined && this.begin + this.chunks[0].length <= ms * PER_MS) this.drop();
  }

  /** Everything up to `endMs` of the session; what comes after stays. */
  take(endMs = this.endMs): Int16Array {
    const all = new Int16Array(this.samples);
    let at = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    const count = Math.min(this.samples, Math.max(0, Math.round(endMs * PER_MS) - this.begin));
    this.begin += count;
    this.samples -= count;
    this.chunks.length = 0;
    if (this.samples > 0) this.chunks.push(all.slice(count));
    return all.subarray(0, count);
  }

  private drop(): void {
    const { length } = this.chunks.shift() as Int16Array;
    this.begin += length;
    this.samples -= length;
  }
}
