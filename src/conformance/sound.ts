/** Level above which 20 ms are sound: -45 dBFS, above the noise of a line. */
export const SOUND_LEVEL = 32_768 * 10 ** (-45 / 20);
/** Windows a second in which sound is looked for. */
const WINDOWS = 50;

/** Root mean square of samples. */
export function levelOf(pcm: Int16Array): number {
  let energy = 0;
  for (const sample of pcm) energy += sample * sample;
  return Math.sqrt(energy / Math.max(1, pcm.length));
}

export function isSound(pcm: Int16Array): boolean {
  return levelOf(pcm) > SOUND_LEVEL;
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
