import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AudioReceiver } from '../../src/rtc/audio-receiver.js';
import { AudioSender } from '../../src/rtc/audio-sender.js';
import { AudioSource, PACKET_SAMPLES } from '../../src/rtc/audio-source.js';
import type { MediaTransport } from '../../src/rtc/media-transport.js';
import { PeerConnection } from '../../src/rtc/peer-connection.js';
import { appendNack } from '../../src/rtc/rtcp.js';
import { RtpSession } from '../../src/rtc/rtp-session.js';
import { MID, readDescription } from '../../src/rtc/session-description.js';
import { Transceiver } from '../../src/rtc/transceiver.js';
import { leanOnly } from '../support/rtc-native.js';
import { VirtualClock } from '../support/virtual-clock.js';

const native = leanOnly();

/** A session that sends, to a peer that answered so, and what it has sent. */
function speak(parameters = 'minptime=10') {
  const sent: number[] = [];
  const again: number[] = [];
  const sequenceOf = (packet: Uint8Array) => Buffer.from(packet).readUInt16BE(2);
  const transport = {
    isOpen: true,
    sendRtp: (packet: Uint8Array, length: number) => {
      sent.push(sequenceOf(packet));
      return length;
    },
    resend: (packet: Uint8Array) => again.push(sequenceOf(packet)),
  } as unknown as MediaTransport;
  const source = new AudioSource();
  const line = new Transceiver('audio', new AudioSender(native), new AudioReceiver(native), 'sendonly');
  line.sender.setTrack(source.createTrack());
  const session = new RtpSession([line], transport, 'name', new VirtualClock());
  const answer = [
    'v=0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=recvonly',
    'a=rtpmap:111 opus/48000/2',
    'a=rtcp-fb:111 nack',
    `a=fmtp:111 ${parameters}`,
  ];
  const [section = expect.fail()] = readDescription(answer.join('\n')).media;
  line.send(section, transport);
  const talk = (packets: number) => source.write(new Int16Array(packets * PACKET_SAMPLES).fill(1_000));
  return { line, session, talk, sent, again };
}

