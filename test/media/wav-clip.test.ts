import { expect, it } from 'vitest';
import { clipOfWav } from '../../src/media/wav-clip.js';

/** A RIFF chunk; one of odd length is followed by a byte that its length does not count. */
function chunk(id: string, body: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.write(id, 'latin1');
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
}

it('finds the audio behind chunks of any length, odd ones too', async () => {
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(1, 2);
  format.writeUInt32LE(8_000, 4);
  format.writeUInt32LE(16_000, 8);
  format.writeUInt16LE(2, 12);
  format.writeUInt16LE(16, 14);
  const pcm = Int16Array.from({ length: 160 }, (_, n) => 100 * n);
  const audio = Buffer.from(pcm.buffer);
  for (const comment of ['', 'odd', 'even']) {
    const body = [chunk('fmt ', format), chunk('LIST', Buffer.from(comment)), chunk('data', audio)];
    const wav = chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...body]));
    expect((await clipOfWav(wav)).pcm, comment).toEqual(pcm);
  }
});
