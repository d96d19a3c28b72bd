/** RTP timestamps of Opus in a millisecond, whatever its rate is: RFC 7587 section 4.1. */
export const TICKS_PER_MS = 48;
/** Configurations from here on are CELT only, which has no redundancy. RFC 6716 section 3.1, table 2. */
const FIRST_CELT = 16;
const FIRST_HYBRID = 12;
/** SILK frames of an Opus frame of 10, 20, 40 and 60 ms. */
const SILK_FRAMES = [1, 1, 2, 3] as const;

/**
 * Whether an Opus packet carries the one before it once more at a low rate (LBRR), for a decoder to use where that was lost.
 * Reads the LP layer's header bits as they are: RFC 6716 sections 3.2 and 4.2.3.
 * @param packet whole; one of several frames with padding or lengths of their own (code 3) counts as having none
 */
export function hasLbrr(packet: Uint8Array): boolean {
  const toc = packet[0];
  if (toc === undefined) return false;
  const configuration = toc >> 3;
  if (configuration >= FIRST_CELT) return false;
  const first = firstFrame(packet, toc & 3);
  const header = packet[first];
  if (header === undefined) return false;
  const frames = configuration >= FIRST_HYBRID ? 1 : (SILK_FRAMES[configuration & 3] as number);
  const isStereo = (toc & 4) !== 0;
  // Voice activity of each frame, then the flag; the same again for the side channel.
  return (header & (0x80 >> frames)) !== 0 || (isStereo && (header & (0x80 >> (2 * frames + 1))) !== 0);
}

/** Where the first frame begins, or beyond the packet. RFC 6716 sections 3.2.2 to 3.2.5. */
function firstFrame(packet: Uint8Array, code: number): number {
  if (code < 2) return 1;
  if (code === 2) return (packet[1] as number) < 252 ? 2 : 3;
  return (packet[1] as number) < 0x40 ? 2 : packet.length;
}
