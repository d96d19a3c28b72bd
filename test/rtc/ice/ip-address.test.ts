import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { familyOf, formatIp, parseIp, unicastIp } from '../../../src/rtc/ice/ip-address.js';

describe('an address', () => {
  it('of IPv6 is written as the operating system writes it', () => {
    const word = fc.oneof(fc.constant(0), fc.nat(0xffff));
    fc.assert(
      fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), (words) => {
        // What may be IPv4 within IPv6 is none of ours.
        fc.pre(words.slice(0, 5).some((value) => value !== 0));
        const text = words.map((value) => value.toString(16)).join(':');
        const bytes = parseIp(text) ?? expect.fail(text);
        expect([...bytes]).toEqual(words.flatMap((value) => [value >> 8, value & 255]));
        const written = formatIp(bytes);
        expect(written).toBe(new SocketAddress({ address: text, family: 'ipv6' }).address);
        expect(parseIp(written)).toEqual(bytes);
      }),
    );
  });

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['127.0.0.1', '127.0.0.1'],
    ['FD00:0:0::2', 'fd00::2'],
    ['::1', '::1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ])('%s may be sent to, as %s', (text, address) => {
    expect(unicastIp(text)).toBe(address);
    expect(familyOf(address)).toBe(address.includes(':') ? 6 : 4);
  });

  it.each([
    ...[
      '',
      'a.local',
      '1.2.3',
      '256.1.1.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::ffff:127.0.0.1',
    ],
    ...['::7f00:1', 'ff02::1', 'fe80::1', 'fe80::1%eth0', '1::2::3', '127.0.0.1 '],
  ])('%j may not', (text) => {
    expect(unicastIp(text)).toBeUndefined();
  });
});
