import { describe, expect, it } from 'vitest';
import { readTransport } from '../../../src/bridge/stream/transport.js';
import type { CandidateInit, PeerConnection } from '../../../src/rtc/peer-connection.js';
import { amplitudeAt } from '../../support/media.js';
import { watchEncoders } from '../../support/rtc-encoder.js';
import { leanOnly } from '../../support/rtc-native.js';
import {
  type Edit,
  ears,
  introduce,
  lean,
  leanVoice,
  negotiate,
  type RtcEar,
  silence,
  sine,
} from '../../support/rtc-pair.js';
import { isAudio, RtcWire } from '../../support/rtc-wire.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

leanOnly();

virtualTime();

const LEVEL = 4_000;
/** Each is alone in its multiple of 10 Hz. */
const TONES = [300, 510, 770, 1_130, 1_610];

/** A connection that says a tone, and one that may hear it. */
function pair(hz = TONES[0] as number) {
  const { native, encoders } = watchEncoders();
  const speaker = lean({}, native);
  const listener = lean();
  const { voice, track, source } = leanVoice(sine(hz, LEVEL));
  const line = speaker.addTransceiver(track, { direction: 'sendonly' });
  introduce(speaker, listener);
  return { speaker, listener, voice, track, source, line, encoders, all: ears(listener) };
}

/** Decibels of a tone in the last half second, of what was said. */
const level = (ear: RtcEar | undefined, hz: number) =>
  ear === undefined ? -100 : 20 * Math.log10(amplitudeAt(hz, 8_000, ear.last(500)) / LEVEL + 1e-9);

async function hears(get: () => RtcEar | undefined, hz: number): Promise<void> {
  await eventually(`${hz} Hz to be heard`, () => {
    const ear = get();
    return ear !== undefined && ear.heard.length >= 4_000 && Math.abs(level(ear, hz)) < 0.5;
  });
}

const isConnected = (...connections: PeerConnection[]) =>
  connections.every(({ connectionState }) => connectionState === 'connected');

