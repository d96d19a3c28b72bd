/** G.711 A-law, after ITU-T G.191's `alaw_compress` and `alaw_expand`; independent of the gateway's native core. */

const decoded = new Int16Array(256).map((_, code) => expand(code));
const encoded = new Uint8Array(65_536).map((_, index) => compress(index - 32_768));

/** 16-bit PCM of A-law bytes. */
export function decodeAlaw(alaw: Uint8Array): Int16Array {
  const pcm = new Int16Array(alaw.length);
  for (let i = 0; i < alaw.length; i++) pcm[i] = decoded[alaw[i] as number] as number;
  return pcm;
}

/** A-law bytes of 16-bit PCM. */
export function encodeAlaw(pcm: Int16Array): Uint8Array {
  const alaw = new Uint8Array(pcm.length);
  for (let i = 0; i < pcm.length; i++) alaw[i] = encoded[(pcm[i] as number) + 32_768] as number;
  return alaw;
}

function compress(sample: number): number {
  // One's complement for negative samples, 12 bits of magnitude; even bits are inverted on the line.
  let magnitude = (sample < 0 ? ~sample : sample) >> 4;
  if (magnitude > 15) {
    let exponent = 1;
    while (magnitude > 31) {
      magnitude >>= 1;
      exponent += 1;
    }
    magnitude = magnitude - 16 + (exponent << 4);
  }
  return (sample >= 0 ? magnitude | 0x80 : magnitude) ^ 0x55;
}

function expand(code: number): number {
  const inverted = code ^ 0x55;
  const exponent = (inverted & 0x70) >> 4;
  const mantissa = (((inverted & 0x0f) << 4) + 8 + (exponent > 0 ? 0x100 : 0)) << Math.max(0, exponent - 1);
  return (inverted & 0x80) === 0 ? -mantissa : mantissa;
}
