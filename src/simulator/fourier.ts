/** A fast Fourier transform of one size, a power of two. */
export class Fourier {
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;

  constructor(private readonly size: number) {
    this.cos = new Float64Array(size / 2).map((_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = new Float64Array(size / 2).map((_, k) => -Math.sin((2 * Math.PI * k) / size));
  }

  /** Radix 2, in place. */
  transform(re: Float64Array, im: Float64Array): void {
    const { size, cos, sin } = this;
    for (let i = 1, j = 0; i < size; i++) {
      let bit = size >> 1;
      for (; (j & bit) !== 0; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i >= j) continue;
      [re[i], re[j]] = [re[j] as number, re[i] as number];
      [im[i], im[j]] = [im[j] as number, im[i] as number];
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const i = start + k;
          const j = i + half;
          const c = cos[k * stride] as number;
          const s = sin[k * stride] as number;
          const oddRe = (re[j] as number) * c - (im[j] as number) * s;
          const oddIm = (re[j] as number) * s + (im[j] as number) * c;
          re[j] = (re[i] as number) - oddRe;
          im[j] = (im[i] as number) - oddIm;
          re[i] = (re[i] as number) + oddRe;
          im[i] = (im[i] as number) + oddIm;
        }
      }
    }
  }
}
