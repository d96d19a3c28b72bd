import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StunBuilder, StunClass, StunMethod } from '../../../src/rtc/ice/stun-message.js';
import { TurnFramer } from '../../../src/rtc/ice/turn-framer.js';

const MESSAGES = [
  new StunBuilder(StunClass.success, StunMethod.allocate).finish('key'),
  Buffer.from('40010000', 'hex'),
  Buffer.from('4fff000301020300', 'hex'),
  new StunBuilder(StunClass.indication, StunMethod.data).finish(),
];

describe('a stream of TURN', () => {
  it('is cut into its messages, however it arrives', () => {
    const all = Buffer.concat(MESSAGES);
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 12 }), (cuts) => {
        const found: string[] = [];
        const framer = new TurnFramer((message) => found.push(message.toString('hex')));
        const ends = [...cuts, all.length].sort((a, b) => a - b);
        let from = 0;
        for (const end of ends) {
          // What is lent is overwritten afterwards.
          const chunk = Buffer.from(all.subarray(from, end));
          expect(framer.push(chunk)).toBe(true);
          chunk.fill(0xff);
          from = end;
        }
        expect(found).toEqual([
          MESSAGES[0]?.toString('hex'),
          '40010000',
          '4fff0003010203',
          MESSAGES[3]?.toString('hex'),
        ]);
      }),
    );
  });

  it('is none with anything else', () => {
    expect(new TurnFramer(() => {}).push(Buffer.from('\x80\0\0\0', 'latin1'))).toBe(false);
  });
});
