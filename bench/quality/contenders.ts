import speex from 'speex-resampler';
import type { Core } from '../../src/media/core.js';
import type { Contender, Direction } from './direction.js';

/** A CommonJS module: its default export is a property of what an ES module gets. */
const SpeexResampler = speex.default;

export function ours(core: Core): Contender {
  return {
    name: 'trunkline',
    up: {
      from: 8_000,
      to: 48_000,
      convert: (pcm) => {
        const out = new Int16Array(6 * pcm.length);
        new core.Upsampler().process(pcm, out);
        return out;
      },
    },
    down: {
      from: 48_000,
      to: 8_000,
      convert: (pcm) => {
        const out = new Int16Array(pcm.length / 6);
        new core.Downsampler().process(pcm, out);
        return out;
      },
    },
  };
}

/** npm's speex-resampler. One filter a direction, silenced before each use: it cannot be freed. */
export async function speexAt(quality: number): Promise<Contender> {
  await SpeexResampler.initPromise;
  const direction = (from: Direction['from'], to: Direction['to']): Direction => {
    const resampler = new SpeexResampler(1, from, to, quality);
    return {
      from,
      to,
      convert: (pcm) => {
        resampler.processChunk(Buffer.alloc(from));
        const bytes = resampler.processChunk(Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength));
        return new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
      },
    };
  };
  return { name: `speex q${quality}`, up: direction(8_000, 48_000), down: direction(48_000, 8_000) };
}

/** What Python's audioop.ratecv does, and with it much that was written for telephones: a straight line between samples. */
export const LINEAR: Contender = {
  name: 'linear (ratecv)',
  up: {
    from: 8_000,
    to: 48_000,
    convert: (pcm) =>
      Int16Array.from({ length: 6 * pcm.length }, (_, n) => {
        const [k, phase] = [Math.floor(n / 6), n % 6];
        const before = k > 0 ? (pcm[k - 1] as number) : 0;
        return Math.trunc((before * (6 - phase) + (pcm[k] as number) * phase) / 6);
      }),
  },
  down: {
    from: 48_000,
    to: 8_000,
    convert: (pcm) => Int16Array.from({ length: Math.floor(pcm.length / 6) }, (_, k) => pcm[6 * k] as number),
  },
};
