import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SrtpProfile, SrtpSession } from '../../src/rtc/native.js';
import { leanOnly } from '../support/rtc-native.js';
import { derive, keyStream, PROFILES, SIZES, sealRtcp, sealRtp } from './reference-srtp.js';

const native = leanOnly();
const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

// The reference is measured against the RFCs, and the addon against the reference: so it is told to derive its keys.

describe('the reference', () => {
  it('makes the key stream of RFC 3711, appendix B.2', () => {
    const counter = (low: string) => hex(`F0F1F2F3F4F5F6F7F8F9FAFBFCFD${low}`);
    const key = hex('2B7E151628AED2A6ABF7158809CF4F3C');
    expect(keyStream(key, counter('0000'), 48)).toEqual(
      hex(
        'E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0',
      ),
    );
    expect(keyStream(key, counter('FEFF'), 48)).toEqual(
      hex(
        'EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44',
      ),
    );
  });

  it('derives the keys of RFC 3711, appendix B.3', () => {
    const keys = derive(hex('E1F97A0D3E018BE0D64FA32C06DE4139'), hex('0EC675AD498AFEEBB6960B3AABE6'), 0);
    expect(keys.key).toEqual(hex('C61E7A93744F39EE10734AFE3FF7A087'));
    expect(keys.salt).toEqual(hex('30CBBC08863D8C85D49DB34A9AE1'));
    expect(keys.authentication).toEqual(hex('CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4'));
  });

  const salt = hex('517569642070726f2071756f');
  const keys128 = { key: hex('000102030405060708090a0b0c0d0e0f'), salt, authentication: Buffer.alloc(0) };
  const keys256 = {
    ...keys128,
    key: hex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
  };

  it('seals the packets of RFC 7714, section 16', () => {
    const header = '8040f17b8041f8d35501a0b2';
    const packet = hex(
      `${header}47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573`,
    );
    expect(sealRtp('AEAD_AES_128_GCM', keys128, packet, 0)).toEqual(
      hex(
        `${header}f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce`,
      ),
    );
    expect(sealRtp('AEAD_AES_256_GCM', keys256, packet, 0)).toEqual(
      hex(
        `${header}32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13`,
      ),
    );
  });

  it('seals the packets of RFC 7714, section 17', () => {
    const header = '81c8000d4d617273';
    const body = '4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef';
    const packet = hex(header + body);
    expect(sealRtcp('AEAD_AES_128_GCM', keys128, packet, 0x5d4)).toEqual(
      hex(
        `${header}63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4`,
      ),
    );
    expect(sealRtcp('AEAD_AES_256_GCM', keys256, packet, 0x5d4)).toEqual(
      hex(
        `${header}d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4`,
      ),
    );
    expect(sealRtcp('AEAD_AES_128_GCM', keys128, packet, 0x5d4, false)).toEqual(
      hex(`${header}${body}841dd9683dd78ec92ae58790125f62b3000005d4`),
    );
  });
});

/** The keys of both sides for a profile, and how a client seals with them. */
function world(profile: SrtpProfile, seed = 1) {
  const { key, salt } = SIZES[profile];
  const keys = Buffer.alloc(2 * (key + salt));
  for (let i = 0; i < keys.length; i++) keys[i] = (i * 151 + seed * 77 + (i >> 3)) & 255;
  const clients = [keys.subarray(0, key), keys.subarray(2 * key, 2 * key + salt)] as const;
  return {
    client: native.openSrtp(profile, keys, 'client'),
    server: native.openSrtp(profile, keys, 'server'),
    rtp: derive(...clients, 0),
    rtcp: derive(...clients, 3),
    overhead: SIZES[profile].tag,
  };
}

function rtp(sequence: number, ssrc = 0xabcdef01, payload = Buffer.from('payload')): Buffer {
  const packet = Buffer.alloc(12 + payload.length);
  packet.writeUInt8(0x80);
  packet.writeUInt8(111, 1);
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE(sequence * 960, 4);
  packet.writeUInt32BE(ssrc, 8);
  payload.copy(packet, 12);
  return packet;
}