describe('a hostile peer', () => {
  it('that asks for packets again and again gets each three times', () => {
    const { line, session, talk, sent, again } = speak();
    talk(20);
    const wanted = Array.from({ length: 400 }, (_, i) => sent[i % 20] as number);
    const request = Buffer.alloc(2_048);
    const length = appendNack(request, 0, 1, line.sender.ssrc, wanted);
    for (let i = 0; i < 10; i++) session.takeRtcp(request, length);
    expect(again).toHaveLength(3 * 20);
    expect(new Set(again)).toEqual(new Set(sent));
    // The place of an old packet is another's, with repetitions of its own.
    talk(20);
    const late = appendNack(request, 0, 1, line.sender.ssrc, sent.slice(20));
    session.takeRtcp(request, late);
    expect(again.slice(3 * 20)).toEqual(sent.slice(20));
    line.close();
  });

  it('that offers other m-lines each time is refused when there are too many', async () => {
    const connection = new PeerConnection({}, new VirtualClock(), native);
    let tracks = 0;
    connection.addEventListener('track', () => {
      tracks += 1;
    });
    const offer = (round: number) =>
      connection.setRemoteDescription({
        type: 'offer',
        sdp: [
          'v=0',
          'a=ice-ufrag:ufrag',
          'a=ice-pwd:password',
          'a=fingerprint:sha-256 AA',
          `a=group:BUNDLE ${Array.from({ length: 100 }, (_, i) => `${round}-${i}`).join(' ')}`,
          ...Array.from({ length: 100 }, (_, i) =>
            [
              'm=audio 9 UDP/TLS/RTP/SAVPF 111',
              `a=mid:${round}-${i}`,
              'a=sendonly',
              'a=rtpmap:111 opus/48000/2',
            ].join('\n'),
          ),
        ].join('\n'),
      });
    await offer(0);
    await offer(0);
    await offer(1);
    await expect(offer(2)).rejects.toThrow('more than 256 m-lines');
    expect(connection.getTransceivers()).toHaveLength(200);
    expect(tracks).toBe(200);
    connection.close();
  });

  it.each([
    ['a fraction of', '20000.5'],
    ['less than', '-1'],
    ['more than', '1e999'],
    ['no', 'x'],
  ])('that wants %s a bit each second is heard all the same', (_, bits) => {
    const { line, talk, sent } = speak(`maxaveragebitrate=${bits}`);
    talk(1);
    expect(sent).toHaveLength(1);
    line.close();
  });

  it.each([
    ['ICE parameters', ['a=fingerprint:sha-256 AA']],
    ['fingerprint', ['a=ice-ufrag:u', 'a=ice-pwd:p']],
  ])('whose description has no %s gives no reason to leave the lean stack', async (missing, lines) => {
    const reasons: string[] = [];
    PeerConnection.onUnfit = (reason) => reasons.push(reason);
    const connection = new PeerConnection({}, new VirtualClock(), native);
    const sdp = ['v=0', ...lines, 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2'].join('\n');
    const taken = connection.setRemoteDescription({ type: 'offer', sdp });
    await expect(taken).rejects.toThrow(`The description has no ${missing}`);
    expect(reasons).toEqual([]);
    PeerConnection.onUnfit = undefined;
    connection.close();
  });

  it.each(['\r', '\u2028', '\u2029'])(
    'whose description has a long name and %j in a line is read at once',
    (end) => {
      // Of 500,000 characters each was the beginning of another try: minutes, in which the process did nothing else.
      const sdp = `v=0\na=${'x'.repeat(500_000)}${end}y\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:a`;
      expect(readDescription(sdp).media[0]?.mid).toBe('a');
    },
  );

  it('that has the keys may send anything', () => {
    const { line, session, talk } = speak();
    talk(20);
    const section = readDescription(
      'v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\na=mid:a\na=sendonly\na=rtpmap:111 opus/48000/2\na=rtcp-fb:111 nack\n' +
        `a=rtpmap:63 red/48000/2\na=extmap:2 ${MID}`,
    ).media[0];
    const heard = new Transceiver('audio', new AudioSender(native), new AudioReceiver(native), 'recvonly');
    heard.mid = 'a';
    heard.hear(section ?? expect.fail());
    const lines = [line, heard];
    const sent: number[] = [];
    const transport = {
      isOpen: true,
      sendRtcp: (_: Uint8Array, length: number) => sent.push(length),
    } as unknown as MediaTransport;
    const both = new RtpSession(lines, transport, 'name', new VirtualClock());
    both.expect(section ?? expect.fail(), heard.receiver);
    const block = new Int16Array(80);
    const packet = fc.tuple(
      fc.constantFrom(0x80, 0x90, 0xa0, 0xb3, 0x8f, 0x9f),
      fc.constantFrom(111, 111 | 128, 63, 0, 127),
      fc.uint8Array({ minLength: 0, maxLength: 120 }),
    );
    const control = fc.tuple(
      fc.integer({ min: 0x80, max: 0x9f }),
      fc.constantFrom(200, 201, 202, 203, 204, 205, 206, 207),
      fc.constantFrom(0, 1, 6, 12, 30),
      fc.uint8Array({ minLength: 0, maxLength: 200 }),
    );
    fc.assert(
      fc.property(
        fc.array(packet, { maxLength: 60 }),
        fc.array(control, { maxLength: 10 }),
        (media, controls) => {
          for (const [first, second, rest] of media) {
            const bytes = Uint8Array.from([first, second, ...rest]);
            both.takeRtp(bytes, bytes.length);
            heard.receiver.track.pull(block, 0);
          }
          const bytes = Uint8Array.from(
            controls.flatMap(([first, type, words, rest]) => [first, type, 0, words, ...rest]),
          );
          both.takeRtcp(bytes, bytes.length);
          session.takeRtcp(bytes, bytes.length);
        },
      ),
      { numRuns: 500 },
    );
    expect(Math.max(0, ...sent)).toBeLessThan(300);
    for (const each of lines) each.close();
  });
});
