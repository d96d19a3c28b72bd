/** Level above which 20 ms are sound: -45 dBFS, above the noise of a line. */
const SOUND = 32_768 * 10 ** (-45 / 20);
/** Windows a second of {@link loudness}. */
const WINDOWS = 50;

/** Root mean square of samples. */
export function levelOf(pcm: Int16Array): number {
  let energy = 0;
  for (const sample of pcm) energy += sample * sample;
  return Math.sqrt(energy / Math.max(1, pcm.length));
}

export function isSound(pcm: Int16Array): boolean {
  return levelOf(pcm) > SOUND;
}

/** Where sound begins and ends, in samples; `undefined` for silence. */
export function soundIn(
  pcm: Int16Array,
  rate: number,
): { readonly from: number; readonly to: number } | undefined {
  const window = rate / WINDOWS;
  let [from, to] = [-1, 0];
  for (let at = 0; at < pcm.length; at += window) {
    if (!isSound(pcm.subarray(at, at + window))) continue;
    if (from < 0) from = at;
    to = Math.min(pcm.length, at + window);
  }
  return from < 0 ? undefined : { from, to };
}

/** Other ways to write samples, by what an agent would call them. */
const FORMATS: Readonly<Record<string, (bytes: Buffer) => Int16Array>> = {
  'big endian': (bytes) => Int16Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readInt16BE(2 * i)),
  'one byte late': (bytes) =>
    Int16Array.from({ length: (bytes.length - 1) >> 1 }, (_, i) => bytes.readInt16LE(2 * i + 1)),
  'float of 32 bits': (bytes) =>
    Int16Array.from({ length: bytes.length >> 2 }, (_, i) => {
      const value = bytes.readFloatLE(4 * i);
      return Math.abs(value) <= 1.5 ? 32_767 * value : Number.NaN;
    }),
  'µ-law of 8 bits': (bytes) => Int16Array.from(bytes, mulaw),
};

/** Rougher than this is noise, smoother than that a voice: see {@link roughnessOf}. */
const ROUGH = 0.85;
const SMOOTH = 0.6;

/**
 * The format in which sound is a voice, if as signed 16 bit, little endian, it is noise.
 * @param bytes as sent
 */
export function otherFormat(bytes: Buffer): string | undefined {
  const own = Int16Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readInt16LE(2 * i));
  if (!isSound(own) || roughnessOf(own) < ROUGH) return undefined;
  return Object.entries(FORMATS).find(([, read]) => roughnessOf(read(bytes)) < SMOOTH)?.[0];
}

/** Mean step from sample to sample, by the level: about 1.1 to 1.4 for noise, less for any voice. Infinity for silence. */
function roughnessOf(pcm: Int16Array): number {
  let steps = 0;
  for (let i = 1; i < pcm.length; i++) steps += Math.abs((pcm[i] as number) - (pcm[i - 1] as number));
  const level = levelOf(pcm);
  return level < SOUND ? Number.POSITIVE_INFINITY : steps / pcm.length / level;
}

/** ITU-T G.711. */
function mulaw(byte: number): number {
  const code = ~byte & 0xff;
  const magnitude = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132;
  return (code & 0x80) === 0 ? magnitude : -magnitude;
}

/** Pitch that an adult's voice has, in Hz. */
const LOWEST = 60;
const HIGHEST = 420;
/** Windows in which a pitch is looked for, in seconds, and how periodic they must be. */
const PITCH_WINDOW = 0.04;
const PERIODIC = 0.6;
const FEWEST_WINDOWS = 10;
/** Wider than any voice, so that a wrong rate shows. */
const RANGE = [20, 1_200] as const;

/** The median pitch of a voice in Hz; `undefined` where too little of it is voiced. */
export function pitchOf(pcm: Int16Array, rate: number): number | undefined {
  const found: number[] = [];
  const window = Math.round(PITCH_WINDOW * rate);
  const longest = Math.round(rate / RANGE[0]);
  for (let at = 0; at + window + longest <= pcm.length; at += window) {
    const lag = periodAt(pcm, at, window, Math.ceil(rate / RANGE[1]), longest);
    if (lag !== undefined) found.push(rate / lag);
  }
  found.sort((a, b) => a - b);
  return found.length < FEWEST_WINDOWS ? undefined : found[found.length >> 1];
}

export const isPitchOfVoice = (hz: number): boolean => hz >= LOWEST && hz <= HIGHEST;

