/**
 * G.711 µ-law of the simulator's own, after ITU-T G.191's `ulaw_compress` and `ulaw_expand`: independent of
 * the gateway's native core, so that one can check the other.
 */

/** µ-law code of digital silence. */
export const MULAW_SILENCE = 0xff;

const decoded = new Int16Array(256).map((_, code) => expand(code));
const encoded = new Uint8Array(65_536).map((_, index) => compress(index - 32_768));

/** 16-bit PCM of µ-law bytes. */
export function decodeMulaw(mulaw: Uint8Array): Int16Array {
  const pcm = new Int16Array(mulaw.length);
  for (let i = 0; i < mulaw.length; i++) pcm[i] = decoded[mulaw[i] as number] as number;
  return pcm;
}

/** µ-law bytes of 16-bit PCM. */
export function encodeMulaw(pcm: Int16Array): Uint8Array {
  const mulaw = new Uint8Array(pcm.length);
  for (let i = 0; i < pcm.length; i++) mulaw[i] = encoded[(pcm[i] as number) + 32_768] as number;
  return mulaw;
}

function compress(sample: number): number {
  // One's complement for negative samples, 14 bits, biased by 33 and clipped: exactly G.191.
  const magnitude = Math.min(((sample < 0 ? ~sample : sample) >> 2) + 33, 0x1fff);
  const segment = 26 - Math.clz32(magnitude);
  const high = 8 - segment - 1;
  const low = 0x0f - ((magnitude >> (segment + 1)) & 0x0f);
  return ((high << 4) | low) + (sample >= 0 ? 0x80 : 0);
}

function expand(code: number): number {
  const exponent = ~code & 0x70;
  const segment = exponent >> 4;
  const mantissa = ~code & 0x0f;
  const magnitude = ((((mantissa << 1) + 33) << segment) - 33) << 2;
  return code < 0x80 ? -magnitude : magnitude;
}