function rtcp(ssrc = 0xabcdef01, body = Buffer.from('a report')): Buffer {
  const packet = Buffer.alloc(8 + body.length);
  packet.writeUInt8(0x80);
  packet.writeUInt8(201, 1);
  packet.writeUInt32BE(ssrc, 4);
  body.copy(packet, 8);
  return packet;
}

type Crypt = 'protectRtp' | 'unprotectRtp' | 'protectRtcp' | 'unprotectRtcp';

/** What a call makes of a packet, or its error. */
function crypt(session: SrtpSession, how: Crypt, packet: Buffer): Buffer | number {
  const room = Buffer.concat([packet, Buffer.alloc(20)]);
  const length = session[how](room, packet.length);
  return length < 0 ? length : room.subarray(0, length);
}

/** The same, of a packet that must be taken. */
function made(session: SrtpSession, how: Crypt, packet: Buffer): Buffer {
  const result = crypt(session, how, packet);
  if (typeof result === 'number') throw new Error(`refused: ${result}`);
  return result;
}

const PAYLOAD = fc.uint8Array({ maxLength: 1_300 }).map((bytes) => Buffer.from(bytes));
const SSRC = fc.nat(0xffffffff);
const HEADER = fc.record({ sources: fc.nat(15), extension: fc.option(fc.nat(20)), marks: fc.nat(255) });

function dressed(
  packet: Buffer,
  { sources, extension, marks }: { sources: number; extension: number | null; marks: number },
) {
  const first = 0x80 | sources | (extension === null ? 0 : 0x10);
  const extended = Buffer.alloc(extension === null ? 0 : 4 + 4 * extension, 0xbe);
  if (extension !== null) extended.writeUInt16BE(extension, 2);
  return Buffer.concat([
    Buffer.from([first, marks]),
    packet.subarray(2, 12),
    Buffer.alloc(4 * sources, 0x5c),
    extended,
    packet.subarray(12),
  ]);
}

