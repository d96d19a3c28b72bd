import { createRequire } from 'node:module';
import { afterEach } from 'vitest';
import { wrtcStack } from '../../src/bridge/stream/wrtc.js';
import { type AudioReceiver, HEARD_BLOCK, type ReceivedTrack } from '../../src/rtc/audio-receiver.js';
import { AudioSource } from '../../src/rtc/audio-source.js';
import type { MediaTrack } from '../../src/rtc/media-track.js';
import { loadRtcNative, type RtcNative } from '../../src/rtc/native.js';
import {
  type CandidateInit,
  type Configuration,
  type Description,
  PeerConnection,
} from '../../src/rtc/peer-connection.js';
import type { RtcWire } from './rtc-wire.js';
import { clock } from './time.js';

/** The parts of the browser's class in use, of whichever stack. */
export interface Connection extends EventTarget {
  connectionState: string;
  createOffer(options?: { iceRestart?: boolean }): Promise<Description>;
  createAnswer(): Promise<Description>;
  setLocalDescription(description: Description): Promise<void>;
  setRemoteDescription(description: Description): Promise<void>;
  addIceCandidate(candidate: CandidateInit): Promise<void>;
  close(): void;
}

/** libwebrtc's. */
export const { RTCPeerConnection } = createRequire(import.meta.url)('@roamhq/wrtc') as {
  RTCPeerConnection: new () => Connection & { addTransceiver(track: unknown, init: object): unknown };
};

/** Run after each test, the last first. */
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

export function afterwards(cleanup: () => void): void {
  cleanups.push(cleanup);
}

/** A connection of the lean stack in the file's own time; closed after the test. */
export function lean(configuration: Configuration = {}, native: RtcNative = loadRtcNative()): PeerConnection {
  const connection = new PeerConnection(configuration, clock, native);
  afterwards(() => connection.close());
  return connection;
}

/** A connection of libwebrtc's; closed after the test. */
export function libwebrtc(): InstanceType<typeof RTCPeerConnection> {
  const connection = new RTCPeerConnection();
  afterwards(() => connection.close());
  return connection;
}

/** Candidates go to the other side as they come; over a wire, those of its ends instead. */
export function introduce(a: Connection, b: Connection, wire?: RtcWire): void {
  for (const [from, to, name] of [
    [a, b, 'a'],
    [b, a, 'b'],
  ] as const) {
    from.addEventListener('icecandidate', (event) => {
      const { candidate } = event as Event & { candidate: CandidateInit | null };
      const told = candidate === null || wire === undefined ? candidate : wire.lead(candidate, name);
      if (told && from.connectionState !== 'closed') void to.addIceCandidate(told).catch(() => {});
    });
  }
}

/** What becomes of a description on its way. */
export type Edit = (sdp: string) => string;

/** Candidates go by themselves, see {@link introduce}. */
const withoutCandidates: Edit = (sdp) => sdp.replace(/a=candidate.*\r\n/g, '');

/** Offer and answer. @param edits of the offer and of the answer, as the other side gets them */
export async function negotiate(
  offerer: Connection,
  answerer: Connection,
  edits: { readonly offer?: Edit; readonly answer?: Edit; readonly iceRestart?: boolean } = {},
): Promise<void> {
  const { offer: ofOffer = same, answer: ofAnswer = same, iceRestart = false } = edits;
  const offer = await offerer.createOffer({ iceRestart });
  await offerer.setLocalDescription(offer);
  await answerer.setRemoteDescription({
    type: 'offer',
    sdp: ofOffer(withoutCandidates(offer.sdp as string)),
  });
  const answer = await answerer.createAnswer();
  await answerer.setLocalDescription(answer);
  await offerer.setRemoteDescription({
    type: 'answer',
    sdp: ofAnswer(withoutCandidates(answer.sdp as string)),
  });
}

const same: Edit = (sdp) => sdp;
/** RED before Opus. */
export const redFirst: Edit = (sdp) =>
  sdp.replace(/^(m=audio \d+ \S+) 111 63/m, '$1 63 111').replace(/^(m=audio \d+ \S+) 111\r/m, '$1 63 111\r');
