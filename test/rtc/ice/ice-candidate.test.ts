import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  candidatePriority,
  formatCandidate,
  makeCandidate,
  parseCandidate,
} from '../../../src/rtc/ice/ice-candidate.js';

const HOST = 'candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host';
const RELAY = 'candidate:a+/9 1 udp 16777215 2001:db8::1 443 typ relay raddr 192.0.2.1 rport 4000';

describe('a candidate', () => {
  it.each([HOST, RELAY])('is written as it is read: %s', (text) => {
    expect(formatCandidate(parseCandidate(text) ?? expect.fail('none'))).toBe(text);
  });

  it('may have extensions, a name, another transport, and no address of its base', () => {
    const extended = `${HOST} generation 0 ufrag abcd network-id 1 network-cost 10`;
    expect(parseCandidate(extended)).toEqual(parseCandidate(HOST));
    const text = 'candidate:1 1 TCP 1518280447 0c6cd9e0.local 9 typ host tcptype active';
    expect(parseCandidate(text)).toMatchObject({ transport: 'tcp', address: '0c6cd9e0.local', port: 9 });
    expect(parseCandidate('candidate:1 1 udp 1 192.0.2.1 5 typ srflx')).toMatchObject({ type: 'srflx' });
  });

  it.each([
    ['nothing', ''],
    ['an attribute', `a=${HOST}`],
    ['no type', HOST.slice(0, -4)],
    ['an unknown type', HOST.replace('host', 'ghost')],
    ['a port too high', HOST.replace('4000', '65536')],
    ['a priority too high', HOST.replace('2130706431', '4294967296')],
    ['component 0', HOST.replace('1 1', '1 0')],
    ['component 257', HOST.replace('1 1', '1 257')],
    ['a foundation too long', HOST.replace('1 1', `${'1'.repeat(33)} 1`)],
    ['lines', HOST.replace(' udp', '\r\nudp')],
    ['too many characters', `${HOST} ${'x'.repeat(500)}`],
  ])('is none with %s', (_, text) => {
    expect(parseCandidate(text)).toBeUndefined();
  });

  it('is none of garbage, at no cost', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2_000 }), (text) => void parseCandidate(`candidate:${text}`)),
    );
    expect(parseCandidate(`candidate:1 1 ${' '.repeat(400)}`)).toBeUndefined();
  });

  it('has the priority of RFC 8445', () => {
    expect(candidatePriority('host', 65_535)).toBe(2_130_706_431);
    expect(candidatePriority('relay', 65_535)).toBe(16_777_215);
  });

  it('shares its foundation with those of the same type, base and server', () => {
    const base = { address: '192.0.2.1', port: 1 };
    const made = (server: string, port: number) =>
      makeCandidate('srflx', { address: '198.51.100.1', port }, 65_535, base, server).foundation;
    expect(made('a', 1)).toBe(made('a', 2));
    expect(made('a', 1)).not.toBe(made('b', 1));
    expect(made('a', 1)).not.toBe(makeCandidate('host', base, 65_535).foundation);
  });
});
