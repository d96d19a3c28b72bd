/** Receives audio that can no longer change. */
export interface TapeSink {
  /** Appends interleaved left and right samples. The memory is only lent. */
  append(interleaved: Int16Array): void;
  /** Appends silence: `samples` per channel. */
  skip(samples: number): void;
}

/** Minimum samples per channel handed on at a time: a fifth of a second at 16 kHz. */
const STEP_SAMPLES = 3_200;

/**
 * Two tracks on one timeline. The latest part is buffered, so that audio may arrive late or early, or be
 * erased. Positions without audio are silent. Positions are samples since the beginning.
 */
export class StereoTape {
  private readonly memory: Int16Array;
  private committed = 0;

  /** @param capacity samples per track that are buffered */
  constructor(
    private readonly sink: TapeSink,
    private readonly capacity: number,
  ) {
    this.memory = new Int16Array(2 * capacity);
  }

  /** First buffered position. */
  get begin(): number {
    return this.committed;
  }

  /**
   * Writes audio to a track, replacing what was there.
   * @param track 0 is left, 1 is right
   * @returns samples that were too late or too early
   */
  put(track: 0 | 1, samples: Int16Array, at: number): number {
    const { memory, capacity, committed } = this;
    const from = Math.max(at, committed);
    const until = Math.min(at + samples.length, committed + capacity);
    for (let position = from; position < until; position++) {
      memory[2 * (position % capacity) + track] = samples[position - at] as number;
    }
    return samples.length - Math.max(0, until - from);
  }

  /** Silences a track from a position on. */
  erase(track: 0 | 1, from: number): void {
    const { memory, capacity, committed } = this;
    for (let position = Math.max(from, committed); position < committed + capacity; position++) {
      memory[2 * (position % capacity) + track] = 0;
    }
  }

  /** Hands on everything before a position, in large steps; all of it with `isLast`. */
  commit(until: number, isLast = false): void {
    if (until - this.committed < (isLast ? 1 : STEP_SAMPLES)) return;
    const held = Math.min(until, this.committed + this.capacity);
    while (this.committed < held) {
      const begin = this.committed % this.capacity;
      const count = Math.min(held - this.committed, this.capacity - begin);
      const part = this.memory.subarray(2 * begin, 2 * (begin + count));
      this.sink.append(part);
      part.fill(0);
      this.committed += count;
    }
    if (until > this.committed) this.sink.skip(until - this.committed);
    this.committed = Math.max(this.committed, until);
  }
}
