import { expect, it } from 'vitest';
import { Body } from '../../src/twilio/body.js';

it('a body is a copy of all its chunks, in order', () => {
  const body = new Body();
  expect(body.whole).toEqual(Buffer.alloc(0));
  const piece = Buffer.from('a');
  for (let i = 0; i < 5_000; i++) {
    piece[0] = 97 + (i % 26);
    body.add(piece);
  }
  body.add(Buffer.alloc(20_000, 'x'));
  const letters = Array.from({ length: 5_000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
  expect(body.whole.toString()).toBe(letters + 'x'.repeat(20_000));
  expect(body.length).toBe(25_000);
});

it('a body in chunks of one byte takes about its length', () => {
  const body = new Body();
  for (let i = 0; i < 60_000; i++) body.add(Buffer.from('a'));
  expect(body.whole.buffer.byteLength).toBeLessThanOrEqual(2 * body.length);
});
