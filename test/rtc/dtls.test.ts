import fc from 'fast-check';
import { expect, it } from 'vitest';
import { leanOnly } from '../support/rtc-native.js';
import { exchange, expectHeard, pair, taken } from './dtls-pair.js';

const native = leanOnly();

function connected() {
  const sides = pair(native);
  sides.client.start();
  exchange(sides.client, sides.server);
  return sides;
}

it('connects, shows each the certificate of the other, and gives both the same keys', () => {
  const { client, server, certificates } = pair(native);
  expect([client.state, server.state]).toEqual(['new', 'new']);
  expect(client.take()).toBeUndefined();
  expect(client.timeoutMs()).toBe(-1);
  expect(client.peerFingerprint('sha-256')).toBeUndefined();
  expect(() => client.srtp()).toThrow('DTLS is new: it has no keys for SRTP');
  client.start();
  expect([client.state, server.state]).toEqual(['handshaking', 'new']);
  expect(client.timeoutMs()).toBeGreaterThan(-1);
  exchange(client, server);
  expect([client.state, server.state]).toEqual(['connected', 'connected']);
  expect([client.failure, server.failure]).toEqual([undefined, undefined]);
  expect([client.timeoutMs(), server.timeoutMs()]).toEqual([-1, -1]);
  expect(client.peerFingerprint('sha-256')).toBe(certificates[1].fingerprint);
  expect(server.peerFingerprint('sha-256')).toBe(certificates[0].fingerprint);
  for (const [algorithm, bytes] of Object.entries({ 'sha-1': 20, 'sha-384': 48, 'sha-512': 64 })) {
    expect(client.peerFingerprint(algorithm)?.split(':')).toHaveLength(bytes);
  }
  for (const unknown of ['md5', 'SHA-256', '', 'sha-256 and a long rest of it', 5, undefined]) {
    expect(client.peerFingerprint(unknown as string)).toBeUndefined();
  }
  expect(client.srtp()).toBe(client.srtp());
  expect(client.srtp().profile).toBe('AEAD_AES_128_GCM');
  expectHeard(client.srtp(), server.srtp());
  expectHeard(server.srtp(), client.srtp());
});

it('makes certificates that differ', () => {
  const prints = Array.from({ length: 20 }, () => native.makeCertificate().fingerprint);
  expect(new Set(prints).size).toBe(20);
  for (const print of prints) expect(print).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
});

it('serves many sessions with one certificate, and some after it was forgotten', () => {
  const certificate = native.makeCertificate();
  for (let i = 0; i < 20; i++) {
    const client = native.openDtls(certificate, 'client');
    const server = native.openDtls(certificate, 'server');
    client.start();
    exchange(client, server);
    expect(client.peerFingerprint('sha-256')).toBe(certificate.fingerprint);
    client.close();
    server.close();
  }
});

it.each([256, 300, 600, 1_200])('sends no datagram of more than %i bytes', (mtu) => {
  const { client, server } = pair(native, mtu);
  client.start();
  const lengths: number[] = [];
  exchange(client, server, (flight) => {
    lengths.push(...flight.map(({ length }) => length));
    return flight;
  });
  expect([client.state, server.state]).toEqual(['connected', 'connected']);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(mtu);
  expectHeard(client.srtp(), server.srtp());
});

it('connects whatever strangers send in between', () => {
  const junk = fc.oneof(
    fc.uint8Array({ maxLength: 5_000 }),
    // As a record of DTLS begins: type, version, epoch.
    fc
      .tuple(fc.integer({ min: 20, max: 63 }), fc.uint8Array({ maxLength: 200 }))
      .map(([type, rest]) => Uint8Array.from([type, 0xfe, 0xfd, 0, 0, ...rest])),
  );
  fc.assert(
    fc.property(fc.array(junk, { minLength: 1, maxLength: 10 }), (strays) => {
      // An alert or a message of a handshake in the clear can end one, by design: RFC 6347, section 4.1.2.7.
      const harmless = strays.filter(([type]) => type === undefined || type < 20 || type > 22);
      const { client, server } = pair(native);
      client.start();
      exchange(client, server, (flight) => [...harmless, ...flight, ...harmless]);
      expect([client.state, server.state]).toEqual(['connected', 'connected']);
      for (const stray of strays) {
        client.feed(stray);
        server.feed(stray);
      }
      expect([client.state, server.state]).toEqual(['connected', 'connected']);
      expectHeard(client.srtp(), server.srtp());
      client.close();
      server.close();
    }),
  );
});