describe.each(PROFILES)('SRTP with %s', (profile) => {
  it('seals RTP as the reference does, and opens it', () => {
    fc.assert(
      fc.property(
        PAYLOAD,
        SSRC,
        HEADER,
        fc.nat(65_535),
        fc.nat(99),
        (payload, ssrc, header, sequence, seed) => {
          const { client, server, rtp: keys } = world(profile, seed);
          const packet = dressed(rtp(sequence, ssrc, payload), header);
          const sealed = made(client, 'protectRtp', packet);
          expect(sealed).toEqual(sealRtp(profile, keys, packet, 0));
          expect(made(server, 'unprotectRtp', sealed)).toEqual(packet);
          client.free();
          server.free();
        },
      ),
    );
  });

  it('seals RTCP as the reference does, and opens it, encrypted or not', () => {
    fc.assert(
      fc.property(PAYLOAD, SSRC, fc.nat(3), (body, ssrc, before) => {
        const { client, server, rtcp: keys } = world(profile);
        const packet = rtcp(ssrc, body);
        for (let i = 0; i < before; i++) made(client, 'protectRtcp', packet);
        const sealed = made(client, 'protectRtcp', packet);
        expect(sealed).toEqual(sealRtcp(profile, keys, packet, before));
        expect(made(server, 'unprotectRtcp', sealed)).toEqual(packet);
        const clear = sealRtcp(profile, keys, packet, 2 ** 31 - 1, false);
        expect(made(server, 'unprotectRtcp', clear)).toEqual(packet);
        client.free();
        server.free();
      }),
    );
  });

  it('counts the rollovers of both sides, in any order within the window', () => {
    const { client, server, rtp: keys } = world(profile);
    // Each group of ten is sent in another order than it was made in: one across each rollover, and some far from it.
    const starts = [1, 2, 3].flatMap((rollover) =>
      [-16, -6, 4, 20_000, 40_000].map((at) => rollover * 65_536 + at),
    );
    for (const start of starts) {
      for (const i of [0, 3, 1, 2, 9, 5, 4, 8, 7, 6]) {
        const index = start + i;
        const packet = rtp(index);
        const sealed = made(client, 'protectRtp', packet);
        expect(sealed).toEqual(sealRtp(profile, keys, packet, index >>> 16));
        expect(made(server, 'unprotectRtp', sealed)).toEqual(packet);
      }
    }
  });

  it('keeps a packet that is late by a rollover apart from one that is early', () => {
    const { client, server } = world(profile);
    const sealed = [65_534, 65_535, 65_536, 65_537].map((index) => made(client, 'protectRtp', rtp(index)));
    for (const i of [0, 3, 1, 2])
      expect(crypt(server, 'unprotectRtp', sealed[i] as Buffer)).toEqual(rtp(65_534 + i));
    for (const packet of sealed) expect(crypt(server, 'unprotectRtp', packet)).toBe(-2);
  });

  it('opens a packet once, and none that is 64 packets late', () => {
    const { client, server } = world(profile);
    const sealed = Array.from({ length: 65 }, (_, i) => made(client, 'protectRtp', rtp(1_000 + i)));
    expect(crypt(server, 'unprotectRtp', sealed[64] as Buffer)).toEqual(rtp(1_064));
    expect(crypt(server, 'unprotectRtp', sealed[0] as Buffer)).toBe(-2);
    expect(crypt(server, 'unprotectRtp', sealed[1] as Buffer)).toEqual(rtp(1_001));
    for (const i of [1, 64]) expect(crypt(server, 'unprotectRtp', sealed[i] as Buffer)).toBe(-2);
    // Before the first one there is nothing.
    const { client: other, server: its } = world(profile, 2);
    made(its, 'unprotectRtp', made(other, 'protectRtp', rtp(3)));
    expect(crypt(its, 'unprotectRtp', made(world(profile, 2).client, 'protectRtp', rtp(65_535)))).toBe(-2);
  });

  it('opens a report once', () => {
    const { client, server } = world(profile);
    const sealed = Array.from({ length: 65 }, () => made(client, 'protectRtcp', rtcp()));
    for (const i of [64, 1, 2]) expect(crypt(server, 'unprotectRtcp', sealed[i] as Buffer)).toEqual(rtcp());
    for (const i of [64, 1, 0]) expect(crypt(server, 'unprotectRtcp', sealed[i] as Buffer)).toBe(-2);
  });

  it('never seals two packets with the same index', () => {
    const { client } = world(profile);
    for (const sequence of [7, 8]) made(client, 'protectRtp', rtp(sequence));
    for (const sequence of [7, 8]) expect(crypt(client, 'protectRtp', rtp(sequence))).toBe(-2);
  });

  it('refuses what was changed by a bit, and is not moved by it', () => {
    const { client, server } = world(profile);
    made(server, 'unprotectRtp', made(client, 'protectRtp', rtp(1)));
    const sealed = made(client, 'protectRtp', rtp(2));
    const report = made(client, 'protectRtcp', rtcp());
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const forged = Buffer.from(sealed);
      forged.writeUInt8(forged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(crypt(server, 'unprotectRtp', forged)).toBeOneOf([-1, -2, -3]);
    }
    for (let bit = 0; bit < 8 * report.length; bit++) {
      const forged = Buffer.from(report);
      forged.writeUInt8(forged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(crypt(server, 'unprotectRtcp', forged)).toBeOneOf([-1, -3]);
    }
    expect(made(server, 'unprotectRtp', sealed)).toEqual(rtp(2));
    expect(made(server, 'unprotectRtcp', report)).toEqual(rtcp());
    // What one side sealed is nothing for itself.
    expect(crypt(client, 'unprotectRtp', sealed)).toBe(-1);
    expect(crypt(client, 'unprotectRtcp', report)).toBe(-1);
  });

  it('survives anything that is cut off, or is no packet', () => {
    const { client, server } = world(profile);
    const sealed = [made(client, 'protectRtp', rtp(2)), made(client, 'protectRtcp', rtcp())];
    for (const [i, how] of (['unprotectRtp', 'unprotectRtcp'] as const).entries()) {
      const whole = sealed[i] as Buffer;
      for (let length = 0; length < whole.length; length++) {
        expect(crypt(server, how, Buffer.from(whole.subarray(0, length)))).toBeOneOf([-1, -3]);
      }
    }
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .uint8Array({ minLength: 12, maxLength: 60 })
        .map((bytes) => bytes.with(0, 0x80 | ((bytes[0] as number) & 0x3f))),
    );
    fc.assert(
      fc.property(anything, fc.constantFrom('unprotectRtp', 'unprotectRtcp'), (bytes, how) => {
        expect(crypt(server, how, Buffer.from(bytes))).toBeOneOf([-1, -2, -3]);
      }),
      { numRuns: 1_000 },
    );
    fc.assert(
      fc.property(anything, fc.constantFrom('protectRtp', 'protectRtcp'), (bytes, how) => {
        const session = world(profile).client;
        const result = crypt(session, how, Buffer.from(bytes));
        if (typeof result === 'number') expect(result).toBe(-3);
        session.free();
      }),
    );
  });

  it('seals for 256 sources, and for no other', () => {
    const { client } = world(profile);
    for (let ssrc = 0; ssrc < 128; ssrc++) made(client, 'protectRtp', rtp(1, ssrc));
    for (let ssrc = 128; ssrc < 256; ssrc++) made(client, 'protectRtcp', rtcp(ssrc));
    expect(crypt(client, 'protectRtp', rtp(1, 256))).toBe(-4);
    expect(crypt(client, 'protectRtcp', rtcp(256))).toBe(-4);
    made(client, 'protectRtp', rtp(2, 0));
    made(client, 'protectRtp', rtp(1, 255));
  });

  it('remembers the 256 sources that it last opened a packet of', () => {
    const { client, server, rtp: keys } = world(profile);
    const sealed = (sequence: number, ssrc: number) => sealRtp(profile, keys, rtp(sequence, ssrc), 0);
    for (let ssrc = 0; ssrc < 256; ssrc++) made(server, 'unprotectRtp', sealed(1, ssrc));
    made(server, 'unprotectRtp', sealed(2, 0));
    // Those that are not authentic take nobody's place.
    for (let ssrc = 1_000; ssrc < 1_600; ssrc++) {
      const forged = sealed(1, ssrc);
      forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
      expect(crypt(server, 'unprotectRtp', forged)).toBe(-1);
    }
    for (let ssrc = 0; ssrc < 256; ssrc++) expect(crypt(server, 'unprotectRtp', sealed(1, ssrc))).toBe(-2);
    // The first one is in use: the second one makes room.
    made(server, 'unprotectRtp', sealed(1, 256));
    expect(crypt(server, 'unprotectRtp', sealed(1, 0))).toBe(-2);
    expect(crypt(server, 'unprotectRtp', sealed(1, 256))).toBe(-2);
    expect(crypt(server, 'unprotectRtp', sealed(1, 2))).toBe(-2);
    expect(crypt(server, 'unprotectRtp', sealed(1, 1))).toEqual(rtp(1, 1));
    client.free();
  });
});

