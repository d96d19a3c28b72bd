/** A tone in a sound. */
export interface ToneFit {
  readonly amplitude: number;
  /** Ratio of the tone to all else, in decibels. */
  readonly sinadDb: number;
}

/** Fits a tone to a sound by least squares. */
export function fitTone(hz: number, rate: number, samples: Int16Array): ToneFit {
  // Normal equations of a sine, a cosine and a constant.
  const matrix = Array.from({ length: 3 }, () => [0, 0, 0, 0]);
  const base = [0, 0, 1];
  for (const [n, sample] of samples.entries()) {
    base[0] = Math.sin((2 * Math.PI * hz * n) / rate);
    base[1] = Math.cos((2 * Math.PI * hz * n) / rate);
    for (const [i, row] of matrix.entries()) {
      for (let j = 0; j < 3; j++) row[j] = at(row, j) + at(base, i) * at(base, j);
      row[3] = at(row, 3) + at(base, i) * sample;
    }
  }
  const [sin, cos, constant] = solve(matrix) as [number, number, number];
  let rest = 0;
  for (const [n, sample] of samples.entries()) {
    const angle = (2 * Math.PI * hz * n) / rate;
    rest += (sample - sin * Math.sin(angle) - cos * Math.cos(angle) - constant) ** 2;
  }
  const amplitude = Math.hypot(sin, cos);
  return { amplitude, sinadDb: 10 * Math.log10((samples.length * amplitude ** 2) / 2 / rest) };
}

const at = (row: readonly number[], i: number) => row[i] as number;

function solve(matrix: number[][]): number[] {
  const size = matrix.length;
  for (let i = 0; i < size; i++) {
    const pivot = matrix[i] as number[];
    for (const [j, row] of matrix.entries()) {
      if (j === i) continue;
      const factor = at(row, i) / at(pivot, i);
      for (let k = 0; k <= size; k++) row[k] = at(row, k) - factor * at(pivot, k);
    }
  }
  return matrix.map((row, i) => at(row, size) / at(row, i));
}

/** The largest step between neighbouring samples. */
export function largestStep(samples: Int16Array): number {
  let largest = 0;
  for (let n = 1; n < samples.length; n++) {
    largest = Math.max(largest, Math.abs((samples[n] as number) - (samples[n - 1] as number)));
  }
  return largest;
}

/** How alike a sound is to a piece of another, wherever in that it is: 0 to 1, the correlation's largest. */
export function bestLikeness(sound: Int16Array, within: Int16Array): number {
  const energy = (samples: Int16Array, from: number) => {
    let sum = 0;
    for (let n = 0; n < sound.length; n++) sum += (samples[from + n] as number) ** 2;
    return sum;
  };
  const own = energy(sound, 0);
  let best = 0;
  for (let from = 0; from + sound.length <= within.length; from++) {
    let sum = 0;
    for (let n = 0; n < sound.length; n++) sum += (sound[n] as number) * (within[from + n] as number);
    best = Math.max(best, sum / Math.sqrt(own * energy(within, from)));
  }
  return best;
}