describe('offers', () => {
  it('may be taken back by either side, and the next is answered', async () => {
    const { speaker, listener, all } = pair();
    const states: string[] = [];
    speaker.addEventListener('signalingstatechange', () => states.push(speaker.signalingState));
    await speaker.setLocalDescription(await speaker.createOffer());
    await speaker.setLocalDescription({ type: 'rollback' });
    expect(states).toEqual(['have-local-offer', 'stable']);
    expect(speaker.localDescription).toBeNull();
    expect(speaker.getTransceivers().map(({ mid }) => mid)).toEqual([null]);
    await expect(speaker.setLocalDescription({ type: 'rollback' })).rejects.toThrow(/state stable/);

    const offer = await speaker.createOffer();
    await speaker.setLocalDescription(offer);
    await listener.setRemoteDescription(offer);
    expect(listener.signalingState).toBe('have-remote-offer');
    await listener.setRemoteDescription({ type: 'rollback' });
    expect([listener.signalingState, listener.remoteDescription]).toEqual(['stable', null]);
    await expect(listener.createAnswer()).rejects.toThrow(/no offer/);
    await speaker.setLocalDescription({ type: 'rollback' });

    await negotiate(speaker, listener);
    // The m-line of the offer that was taken back is gone.
    expect(listener.getTransceivers()).toHaveLength(1);
    expect(all).toHaveLength(2);
    await hears(() => all[1], 300);
  });

  it('cannot cross', async () => {
    const { speaker, listener } = pair();
    const offer = await speaker.createOffer();
    await speaker.setLocalDescription(offer);
    await expect(speaker.setRemoteDescription(offer)).rejects.toThrow(/have-local-offer/);
    await listener.setRemoteDescription(offer);
    await expect(listener.setLocalDescription(offer)).rejects.toThrow(/have-remote-offer/);
    await expect(listener.setRemoteDescription({ ...offer, type: 'answer' })).rejects.toThrow(
      /have-remote-offer/,
    );
  });

  it('may bring an m-line more each: five participants are heard, each on a track of their own', async () => {
    const { speaker, listener, all } = pair();
    await negotiate(speaker, listener);
    await hears(() => all[0], TONES[0] as number);
    for (const [i, hz] of TONES.entries()) {
      if (i === 0) continue;
      speaker.addTransceiver(leanVoice(sine(hz, LEVEL)).track, { direction: 'sendonly' });
      await negotiate(speaker, listener);
      await hears(() => all[i], hz);
    }
    expect(new Set(all.map(({ track }) => track.id)).size).toBe(TONES.length);
    await sleep(1_000);
    for (const [i, ear] of all.entries()) {
      for (const [j, hz] of TONES.entries()) {
        if (i === j) expect(Math.abs(level(ear, hz))).toBeLessThan(0.5);
        else expect(level(ear, hz)).toBeLessThan(-40);
      }
    }
    expect(listener.getTransceivers().map(({ mid }) => mid)).toEqual(['0', '1', '2', '3', '4']);
    expect(listener.localDescription?.sdp).toMatch(/a=group:BUNDLE 0 1 2 3 4\r\n/);
  });

  it('may come before their candidates or after them', async () => {
    const speaker = lean();
    const listener = lean();
    speaker.addTransceiver(leanVoice(sine(300, LEVEL)).track, { direction: 'sendonly' });
    const all = ears(listener);
    const early: CandidateInit[] = [];
    speaker.addEventListener('icecandidate', (event) => {
      const { candidate } = event as Event & { candidate: CandidateInit | null };
      if (candidate !== null) early.push(candidate);
    });
    const offer = await speaker.createOffer();
    await speaker.setLocalDescription(offer);
    await eventually('candidates', () => speaker.iceGatheringState === 'complete');
    expect(early.length).toBeGreaterThan(0);
    for (const candidate of early) await listener.addIceCandidate(candidate);
    // One of an earlier generation, which nobody knows any more, and an end.
    await listener.addIceCandidate({ ...early[0], usernameFragment: 'other' });
    await listener.addIceCandidate(null);
    await listener.setRemoteDescription({ ...offer, sdp: offer.sdp?.replace(/a=candidate.*\r\n/g, '') });
    // The listener is not told to the speaker at all: its checks are enough.
    await listener.setLocalDescription(await listener.createAnswer());
    await speaker.setRemoteDescription({
      type: 'answer',
      sdp: listener.localDescription?.sdp?.replace(/a=candidate.*\r\n/g, ''),
    });
    await hears(() => all[0], 300);
  });

  const setup =
    (role: string): Edit =>
    (sdp) =>
      sdp.replace(/a=setup:\w+/g, `a=setup:${role}`);
  it.each([
    ['active', 'active'],
    ['passive', 'passive'],
  ])('are answered as %s where they leave no choice or the answer chooses so', async (role) => {
    const { speaker, listener, all } = pair();
    let answered = '';
    // An offer of the opposite role forces it.
    await negotiate(speaker, listener, {
      offer: setup(role === 'active' ? 'passive' : 'active'),
      answer: (sdp) => {
        answered = sdp;
        return sdp;
      },
    });
    expect(answered).toContain(`a=setup:${role}\r\n`);
    await hears(() => all[0], 300);
  });

  it('of a lite agent make us the controlling side', async () => {
    const { speaker, listener, all } = pair();
    // The one that calls itself lite still checks; the conflict of roles is settled.
    const isControlling = () =>
      (listener as unknown as { transport: { ice: { isControlling: boolean } } }).transport.ice.isControlling;
    const seen: boolean[] = [];
    listener.addEventListener('signalingstatechange', () => seen.push(isControlling()));
    await negotiate(speaker, listener, { offer: (sdp) => sdp.replace('t=0 0', 't=0 0\r\na=ice-lite') });
    expect(seen).toEqual([false, true]);
    await hears(() => all[0], 300);
  });

  it('with rejected m-lines, and such of video or data, are answered line by line', async () => {
    const { speaker, listener, all } = pair();
    const more = [
      'm=audio 0 UDP/TLS/RTP/SAVPF 111',
      'a=mid:r',
      'a=rtpmap:111 opus/48000/2',
      'm=video 9 UDP/TLS/RTP/SAVPF 96',
      'a=mid:v',
      'a=sendonly',
      'a=rtpmap:96 VP8/90000',
      'a=ssrc:4242 cname:v',
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'a=mid:d',
      '',
    ].join('\r\n');
    let answered = '';
    await negotiate(speaker, listener, {
      offer: (sdp) => sdp.replace('a=group:BUNDLE 0', 'a=group:BUNDLE 0 v d') + more,
      answer: (sdp) => {
        answered = sdp;
        return sdp;
      },
    });
    expect(answered.match(/^m=.*$/gm)?.map((line) => line.trim())).toEqual([
      'm=audio 9 UDP/TLS/RTP/SAVPF 111 63',
      'm=audio 0 UDP/TLS/RTP/SAVPF 111',
      'm=video 9 UDP/TLS/RTP/SAVPF 96',
      'm=application 0 UDP/DTLS/SCTP 0',
    ]);
    expect(answered).toContain('a=group:BUNDLE 0 v\r\n');
    await hears(() => all[0], 300);
    expect(all).toHaveLength(1);
  });
});

