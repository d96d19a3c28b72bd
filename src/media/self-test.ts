import { createHash } from 'node:crypto';
import type { Core } from './core.js';

/** The {@link fingerprint} of the scalar kernels, and so of every correct core. */
const EXPECTED = 'd4908b4334667065';

/** 8 kHz samples that each filter is tested with: enough to show the lowest bit of every tap. */
const FILTERED = 640;

const STREAM_SID = `MZ${'5e'.repeat(16)}`;

/**
 * Checks that a core gives the same bytes as all others. Takes a fraction of a millisecond.
 * @throws Error if it does not
 */
export function checkCore(core: Core): void {
  const found = fingerprint(core);
  if (found !== EXPECTED) throw new Error(`Expected ${EXPECTED} for the self-test but received ${found}`);
}

/** A hash of a core's output for a fixed sequence that exercises all of it: 16 hexadecimal digits. */
export function fingerprint(core: Core): string {
  const hash = createHash('sha256');
  const slabSamples = new Int16Array(core.slab, core.layout.samples, core.layout.samplesCapacity);
  const slabMessage = new Uint8Array(core.slab, core.layout.message, core.layout.messageCapacity);
  const next = numbers();
  const noise = (count: number) => Uint8Array.from({ length: count }, next);
  const transcoder = new core.Transcoder();
  transcoder.bind(STREAM_SID);
  let timestamp = 0;
  // Usual frames, odd ones, some after a gap, one of them empty.
  for (const count of [160, 160, 1, 333, 0, 160, 1_000]) {
    const payload = noise(count);
    const text = new Uint8Array(Math.ceil(count / 3) * 4);
    core.encodeBase64(payload, text);
    hash.update(text);
    const samples = transcoder.receive(message(timestamp, text));
    hash.update(String(samples)).update(slabSamples.slice(0, Math.max(samples, 0)));
    for (let from = 0; from + 960 <= samples; from += 960) {
      const length = transcoder.transmit(slabSamples.subarray(from, from + 960));
      hash.update(slabMessage.slice(0, length));
    }
    timestamp += count / 8 + (count === 333 ? 55 : count === 0 ? 40 : 0);
  }
  // Full-scale noise, which µ-law cannot express.
  const loud = Int16Array.from({ length: 960 }, () => (((next() << 8) | next()) << 16) >> 16);
  hash.update(slabMessage.slice(0, transcoder.transmit(loud)));
  // A gap, from the fading voice to the comfort noise, and the audio after it.
  const filled = transcoder.conceal(4_800);
  hash.update(slabSamples.slice(0, filled));
  transcoder.decode(noise(160), loud);
  hash.update(loud);
  transcoder.close();

  for (const format of ['alaw', 'l16'] as const) {
    const other = new core.Transcoder(format);
    const pcm = new Int16Array(960);
    other.decode(noise(format === 'alaw' ? 160 : 320), pcm);
    const payload = new Uint8Array(320);
    other.encode(loud, payload);
    hash.update(pcm).update(payload);
    other.close();
  }

  // The bare filters: µ-law would hide the small taps. Pieces that do not fill a vector take another path.
  const wide = Int16Array.from({ length: 6 * FILTERED }, () => (((next() << 8) | next()) << 16) >> 16);
  const upsampler = new core.Upsampler();
  const raised = new Int16Array(6 * FILTERED);
  for (let from = 0; from < FILTERED; from += 7) {
    upsampler.process(wide.subarray(from, Math.min(from + 7, FILTERED)), raised.subarray(6 * from));
  }
  const lowered = new Int16Array(FILTERED);
  new core.Downsampler().process(wide, lowered);
  hash.update(raised).update(lowered);

  const mixed = new Int16Array(960);
  core.mixMinus(loud, Uint8Array.of(1, 1, 0, 1), mixed);
  hash.update(mixed);
  core.mix(loud, Uint8Array.of(1, 0, 1), mixed.subarray(0, 320));
  hash.update(mixed);
  const piece = raised.slice(0, 960);
  hash.update(String(core.shorten(piece, 500))).update(piece);
  const tones = new core.DtmfGenerator();
  tones.push('1D');
  tones.read(mixed);
  hash.update(mixed);
  const decoded = new Uint8Array(3);
  hash.update(String(core.decodeBase64(Uint8Array.of(65, 65, 65, 42), decoded)));
  return hash.digest('hex').slice(0, 16);
}

function message(timestamp: number, base64: Uint8Array): Uint8Array {
  const head = `{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"${Math.floor(timestamp)}","payload":"`;
  return Buffer.concat([Buffer.from(head), base64, Buffer.from(`"},"streamSid":"${STREAM_SID}"}`)]);
}

/** A repeatable sequence of bytes (xorshift32). */
function numbers(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 24;
  };
}