it('refuses arguments that are none, and a session that was freed', () => {
  const { client: session } = world('AEAD_AES_128_GCM');
  const packet = new Uint8Array(40);
  expect(() => session.protectRtp(packet, 30)).toThrow(
    'Expected at most 24, with 16 bytes behind it, for the length of the packet but received 30',
  );
  expect(() => session.protectRtcp(packet, 21)).toThrow('Expected at most 20, with 20 bytes behind it,');
  expect(() => session.unprotectRtp(packet, 41)).toThrow('Expected at most 40');
  for (const length of [-1, 2 ** 31, 2 ** 32, '12', null, undefined, {}] as number[]) {
    expect(() => session.unprotectRtp(packet, length), String(length)).toThrow('the length of the packet');
  }
  for (const wrong of [null, undefined, 1, 'packet', [], new Int8Array(40), new ArrayBuffer(40)]) {
    expect(() => session.unprotectRtcp(wrong as never, 20)).toThrow('Expected a Uint8Array for the packet');
  }
  expect(() => native.openSrtp('AEAD_AES_128_GCM', new Uint8Array(57), 'client')).toThrow(
    'Expected the keys of a known profile for the keys of AEAD_AES_128_GCM but received Uint8Array of 57 bytes',
  );
  expect(() => native.openSrtp('NULL' as SrtpProfile, new Uint8Array(56), 'client')).toThrow(TypeError);
  session.free();
  session.free();
  expect(() => session.protectRtp(packet, 12)).toThrow('The SRTP session has been freed');
});