/** The shortest lag at which a piece repeats about as well as at its best. */
function periodAt(
  pcm: Int16Array,
  at: number,
  window: number,
  shortest: number,
  longest: number,
): number | undefined {
  const here = pcm.subarray(at, at + window);
  if (!isSound(here)) return undefined;
  // Every second lag and every second sample will do for a median.
  const fits = new Float64Array(longest + 1);
  let best = 0;
  for (let lag = shortest; lag <= longest; lag++) {
    let [product, one, other] = [0, 0, 0];
    for (let i = 0; i < window; i += 2) {
      const [a, b] = [here[i] as number, pcm[at + i + lag] as number];
      product += a * b;
      one += a * a;
      other += b * b;
    }
    fits[lag] = product / Math.sqrt(one * other + 1);
    best = Math.max(best, fits[lag] as number);
  }
  if (best < PERIODIC) return undefined;
  for (let lag = shortest + 1; lag < longest; lag++) {
    const fit = fits[lag] as number;
    if (fit >= 0.9 * best && fit >= (fits[lag - 1] as number) && fit >= (fits[lag + 1] as number)) return lag;
  }
  return undefined;
}

/** How many times faster than it was said an echo may be: every ratio of two usual rates. */
const USUAL_RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] as const;
/** Samples a second of a loudness curve, and how alike two curves of the same words are. */
const CURVE_RATE = 100;
const ALIKE = 0.92;

/**
 * The rate at which sound was made, if it is an echo of a question, told by its speed.
 * @param question what was said, at `questionRate`
 * @param rate at which the echo is played
 */
export function rateOfEcho(
  echo: Int16Array,
  rate: number,
  question: Int16Array,
  questionRate: number,
): number | undefined {
  const heard = loudness(echo, rate);
  const said = loudness(question, questionRate);
  const rated = USUAL_RATES.map((made) => ({ made, fit: bestFit(stretched(said, made / rate), heard) }));
  const best = rated.reduce((a, b) => (b.fit > a.fit ? b : a));
  return best.fit < ALIKE ? undefined : best.made;
}

/** Whether two pieces are the same sound, whatever their beginning. */
export function isSameSound(...sounds: readonly [Sound, Sound]): boolean {
  const [a, b] = sounds.map(({ pcm, rate }) => loudness(pcm, rate)) as [Float64Array, Float64Array];
  return bestFit(a, b) > ALIKE;
}

/** Samples, and how many of them are a second. */
export interface Sound {
  readonly pcm: Int16Array;
  readonly rate: number;
}

/** Loudness over time, {@link CURVE_RATE} a second, from its first sound to its last. */
function loudness(pcm: Int16Array, rate: number): Float64Array {
  const { from, to } = soundIn(pcm, rate) ?? { from: 0, to: 0 };
  const window = rate / CURVE_RATE;
  return Float64Array.from({ length: Math.floor((to - from) / window) }, (_, i) =>
    Math.log2(1 + levelOf(pcm.subarray(from + i * window, from + (i + 1) * window)) / 100),
  );
}

/** A curve played slower by a factor: a recording at a higher rate than it is played at lasts longer. */
function stretched(curve: Float64Array, factor: number): Float64Array {
  return Float64Array.from({ length: Math.floor(curve.length * factor) }, (_, i) => {
    const at = Math.min(curve.length - 1, i / factor);
    const [low, high] = [Math.floor(at), Math.min(curve.length - 1, Math.floor(at) + 1)];
    return (curve[low] as number) * (1 - at + low) + (curve[high] as number) * (at - low);
  });
}

/** Fewest points that two curves must share. */
const LEAST_OVERLAP = 50;

/** The best correlation of two curves over all shifts in which most of the shorter one overlaps. */
function bestFit(a: Float64Array, b: Float64Array): number {
  const least = Math.max(LEAST_OVERLAP, 0.8 * Math.min(a.length, b.length));
  let best = 0;
  for (let shift = -b.length; shift < a.length; shift++) {
    const from = Math.max(0, shift);
    const to = Math.min(a.length, b.length + shift);
    if (to - from >= least) best = Math.max(best, correlation(a, b, from, to, shift));
  }
  return best;
}

function correlation(a: Float64Array, b: Float64Array, from: number, to: number, shift: number): number {
  const count = to - from;
  let [sumA, sumB, squareA, squareB, product] = [0, 0, 0, 0, 0];
  for (let i = from; i < to; i++) {
    const [x, y] = [a[i] as number, b[i - shift] as number];
    sumA += x;
    sumB += y;
    squareA += x * x;
    squareB += y * y;
    product += x * y;
  }
  const spread = (count * squareA - sumA * sumA) * (count * squareB - sumB * sumB);
  return spread <= 0 ? 0 : (count * product - sumA * sumB) / Math.sqrt(spread);
}
