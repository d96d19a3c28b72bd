import { mulawToPcm, pcmToMulaw } from '../../src/index.js';

/** µ-law of a sine, 8 kHz. `level` is the amplitude of the peak, of 32768. */
export function toneMulaw(hz: number, milliseconds: number, level = 8_000): Uint8Array {
  const pcm = Int16Array.from({ length: milliseconds * 8 }, (_, n) =>
    Math.round(level * Math.sin((2 * Math.PI * hz * n) / 8_000)),
  );
  return pcmToMulaw(pcm);
}

/** Level of one frequency in µ-law audio, in dB relative to full scale, by the Goertzel sum. */
export function levelDb(mulaw: Uint8Array, hz: number): number {
  const pcm = mulawToPcm(mulaw);
  let re = 0;
  let im = 0;
  for (let n = 0; n < pcm.length; n++) {
    const phase = (2 * Math.PI * hz * n) / 8_000;
    re += (pcm[n] as number) * Math.cos(phase);
    im += (pcm[n] as number) * Math.sin(phase);
  }
  const amplitude = (2 * Math.hypot(re, im)) / pcm.length;
  return 20 * Math.log10(Math.max(amplitude, 1e-9) / 32_768);
}
