/** The only rate of 16-bit audio that the OpenAI Realtime API knows. */
export const WIDE_RATE = 24_000;

/** 24 kHz samples that make one at 8 kHz. */
const FACTOR = 3;
/** Half the filter's length at 24 kHz. */
const HALF = 48;
/** 3.6 kHz, as a share of 24 kHz. */
const CUTOFF = 0.15;

const taps = lowPass();

/** 8 kHz audio at 24 kHz: three times the samples, at the same instants. */
export function toWide(pcm: Int16Array): Int16Array {
  const out = new Int16Array(pcm.length * FACTOR);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let j = Math.ceil((i - HALF) / FACTOR); j <= (i + HALF) / FACTOR; j++)
      sum += (pcm[j] ?? 0) * (taps[i - j * FACTOR + HALF] as number);
    out[i] = clipped(sum * FACTOR);
  }
  return out;
}

/** A stream of 24 kHz audio at 8 kHz, 2 ms later. */
export class Narrower {
  private rest = new Int16Array(2 * HALF);

  /** @param pcm any number of samples @returns what is complete */
  push(pcm: Int16Array): Int16Array {
    const all = new Int16Array(this.rest.length + pcm.length);
    all.set(this.rest);
    all.set(pcm, this.rest.length);
    const out = new Int16Array(Math.max(0, Math.floor((all.length - taps.length) / FACTOR) + 1));
    for (let i = 0; i < out.length; i++) {
      let sum = 0;
      for (let k = 0; k < taps.length; k++) sum += (all[i * FACTOR + k] as number) * (taps[k] as number);
      out[i] = clipped(sum);
    }
    this.rest = all.slice(out.length * FACTOR);
    return out;
  }
}

/** A Blackman-windowed sinc with a gain of 1. */
function lowPass(): Float64Array {
  const raw = new Float64Array(2 * HALF + 1).map((_, i) => {
    const at = i - HALF;
    const sinc = at === 0 ? 2 * CUTOFF : Math.sin(2 * Math.PI * CUTOFF * at) / (Math.PI * at);
    const phase = (Math.PI * i) / HALF;
    return sinc * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
  });
  const gain = raw.reduce((sum, tap) => sum + tap, 0);
  return raw.map((tap) => tap / gain);
}

function clipped(sample: number): number {
  return Math.max(-32_768, Math.min(32_767, Math.round(sample)));
}
