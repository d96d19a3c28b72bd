import { describe, expect, it } from 'vitest';
import { serverAddresses } from '../../../src/rtc/ice/ice-server.js';

const USER = { username: 'u', credential: 'c' };

describe('servers', () => {
  it.each([
    ['stun:example.org', 'stun', 'example.org', 3478, 'udp'],
    ['STUN:example.org:19302', 'stun', 'example.org', 19302, 'udp'],
    ['turn:192.0.2.1:80', 'turn', '192.0.2.1', 80, 'udp'],
    ['turn:[2001:db8::1]:3478?transport=tcp', 'turn', '2001:db8::1', 3478, 'tcp'],
    ['turns:example.org', 'turn', 'example.org', 5349, 'tls'],
    ['turns:example.org:443?transport=tcp', 'turn', 'example.org', 443, 'tls'],
  ])('%s', (urls, kind, host, port, transport) => {
    expect(serverAddresses([{ urls, ...USER }])).toEqual([{ kind, host, port, transport, ...USER }]);
  });

  it('of other transports are left out, and more than eight', () => {
    const urls = ['stuns:a', 'turns:a?transport=udp', 'stun:a?transport=tcp', ...Array(20).fill('turn:b')];
    expect(serverAddresses([{ urls, ...USER }]).map(({ host }) => host)).toEqual(Array(8).fill('b'));
  });

  it.each(['', 'http://a', 'turn:', 'turn:a:99999', 'turn:a b', 'turn:a?x'])('%j is none', (urls) => {
    expect(() => serverAddresses([{ urls, ...USER }])).toThrow(
      `Expected a stun:, turn: or turns: URL for urls of an ICE server but received ${JSON.stringify(urls)}`,
    );
  });

  it('of TURN need credentials', () => {
    expect(() => serverAddresses([{ urls: 'turn:a', username: 'u' }])).toThrow(
      'Expected username and credential for the TURN server turn:a but received',
    );
  });
});