it('survives any bytes, and flights of its peer that were changed', () => {
  const change = fc.record({ flight: fc.nat(5), at: fc.nat(1_200), to: fc.nat(255), cut: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
      const { client, server } = pair(native);
      client.start();
      let count = 0;
      exchange(client, server, (flight) => {
        const now = changes.filter(({ flight: of }) => of === count);
        count++;
        return flight.map((datagram) => {
          let changed = Uint8Array.from(datagram);
          for (const { at, to, cut } of now) {
            changed[at % changed.length] = to;
            if (cut) changed = changed.slice(0, at % changed.length);
          }
          return changed;
        });
      });
      for (const session of [client, server]) {
        expect(session.state).toBeOneOf(['new', 'handshaking', 'connected', 'failed']);
        expect(session.failure === undefined).toBe(session.state !== 'failed');
        session.close();
      }
    }),
    { numRuns: 300 },
  );
});

it('keeps no more than a few flights for an owner who takes none', () => {
  const { client, server } = pair(native);
  client.start();
  const [hello] = taken(client) as [Uint8Array];
  for (let i = 0; i < 1_000; i++) server.feed(hello);
  expect(taken(server).reduce((bytes, { length }) => bytes + length, 0)).toBeLessThanOrEqual(8_192);
});

it('tells the peer that it closes, once', () => {
  const { client, server } = connected();
  const [keys, its] = [client.srtp(), server.srtp()];
  client.close();
  client.close();
  expect(client.state).toBe('closed');
  const [notice, ...more] = taken(client);
  expect(more).toEqual([]);
  server.feed(notice as Uint8Array);
  expect(server.state).toBe('closed');
  // What is still on its way is ignored.
  client.feed(notice as Uint8Array);
  client.start();
  client.timeout();
  expect([client.state, client.timeoutMs(), client.peerFingerprint('sha-256')]).toEqual([
    'closed',
    -1,
    undefined,
  ]);
  // The keys outlive it.
  expectHeard(keys, its);
  server.close();
  expect(taken(server)).toEqual([]);
});

it('says nothing when it closes before it is connected', () => {
  const { client, server } = pair(native);
  client.start();
  for (const session of [client, server]) session.close();
  expect([...taken(client), ...taken(server)]).toEqual([]);
});

/** An alert in the clear: fatal, of some description. */
const alert = (description: number) =>
  Uint8Array.from([21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, description]);

it('says why it failed', () => {
  const { client } = pair(native);
  client.start();
  client.feed(alert(40));
  expect(client.state).toBe('failed');
  expect(client.failure).toMatch(/handshake failure/);
  expect(client.timeoutMs()).toBe(-1);
  expect(() => client.srtp()).toThrow('DTLS is failed');
});

it('refuses arguments that are none', () => {
  const certificate = native.makeCertificate();
  expect(() => native.openDtls({ fingerprint: 'AB' }, 'client')).toThrow(
    'Expected one of makeCertificate for the certificate but received Object',
  );
  expect(() => native.openDtls(certificate, 'passive' as never)).toThrow(
    'Expected client or server for the role but received "passive"',
  );
  for (const mtu of [255, 4_097, 1_200.5, Number.NaN, '1200']) {
    expect(() => native.openDtls(certificate, 'client', mtu as number)).toThrow(
      'Expected a whole number from 256 to 4096 for the MTU',
    );
  }
  const session = native.openDtls(certificate, 'server');
  for (const wrong of [undefined, null, 'datagram', new Int8Array(20), new ArrayBuffer(20)]) {
    expect(() => session.feed(wrong as never)).toThrow('Expected a Uint8Array for the datagram');
  }
  session.feed(new Uint8Array());
  session.feed(new Uint8Array(4_097).fill(22));
  expect(session.state).toBe('new');
});
