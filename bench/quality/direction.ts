/** One way of changing the rate, as a fresh stream each time. */
export interface Direction {
  readonly from: 8_000 | 48_000;
  readonly to: 8_000 | 48_000;
  readonly convert: (pcm: Int16Array) => Int16Array;
}

/** Both directions of a resampler. */
export interface Contender {
  readonly name: string;
  readonly up: Direction;
  readonly down: Direction;
}