export const withDtx: Edit = (sdp) => sdp.replace('useinbandfec=1', 'useinbandfec=1;usedtx=1');
export const withoutNack: Edit = (sdp) => sdp.replace(/a=rtcp-fb:\d+ nack\r\n/g, '');

/** A sound without end at 8 kHz: its nth sample. */
export type Sound = (n: number) => number;

export const silence: Sound = () => 0;

export const sine =
  (hz: number, level = 8_000): Sound =>
  (n) =>
    Math.round(level * Math.sin((2 * Math.PI * hz * n) / 8_000));

/** Recorded samples over and over. */
export const repeated =
  (samples: Int16Array): Sound =>
  (n) =>
    samples[n % samples.length] as number;

/** Says a sound, 20 ms at a time, until the test is over. */
export class RtcVoice {
  private written = 0;
  private readonly block = new Int16Array(160);

  /** @param write takes 20 ms at 8 kHz */
  constructor(
    private readonly write: (block: Int16Array) => void,
    public sound: Sound,
  ) {
    const timer = clock.every(20, () => this.say());
    afterwards(() => clock.cancel(timer));
  }

  private say(): void {
    for (let i = 0; i < this.block.length; i++) this.block[i] = this.sound(this.written++);
    this.write(this.block);
  }
}

/** A source of the lean stack with its voice and a track of it. */
export function leanVoice(sound: Sound): { voice: RtcVoice; track: MediaTrack; source: AudioSource } {
  const source = new AudioSource();
  return {
    voice: new RtcVoice((block) => source.write(block), sound),
    track: source.createTrack(),
    source,
  };
}

/** A track of libwebrtc's that says a tone; made at its own rate. */
export function libwebrtcTrack(hz: number, level = 8_000): unknown {
  const source = wrtcStack.createAudioSource();
  const block = new Int16Array(960);
  let at = 0;
  const timer = clock.every(20, () => {
    for (let i = 0; i < block.length; i++) {
      block[i] = Math.round(level * Math.sin((2 * Math.PI * hz * at++) / 48_000));
    }
    source.write(block);
  });
  afterwards(() => clock.cancel(timer));
  return source.createStream().getAudioTracks()[0];
}

/** Hears a receiver of the lean stack at an even pace, until the test is over. */
export class RtcEar {
  /** All that was heard, at 8 kHz. */
  readonly heard: number[] = [];
  private readonly block = new Int16Array(HEARD_BLOCK);

  constructor(
    readonly track: ReceivedTrack,
    private readonly receiver: AudioReceiver,
  ) {
    track.retain();
    const timer = clock.every(20, () => {
      for (let half = 0; half < 2; half++) {
        track.pull(this.block, clock.now());
        this.heard.push(...this.block);
      }
    });
    afterwards(() => {
      clock.cancel(timer);
      track.release();
    });
  }

  /** The last milliseconds of it. */
  last(ms: number): Int16Array {
    return Int16Array.from(this.heard.slice(-8 * ms));
  }

  /** Of the latest track. */
  get stats() {
    return this.receiver.stats as NonNullable<AudioReceiver['stats']>;
  }
}

/** Ears for all tracks of a connection of the lean stack, in the order in which they came. */
export function ears(connection: PeerConnection): RtcEar[] {
  const all: RtcEar[] = [];
  connection.addEventListener('track', (event) => {
    const { track, receiver } = event as Event & { track: ReceivedTrack; receiver: AudioReceiver };
    all.push(new RtcEar(track, receiver));
  });
  return all;
}

/** What libwebrtc hears of the first track of a connection, at 48 kHz. */
export function libwebrtcEar(connection: Connection): { last(ms: number): Int16Array } {
  const heard: number[] = [];
  connection.addEventListener('track', (event) => {
    const { track } = event as Event & { track: never };
    const sink = wrtcStack.createAudioSink(track, (samples, rate) => {
      if (rate === 48_000) heard.push(...samples);
    });
    afterwards(() => sink.stop());
  });
  return { last: (ms) => Int16Array.from(heard.slice(-48 * ms)) };
}