describe('an m-line', () => {
  it('that pauses and returns with another stream brings a new track; the old one plays what it has', async () => {
    const { speaker, listener, line, voice, all } = pair();
    line.streamId = 'alice';
    await negotiate(speaker, listener);
    await hears(() => all[0], 300);
    line.direction = 'inactive';
    await negotiate(speaker, listener);
    expect(listener.getTransceivers()[0]?.currentDirection).toBe('inactive');
    line.direction = 'sendonly';
    line.streamId = 'bob';
    voice.sound = sine(770, LEVEL);
    const streams: string[] = [];
    listener.addEventListener('track', (event) => {
      streams.push(...(event as Event & { streams: { id: string }[] }).streams.map(({ id }) => id));
    });
    const [old] = all;
    const begin = old?.heard.length ?? 0;
    await negotiate(speaker, listener);
    expect(streams).toEqual(['bob']);
    expect(all).toHaveLength(2);
    await hears(() => all[1], 770);
    await sleep(1_000);
    expect(Math.abs(level(all[1], 770))).toBeLessThan(0.2);
    // Whoever still hears the old one hears nothing of the new.
    expect(amplitudeAt(770, 8_000, Int16Array.from(old?.heard.slice(begin) ?? []))).toBeLessThan(LEVEL / 100);
  });

  it('is known by its mid where its source is not announced', async () => {
    const { speaker, listener, all } = pair();
    const other = leanVoice(sine(770, LEVEL));
    speaker.addTransceiver(other.track, { direction: 'sendonly' });
    await negotiate(speaker, listener, { offer: (sdp) => sdp.replace(/a=ssrc.*\r\n/g, '') });
    await hears(() => all[0], 300);
    await hears(() => all[1], 770);
  });

  it('is the only one that can be meant where nothing names it', async () => {
    const { speaker, listener, all } = pair();
    const bare: Edit = (sdp) => sdp.replace(/a=(ssrc|extmap).*\r\n/g, '');
    await negotiate(speaker, listener, { offer: bare, answer: bare });
    await hears(() => all[0], 300);
  });

  it('that the answer does not take sends nothing', async () => {
    const { speaker, listener } = pair();
    await negotiate(speaker, listener, { answer: (sdp) => sdp.replace('a=recvonly', 'a=inactive') });
    await eventually('the connection', () => isConnected(speaker, listener));
    await sleep(500);
    expect(speaker.getSenders()[0]?.packets).toBe(0);
    expect(speaker.getTransceivers()[0]?.currentDirection).toBe('inactive');
  });
});

describe('a sender', () => {
  it('is silent without its track, and speaks again with another', async () => {
    const { speaker, listener, line, all } = pair();
    await negotiate(speaker, listener);
    await hears(() => all[0], 300);
    await line.sender.replaceTrack(null);
    await sleep(1_000);
    const { packets } = line.sender;
    expect(level(all[0], 300)).toBeLessThan(-60);
    await sleep(500);
    expect(line.sender.packets).toBe(packets);
    await line.sender.replaceTrack(leanVoice(sine(770, LEVEL)).track);
    await hears(() => all[0], 770);
    await expect(line.sender.replaceTrack(listener.getReceivers()[0]?.track ?? null)).rejects.toThrow(
      TypeError,
    );
  });

  it('is silent once its track has stopped or is disabled, also a clone of it', async () => {
    const { speaker, listener, track, line, all } = pair();
    await negotiate(speaker, listener);
    await hears(() => all[0], 300);
    track.enabled = false;
    await sleep(1_000);
    expect(level(all[0], 300)).toBeLessThan(-60);
    track.enabled = true;
    await hears(() => all[0], 300);
    const clone = track.clone();
    track.stop();
    expect([track.readyState, clone.readyState]).toEqual(['ended', 'live']);
    await sleep(1_000);
    expect(level(all[0], 300)).toBeLessThan(-60);
    expect(track.clone().readyState).toBe('ended');
    await line.sender.replaceTrack(clone);
    await hears(() => all[0], 300);
    await line.sender.replaceTrack(track);
    await sleep(1_000);
    expect(level(all[0], 300)).toBeLessThan(-60);
  });

  it('takes the least of what the answer, the client and we want to send', async () => {
    const { speaker, listener, encoders, line } = pair();
    await negotiate(speaker, listener, {
      answer: (sdp) => sdp.replace('useinbandfec=1', 'useinbandfec=1;maxaveragebitrate=20000'),
    });
    expect(encoders[0]?.bitrate).toBe(20_000);
    await line.sender.setParameters({ encodings: [{ maxBitrate: 12_000 }] });
    expect(encoders[0]?.bitrate).toBe(12_000);
    await line.sender.setParameters({});
    expect(encoders[0]?.bitrate).toBe(20_000);
  });
});

