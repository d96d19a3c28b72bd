import { afterEach, expect, it } from 'vitest';
import { AudioSource } from '../../../src/rtc/audio-source.js';
import { type CandidateInit, PeerConnection } from '../../../src/rtc/peer-connection.js';
import { leanOnly } from '../../support/rtc-native.js';
import { clock, eventually } from '../../support/time.js';

leanOnly();

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Two connections, the second of which is told of the first's certificate what a thief of its signalling would tell. */
async function connect(forge: (fingerprint: string) => string) {
  const [speaker, listener] = [new PeerConnection(), new PeerConnection()];
  for (const [from, to] of [
    [speaker, listener],
    [listener, speaker],
  ] as const) {
    cleanups.push(() => from.close());
    from.addEventListener('icecandidate', (event) => {
      const { candidate } = event as Event & { candidate: CandidateInit | null };
      if (candidate !== null) void to.addIceCandidate(candidate).catch(() => {});
    });
  }
  const source = new AudioSource();
  speaker.addTransceiver(source.createTrack(), { direction: 'sendonly' });
  const talking = clock.every(20, () => source.write(new Int16Array(160).fill(9_000)));
  cleanups.push(() => clock.cancel(talking));
  const offer = await speaker.createOffer();
  await speaker.setLocalDescription(offer);
  const sdp = offer.sdp?.replace(/^a=fingerprint:(.*)$/m, (_, fingerprint: string) => forge(fingerprint));
  await listener.setRemoteDescription({ type: 'offer', sdp });
  const answer = await listener.createAnswer();
  await listener.setLocalDescription(answer);
  await speaker.setRemoteDescription(answer);
  return { speaker, listener, receiver: listener.getReceivers()[0] ?? expect.fail() };
}

const other = (fingerprint: string) => fingerprint.replace(/..$/, (end) => (end === '00' ? '01' : '00'));

it.each([
  ['another value', (print: string) => `a=fingerprint:${other(print)}`],
  ['an unknown algorithm', (print: string) => `a=fingerprint:${print.replace('sha-256', 'md5')}`],
  ['another algorithm', (print: string) => `a=fingerprint:${print.replace('sha-256', 'sha-1')}`],
  ['only its beginning', (print: string) => `a=fingerprint:${print.slice(0, -3)}`],
  ['undefined', () => 'a=fingerprint:sha-999 undefined'],
])('a certificate that is not that of the description is not heard: %s', async (_, forge) => {
  const { listener, receiver } = await connect(forge);
  await eventually('its refusal', () => listener.connectionState === 'failed');
  // What is sent all the same cannot be decrypted.
  const { bytesReceived } = (await listener.getStats()).get('transport') as { bytesReceived: number };
  await eventually('packets', async () => {
    const { bytesReceived: later } = (await listener.getStats()).get('transport') as {
      bytesReceived: number;
    };
    return later > bytesReceived + 500;
  });
  expect(receiver.packets).toBe(0);
  expect(listener.connectionState).toBe('failed');
});

it('one of several fingerprints is enough', async () => {
  const { receiver } = await connect((print) => `a=fingerprint:${other(print)}\r\na=fingerprint:${print}`);
  await eventually('it to be heard', () => receiver.packets > 5);
});
