import { afterEach, expect, it } from 'vitest';
import { PeerConnection } from '../../src/rtc/peer-connection.js';
import { leanOnly } from '../support/rtc-native.js';
import { VirtualClock } from '../support/virtual-clock.js';

leanOnly();

const OFFER = [
  'v=0',
  'o=- 1 1 IN IP4 0.0.0.0',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0 1',
  'a=fingerprint:sha-256 AA:BB',
  'a=ice-ufrag:user',
  'a=ice-pwd:a-password-of-twenty-two',
  'a=setup:actpass',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:0',
  'a=sendonly',
  'a=rtpmap:111 opus/48000/2',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:1',
  'a=sendonly',
  'a=rtpmap:111 opus/48000/2',
  '',
].join('\r\n');

const connections: PeerConnection[] = [];
afterEach(() => {
  PeerConnection.onUnfit = undefined;
  for (const connection of connections.splice(0)) connection.close();
});

function listener() {
  const reasons: string[] = [];
  PeerConnection.onUnfit = (reason) => reasons.push(reason);
  const connection = new PeerConnection({}, new VirtualClock());
  connections.push(connection);
  return { connection, reasons };
}

it.each([
  ['has no Opus', /not Opus/, OFFER.replaceAll('opus/48000/2', 'PCMU/8000')],
  ['has no Opus in one of its m-lines', /not Opus/, OFFER.replace('opus/48000/2', 'PCMU/8000')],
  ['has audio outside the bundle', /outside its bundle/, OFFER.replace('BUNDLE 0 1', 'BUNDLE 0')],
  ['has no bundle', /outside its bundle/, OFFER.replace(/a=group.*\r\n/, '')],
])('an offer that %s is refused, and somebody told why', async (_, reason, sdp) => {
  const { connection, reasons } = listener();
  await expect(connection.setRemoteDescription({ type: 'offer', sdp })).rejects.toThrow(reason);
  expect(reasons).toEqual([expect.stringMatching(reason)]);
  expect(connection.signalingState).toBe('stable');
  expect(connection.getTransceivers()).toEqual([]);
});

it.each([
  ['fingerprint', OFFER.replace(/a=fingerprint.*\r\n/, '')],
  ['ICE parameters', OFFER.replace(/a=ice.*\r\n/g, '')],
])(
  'an offer that has no %s is refused, and nobody is told: another stack would refuse it as well',
  async (missing, sdp) => {
    const { connection, reasons } = listener();
    await expect(connection.setRemoteDescription({ type: 'offer', sdp })).rejects.toThrow(`no ${missing}`);
    expect(reasons).toEqual([]);
  },
);

it.each([
  ['as it should be', OFFER],
  [
    'with inactive audio of another codec',
    OFFER.replace(/sendonly(?=\r\na=rtpmap:111 opus\/48000\/2\r\n$)/, 'inactive').replace(
      /opus\/48000\/2\r\n$/,
      'PCMU/8000\r\n',
    ),
  ],
  [
    'with rejected audio outside the bundle',
    OFFER.replace('BUNDLE 0 1', 'BUNDLE 0').replace(/m=audio 9(?=.*\r\na=mid:1)/, 'm=audio 0'),
  ],
  [
    'of one m-line without a bundle',
    `${OFFER.replace(/a=group.*\r\n/, '')
      .split('m=audio')
      .slice(0, 2)
      .join('m=audio')}`,
  ],
])('an offer %s is taken', async (_, sdp) => {
  const { connection, reasons } = listener();
  await connection.setRemoteDescription({ type: 'offer', sdp });
  expect(reasons).toEqual([]);
  expect((await connection.createAnswer()).sdp).toContain('a=recvonly');
});

it('what is no description is refused, but asks for nothing', async () => {
  const { connection, reasons } = listener();
  for (const sdp of ['', 'hello', `v=0\r\n${'m=audio 9 x 0\r\n'.repeat(300)}`]) {
    await expect(connection.setRemoteDescription({ type: 'offer', sdp })).rejects.toThrow(/description/);
  }
  expect(reasons).toEqual([]);
});