it('statistics have the names of W3C, and what the watchdog wants to know', async () => {
  const { speaker, listener, all } = pair();
  expect(await readTransport(listener)).toEqual({ isConnected: false, hasPath: false, bytes: 0, checks: 0 });
  await negotiate(speaker, listener);
  await hears(() => all[0], 300);
  await sleep(2_500);
  const state = await readTransport(listener);
  expect(state).toMatchObject({ isConnected: true, hasPath: true });
  expect(state.bytes).toBeGreaterThan(10_000);
  expect(state.checks).toBeGreaterThan(0);
  const [ours, theirs] = await Promise.all([speaker.getStats(), listener.getStats()]);
  const find = (report: Map<string, object>, type: string) =>
    [...report.values()].find((entry) => (entry as { type: string }).type === type) as
      | Record<string, number>
      | undefined;
  for (const [id, entry] of [...ours, ...theirs])
    expect(entry).toMatchObject({ id, timestamp: expect.any(Number) });
  expect(find(ours, 'outbound-rtp')).toMatchObject({
    kind: 'audio',
    packetsSent: expect.any(Number),
    bytesSent: expect.any(Number),
    headerBytesSent: expect.any(Number),
  });
  expect(find(ours, 'remote-inbound-rtp')).toMatchObject({ fractionLost: 0, packetsLost: 0 });
  expect(find(ours, 'remote-inbound-rtp')?.roundTripTime).toBeLessThan(0.2);
  const inbound = find(theirs, 'inbound-rtp');
  expect(inbound).toMatchObject({
    ssrc: find(ours, 'outbound-rtp')?.ssrc,
    packetsLost: 0,
    jitter: expect.any(Number),
    jitterBufferDelay: expect.any(Number),
    jitterBufferEmittedCount: expect.any(Number),
    totalSamplesReceived: expect.any(Number),
    concealedSamples: expect.any(Number),
    trackIdentifier: listener.getReceivers()[0]?.track.id,
  });
  expect(inbound?.packetsReceived).toBeGreaterThan(50);
  const candidatePair = find(theirs, 'candidate-pair') as unknown as Record<string, string>;
  expect(candidatePair).toMatchObject({
    state: 'succeeded',
    nominated: true,
    currentRoundTripTime: expect.any(Number),
  });
  expect(theirs.get(candidatePair.localCandidateId as string)).toMatchObject({
    candidateType: 'host',
    protocol: 'udp',
    port: expect.any(Number),
  });
  expect(theirs.get(candidatePair.remoteCandidateId as string)).toBeDefined();
  expect(find(theirs, 'transport')).toMatchObject({
    dtlsState: 'connected',
    selectedCandidatePairId: 'pair',
  });
  expect(find(theirs, 'codec')).toMatchObject({ mimeType: 'audio/opus', clockRate: 48_000 });
  listener.close();
  expect((await readTransport(listener)).isConnected).toBe(false);
});

it('the last words before the other side closes are heard, and then nothing', async () => {
  const { speaker, listener, voice, all } = pair();
  await negotiate(speaker, listener);
  await hears(() => all[0], 300);
  speaker.close();
  voice.sound = silence;
  await sleep(1_500);
  expect(level(all[0], 300)).toBeLessThan(-60);
});

it('a wire of nothing is noticed, and the call goes on when it is mended', async () => {
  const wire = await RtcWire.lay();
  const speaker = lean();
  const listener = lean();
  speaker.addTransceiver(leanVoice(sine(300, LEVEL)).track, { direction: 'sendonly' });
  introduce(speaker, listener, wire);
  const all = ears(listener);
  await negotiate(speaker, listener);
  await hears(() => all[0], 300);
  wire.loses = () => true;
  await eventually('both to know', () => !isConnected(speaker) && !isConnected(listener), 15_000);
  expect([speaker.connectionState, listener.connectionState]).toEqual(['disconnected', 'disconnected']);
  wire.loses = (datagram) => isAudio(datagram) && false;
  await eventually('both to be back', () => isConnected(speaker, listener), 15_000);
  await hears(() => all[0], 300);
});
