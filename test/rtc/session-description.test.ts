import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AUDIO_LEVEL,
  MID,
  type OwnSection,
  parameterOf,
  readDescription,
  writeDescription,
} from '../../src/rtc/session-description.js';

/** An offer as a media server writes it: bundled, with a muted m-line and one of video. */
const OFFER = [
  'v=0',
  'o=- 5 2 IN IP4 0.0.0.0',
  's=-',
  't=0 0',
  'a=ice-lite',
  'a=fingerprint:SHA-256 aa:bb',
  'a=group:BUNDLE 0 1 v',
  'm=audio 9 UDP/TLS/RTP/SAVPF 63 111',
  'a=mid:0',
  'a=ice-ufrag:u1',
  'a=ice-pwd:p1',
  'a=setup:actpass',
  'a=sendonly',
  'a=msid:alice:TRACK_TYPE_AUDIO track-1',
  'a=extmap:4/sendonly urn:ietf:params:rtp-hdrext:sdes:mid',
  'a=extmap:15 urn:too-big',
  'a=rtpmap:63 red/48000/2',
  'a=fmtp:63 111/111',
  'a=rtpmap:111 OPUS/48000/2',
  'a=rtcp-fb:111 nack ',
  'a=rtcp-fb:* transport-cc',
  'a=fmtp:111 minptime=10; useinbandfec=1;usedtx=0',
  'a=ssrc:1234 cname:x',
  'a=ssrc:1234 label:y',
  'a=candidate:1 1 udp 1 192.0.2.1 5000 typ host',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:1',
  'a=inactive',
  'a=rtpmap:111 opus/48000/2',
  'a=ssrc:77 msid:bob:TRACK_TYPE_AUDIO track-2',
  'm=video 0 UDP/TLS/RTP/SAVPF 96',
  'a=mid:v',
  'a=rtpmap:96 VP8/90000',
  '',
].join('\r\n');

describe('reading', () => {
  const { transport, bundle, media } = readDescription(OFFER);

  it('finds what ICE and DTLS need, in the session or in the first section of the bundle', () => {
    expect(transport).toEqual({
      ufrag: 'u1',
      pwd: 'p1',
      isLite: true,
      fingerprints: [{ algorithm: 'sha-256', value: 'AA:BB' }],
      setup: 'actpass',
    });
    expect(bundle).toEqual(['0', '1', 'v']);
  });

  it('finds codecs with their parameters and feedback, extensions, streams and candidates', () => {
    expect(media.map(({ kind, mid, direction, isRejected }) => [kind, mid, direction, isRejected])).toEqual([
      ['audio', '0', 'sendonly', false],
      ['audio', '1', 'inactive', false],
      ['video', 'v', 'sendrecv', true],
    ]);
    const [first, second] = media;
    expect(first?.codecs.map(({ name, payloadType, feedback }) => [name, payloadType, feedback])).toEqual([
      ['red', 63, ['transport-cc']],
      ['opus', 111, ['nack', 'transport-cc']],
    ]);
    const opus = first?.codecs[1];
    expect(opus && ['useinbandfec', 'usedtx', 'stereo'].map((name) => parameterOf(opus, name))).toEqual([
      '1',
      '0',
      undefined,
    ]);
    expect([...(first?.extensions ?? [])]).toEqual([[MID, 4]]);
    expect([first?.ssrcs, first?.streamId]).toEqual([[1234], 'alice:TRACK_TYPE_AUDIO']);
    expect(first?.candidates).toEqual(['candidate:1 1 udp 1 192.0.2.1 5000 typ host']);
    expect(second?.streamId).toBe('bob:TRACK_TYPE_AUDIO');
  });

  it.each([
    ['nothing', ''],
    ['something else', 'hello'],
    ['a novel', `v=0\r\n${'a=x\r\n'.repeat(200_000)}`],
    ['too many m-lines', `v=0\r\n${'m=audio 9 x 0\r\n'.repeat(300)}`],
  ])('refuses %s', (_, sdp) => {
    expect(() => readDescription(sdp)).toThrow(/description/i);
  });

  it('survives any text', () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom(...OFFER.split('\r\n')),
      fc
        .tuple(fc.constantFrom(...OFFER.split('\r\n')), fc.string())
        .map(([known, more]) => known.slice(0, 9) + more),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 40 }), (lines) => {
        const read = readDescription(['v=0', ...lines].join('\r\n'));
        expect(Array.isArray(read.media)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

it('what it writes it reads back', () => {
  const section: OwnSection = {
    kind: 'audio',
    protocol: 'UDP/TLS/RTP/SAVPF',
    mid: '0',
    direction: 'sendonly',
    codecs: [
      {
        payloadType: 111,
        name: 'opus',
        clockRate: 48_000,
        channels: 2,
        parameters: 'useinbandfec=1',
        feedback: ['nack'],
      },
    ],
    extensions: new Map([
      [AUDIO_LEVEL, 1],
      [MID, 2],
    ]),
    ssrcs: [4_000_000_000],
    streamId: 'stream',
    trackId: 'track',
  };
  const rejected: OwnSection = { ...section, mid: '1', kind: 'application', isRejected: true, ssrcs: [] };
  const own = {
    ufrag: 'u',
    pwd: 'p',
    setup: 'actpass' as const,
    fingerprint: { algorithm: 'sha-256', value: 'AB' },
    candidates: ['candidate:1 1 udp 5 127.0.0.1 9 typ host'],
  };
  const sdp = writeDescription({ id: '7', version: 3, cname: 'c' }, own, [section, rejected]);
  const read = readDescription(sdp);
  expect(read.transport).toMatchObject({
    ufrag: 'u',
    pwd: 'p',
    fingerprints: [own.fingerprint],
    setup: 'actpass',
  });
  expect(read.bundle).toEqual(['0']);
  expect(read.media[0]).toMatchObject({
    ...Object.fromEntries(Object.entries(section).filter(([name]) => name !== 'trackId')),
    candidates: own.candidates,
    isRejected: false,
  });
  expect(read.media[1]).toMatchObject({ mid: '1', isRejected: true });
});
