import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  longTermKey,
  StunAttribute,
  StunBuilder,
  StunClass,
  StunMessage,
  StunMethod,
} from '../../../src/rtc/ice/stun-message.js';

const bytes = (hex: string) => Buffer.from(hex.replace(/\s/g, ''), 'hex');

/** RFC 5769: sections 2.1 to 2.3 have this password. */
const PASSWORD = 'VOkJxbRl1RmTxUk/WvJxBt';
const REQUEST = bytes(`
  00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74
  00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020
  00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf`);
const RESPONSE_V4 = bytes(`
  0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
  00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
  80280004 c07d4c96`);
const RESPONSE_V6 = bytes(`
  01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
  00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
  00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c`);
const LONG_TERM = bytes(`
  00010060 2112a442 78ad3433 c6ad72c0 29da412e 00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
  0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
  0014000b 6578616d 706c652e 6f726700 00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666`);

const parse = (datagram: Uint8Array) => StunMessage.parse(datagram) ?? expect.fail('no message');

describe('the vectors of RFC 5769', () => {
  it('a request with short-term credentials', () => {
    const message = parse(REQUEST);
    expect([message.class_, message.method]).toEqual([StunClass.request, StunMethod.binding]);
    expect(message.textOf(StunAttribute.username)).toBe('evtj:h6vY');
    expect(message.uint32Of(StunAttribute.priority)).toBe(0x6e0001ff);
    expect(message.uint64Of(StunAttribute.iceControlled)).toBe(0x932ff9b151263b36n);
    expect(message.isAuthentic(PASSWORD)).toBe(true);
    expect(message.isAuthentic(`${PASSWORD} `)).toBe(false);
    expect(message.unknownAttributes).toEqual([]);
  });

  it.each([
    ['IPv4', RESPONSE_V4, '192.0.2.1'],
    ['IPv6', RESPONSE_V6, '2001:db8:1234:5678:11:2233:4455:6677'],
  ])('a response about an address of %s', (_, datagram, address) => {
    const message = parse(datagram);
    expect(message.class_).toBe(StunClass.success);
    expect(message.xorAddressOf(StunAttribute.xorMappedAddress)).toEqual({ address, port: 32_853 });
    expect(message.isAuthentic(PASSWORD)).toBe(true);
  });

  it('a request with long-term credentials', () => {
    const message = parse(LONG_TERM);
    const username = message.textOf(StunAttribute.username) ?? '';
    const realm = message.textOf(StunAttribute.realm) ?? '';
    expect([username, realm]).toEqual(['マトリックス', 'example.org']);
    expect(message.isAuthentic(longTermKey(username, realm, 'TheMatrIX'))).toBe(true);
  });

  it('are written as they are read', () => {
    const id = parse(RESPONSE_V6).transaction;
    // Padding is of spaces there, and of zeros here.
    const software = [0x8022, 'test vector '] as const;
    for (const address of ['192.0.2.1', '2001:db8:1234:5678:11:2233:4455:6677']) {
      const written = new StunBuilder(StunClass.success, StunMethod.binding, id)
        .add(...software)
        .addXorAddress(StunAttribute.xorMappedAddress, { address, port: 32_853 })
        .finish(PASSWORD);
      const expected = address.includes(':') ? RESPONSE_V6 : RESPONSE_V4;
      expect(written.subarray(24, -32)).toEqual(expected.subarray(24, -32));
      expect(parse(written).isAuthentic(PASSWORD)).toBe(true);
    }
    const again = new StunBuilder(StunClass.request, StunMethod.binding, parse(LONG_TERM).transaction)
      .add(StunAttribute.username, 'マトリックス')
      .add(StunAttribute.nonce, 'f//499k954d6OL34oL9FSTvy64sA')
      .add(StunAttribute.realm, 'example.org')
      .finish(longTermKey('マトリックス', 'example.org', 'TheMatrIX'), false);
    expect(again).toEqual(LONG_TERM);
  });
});

describe('a message', () => {
  it('bears errors and unknown attributes', () => {
    const written = new StunBuilder(StunClass.error, StunMethod.channelBind)
      .addErrorCode(487, 'Role Conflict')
      .add(0x7fff, 'must be understood')
      .add(0xffff, 'need not')
      .finish('key');
    const message = parse(written);
    expect([message.class_, message.method]).toEqual([StunClass.error, StunMethod.channelBind]);
    expect(message.errorCode).toBe(487);
    expect(message.unknownAttributes).toEqual([0x7fff]);
  });

  it('ignores what stands behind its integrity', () => {
    const signed = new StunBuilder(StunClass.request, StunMethod.binding).finish('key', false);
    const longer = Buffer.concat([signed, bytes('00240004 6e0001ff')]);
    longer.writeUInt16BE(longer.length - 20, 2);
    const message = parse(longer);
    expect(message.isAuthentic('key')).toBe(true);
    expect(message.has(StunAttribute.priority)).toBe(false);
  });

  it('is refused with a wrong fingerprint, a wrong length, or attributes without end', () => {
    const wrong = Buffer.from(REQUEST);
    wrong[30] = 0;
    expect(StunMessage.parse(wrong)).toBeUndefined();
    for (let length = 0; length < REQUEST.length; length++) {
      expect(StunMessage.parse(REQUEST.subarray(0, length))).toBeUndefined();
    }
    const many = new StunBuilder(StunClass.request, StunMethod.binding);
    for (let i = 0; i < 33; i++) many.add(0x8022);
    expect(StunMessage.parse(many.finish())).toBeUndefined();
  });

  it('is never more than nothing to make of garbage', () => {
    const flips = fc.array(fc.tuple(fc.nat(REQUEST.length - 1), fc.nat(255)), { maxLength: 6 });
    const read = (datagram: Buffer) => {
      const message = StunMessage.parse(datagram);
      if (message === undefined) return;
      for (const type of Object.values(StunAttribute)) {
        message.xorAddressOf(type);
        message.uint32Of(type);
        message.uint64Of(type);
        message.textOf(type);
      }
      const seen = [message.errorCode, message.unknownAttributes, message.isAuthentic('key')];
      expect(seen[2]).toBe(false);
    };
    const samples = [REQUEST, RESPONSE_V4, RESPONSE_V6, LONG_TERM];
    fc.assert(
      fc.property(fc.constantFrom(...samples), flips, fc.boolean(), (sample, changes, isBare) => {
        // Without its fingerprint, changes reach further.
        const datagram = Buffer.from(isBare ? sample.subarray(0, -8) : sample);
        if (isBare) datagram.writeUInt16BE(datagram.length - 20, 2);
        for (const [at, value] of changes) if (at < datagram.length) datagram[at] = value;
        read(datagram);
      }),
      { numRuns: 2_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
        const datagram = Buffer.concat([REQUEST.subarray(0, 20), tail]);
        datagram.writeUInt16BE(tail.length, 2);
        read(datagram);
      }),
    );
  });
});
