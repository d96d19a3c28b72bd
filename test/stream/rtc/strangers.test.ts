import { describe, expect, it } from 'vitest';
import { loadRtcNative } from '../../../src/rtc/native.js';
import { amplitudeAt, randomBytes, randomNumbers } from '../../support/media.js';
import { leanOnly } from '../../support/rtc-native.js';
import { type Edit, ears, introduce, lean, leanVoice, negotiate, sine } from '../../support/rtc-pair.js';
import { RtcWire } from '../../support/rtc-wire.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

leanOnly();

virtualTime();

const LEVEL = 4_000;

describe('a certificate that is not that of the description', () => {
  const other: Edit = (sdp) =>
    sdp.replace(
      /a=fingerprint:sha-256 \S+/g,
      `a=fingerprint:sha-256 ${loadRtcNative().makeCertificate().fingerprint}`,
    );

  it.each([
    ['in the offer', { offer: other }],
    ['in the answer', { answer: other }],
  ])('%s ends the connection before anything is heard', async (where, edits) => {
    const speaker = lean();
    const listener = lean();
    speaker.addTransceiver(leanVoice(sine(300, LEVEL)).track, { direction: 'sendonly' });
    introduce(speaker, listener);
    const all = ears(listener);
    await negotiate(speaker, listener, edits);
    const deceived = where === 'in the offer' ? listener : speaker;
    await eventually('the failure', () => deceived.connectionState === 'failed');
    await sleep(1_000);
    expect(deceived.connectionState).toBe('failed');
    expect(listener.getReceivers()[0]?.packets).toBe(0);
    expect(all[0]?.heard.some((sample) => sample !== 0)).toBe(false);
    expect([...(await deceived.getStats()).values()]).toContainEqual(
      expect.objectContaining({ type: 'transport', dtlsState: 'failed' }),
    );
  });
});

it('garbage of all kinds from the address of the other side changes nothing', async () => {
  const wire = await RtcWire.lay();
  const speaker = lean();
  const listener = lean();
  speaker.addTransceiver(leanVoice(sine(300, LEVEL)).track, { direction: 'sendonly' });
  introduce(speaker, listener, wire);
  const all = ears(listener);
  const seen: { datagram: Buffer; to: 'a' | 'b' }[] = [];
  wire.loses = (datagram, to) => {
    if (seen.length < 400) seen.push({ datagram: Buffer.from(datagram), to });
    return false;
  };
  await negotiate(speaker, listener);
  const hears = async () => {
    await sleep(1_000);
    const amplitude = amplitudeAt(300, 8_000, all[0]?.last(500) ?? new Int16Array());
    expect(Math.abs(20 * Math.log10(amplitude / LEVEL))).toBeLessThan(0.5);
  };
  await eventually('the connection', () => listener.connectionState === 'connected');
  await sleep(3_000);
  await hears();
  const objects = loadRtcNative().liveObjects();
  const next = randomNumbers(7);
  // First bytes of STUN, DTLS, RTP and RTCP, and of nothing.
  const firsts = [0, 1, 3, 20, 22, 23, 25, 63, 64, 127, 128, 144, 191, 192, 255];
  for (let round = 0; round < 1_500; round++) {
    const to = round % 2 === 0 ? 'a' : 'b';
    const kind = round % 5;
    let datagram: Uint8Array;
    if (kind === 0) {
      datagram = randomBytes(next() % 1_400, round);
      if (datagram.length > 0) datagram[0] = firsts[next() % firsts.length] as number;
    } else {
      // What went over the wire before: again, to the other side, cut off, or changed.
      const sample = seen[next() % seen.length] as (typeof seen)[number];
      datagram = Uint8Array.from(sample.datagram);
      if (kind === 2) datagram = datagram.subarray(0, next() % (datagram.length + 1));
      if (kind === 3) for (let i = 0; i < 3; i++) datagram[next() % datagram.length] = next() & 255;
      if (kind === 4 && datagram.length > 4) {
        datagram[0] = 0x80 | (next() & 0x3f);
        datagram[1] = 192 + (next() % 32);
      }
    }
    wire.send(datagram, to);
    if (round % 50 === 0) await sleep(20);
  }
  await hears();
  expect([speaker.connectionState, listener.connectionState]).toEqual(['connected', 'connected']);
  expect(all).toHaveLength(1);
  expect(all[0]?.stats).toMatchObject({ packetsLost: 0, packetsDiscarded: 0, concealedSamples: 0 });
  expect(loadRtcNative().liveObjects()).toBe(objects);
});
