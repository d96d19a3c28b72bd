import { pcmToMulaw } from '../../src/index.js';

export const STREAM_SID = `MZ${'a1'.repeat(16)}`;
const COUNT = 50;

/** Messages as Twilio writes them, in memory of their own like a socket's. */
export function mediaMessages(): ArrayBuffer[] {
  const audio = speechLike(COUNT * 160);
  return Array.from({ length: COUNT }, (_, i) => {
    const payload = Buffer.from(pcmToMulaw(audio.subarray(i * 160, (i + 1) * 160))).toString('base64');
    const media = { track: 'inbound', chunk: String(i + 1), timestamp: String(i * 20), payload };
    const fields = { event: 'media', sequenceNumber: String(i + 2), media, streamSid: STREAM_SID };
    return new TextEncoder().encode(JSON.stringify(fields)).buffer as ArrayBuffer;
  });
}

/** Frames of 20 ms at 48 kHz. */
export function pcmFrames(): Int16Array[] {
  const audio = speechLike(COUNT * 960);
  return Array.from({ length: COUNT }, (_, i) => audio.slice(i * 960, (i + 1) * 960));
}

/** Noise with a slow envelope: neither silence nor a pattern that a branch predictor could learn. */
function speechLike(length: number): Int16Array {
  let seed = 7;
  return Int16Array.from({ length }, (_, n) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (((seed >>> 16) - 32_768) * (1 + Math.sin(n / 900))) / 4;
  });
}
