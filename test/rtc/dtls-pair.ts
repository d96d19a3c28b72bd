import { expect } from 'vitest';
import type { DtlsSession, RtcNative, SrtpSession } from '../../src/rtc/native.js';

/** All that a session has to send now. */
export function taken(session: DtlsSession): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let next = session.take(); next !== undefined; next = session.take()) datagrams.push(next);
  return datagrams;
}

/** Moves datagrams between two sessions until none has any. @param through what becomes of those of one flight */
export function exchange(
  a: DtlsSession,
  b: DtlsSession,
  through: (flight: Uint8Array[]) => Uint8Array[] = (flight) => flight,
): void {
  for (;;) {
    const [toB, toA] = [taken(a), taken(b)];
    if (toA.length + toB.length === 0) return;
    for (const datagram of through(toB)) b.feed(datagram);
    for (const datagram of through(toA)) a.feed(datagram);
  }
}

/** A client and a server, each with a certificate of its own. */
export function pair(native: RtcNative, mtu?: number) {
  const certificates = [native.makeCertificate(), native.makeCertificate()] as const;
  const client = native.openDtls(certificates[0], 'client', mtu);
  const server = native.openDtls(certificates[1], 'server', mtu);
  return { certificates, client, server };
}

function packet(): Uint8Array {
  const bytes = new Uint8Array(100).fill(7);
  bytes.set([0x80, 111, 0, 1]);
  return bytes;
}

/** What one seals, the other opens. */
export function expectHeard(from: SrtpSession, to: SrtpSession): void {
  const sent = packet();
  const length = from.protectRtp(sent, 80);
  expect(to.unprotectRtp(sent, length)).toBe(80);
  expect(sent.subarray(0, 80)).toEqual(packet().subarray(0, 80));
}
