import { createRequire } from 'node:module';
import { afterEach, describe, expect, it } from 'vitest';
import { wrtcStack } from '../../../src/bridge/stream/wrtc.js';
import { type AudioReceiver, HEARD_BLOCK } from '../../../src/rtc/audio-receiver.js';
import { AudioSource } from '../../../src/rtc/audio-source.js';
import { type CandidateInit, PeerConnection } from '../../../src/rtc/peer-connection.js';
import { amplitudeAt } from '../../support/media.js';
import { clock, eventually } from '../../support/time.js';

/** The parts of the browser's class in use, of whichever stack. */
interface Connection extends EventTarget {
  connectionState: string;
  createOffer(options?: { iceRestart?: boolean }): Promise<{ type: string; sdp?: string | undefined }>;
  createAnswer(): Promise<{ type: string; sdp?: string | undefined }>;
  setLocalDescription(description: { type: string; sdp?: string | undefined }): Promise<void>;
  setRemoteDescription(description: { type: string; sdp?: string | undefined }): Promise<void>;
  addIceCandidate(candidate: CandidateInit): Promise<void>;
  close(): void;
}

const { RTCPeerConnection } = createRequire(import.meta.url)('@roamhq/wrtc') as {
  RTCPeerConnection: new () => Connection & { addTransceiver(track: unknown, init: object): unknown };
};
const LEVEL = 8_000;
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Candidates go to the other side as they come. */
function connect(a: Connection, b: Connection): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.addEventListener('icecandidate', (event) => {
      const { candidate } = event as Event & { candidate: CandidateInit | null };
      if (candidate !== null && from.connectionState !== 'closed')
        void to.addIceCandidate(candidate).catch(() => {});
    });
    cleanups.push(() => from.close());
  }
}

async function negotiate(offerer: Connection, answerer: Connection, options = {}): Promise<void> {
  const offer = await offerer.createOffer(options);
  await offerer.setLocalDescription(offer);
  await answerer.setRemoteDescription(offer);
  const answer = await answerer.createAnswer();
  await answerer.setLocalDescription(answer);
  await offerer.setRemoteDescription(answer);
}

/** A tone at a stack's rate, written every 20 ms. */
function play(write: (block: Int16Array) => void, rate: number, hz = 1_000): void {
  const block = new Int16Array(rate / 100);
  let at = 0;
  const timer = clock.every(20, () => {
    for (let half = 0; half < 2; half++) {
      for (let i = 0; i < block.length; i++)
        block[i] = Math.round(LEVEL * Math.sin((2 * Math.PI * hz * at++) / rate));
      write(block);
    }
  });
  cleanups.push(() => clock.cancel(timer));
}

/** The last half second that a lean receiver heard. */
function listen(receiver: AudioReceiver): () => Int16Array {
  const heard: number[] = [];
  const block = new Int16Array(HEARD_BLOCK);
  const timer = clock.every(20, () => {
    for (let half = 0; half < 2; half++) {
      receiver.pull(block, clock.now());
      heard.push(...block);
    }
  });
  receiver.retain();
  cleanups.push(() => {
    clock.cancel(timer);
    receiver.release();
  });
  return () => Int16Array.from(heard.slice(-4_000));
}

function leanSpeaker(): PeerConnection {
  const connection = new PeerConnection();
  const source = new AudioSource();
  connection.addTransceiver(source.createTrack(), { direction: 'sendonly' });
  play((block) => source.write(block), 8_000);
  return connection;
}

function wrtcSpeaker() {
  const connection = new RTCPeerConnection();
  const source = wrtcStack.createAudioSource();
  connection.addTransceiver(source.createStream().getAudioTracks()[0], { direction: 'sendonly' });
  play((block) => source.write(block), 48_000);
  return connection;
}

/** What the first track of a connection carries. */
function ear(connection: Connection): () => Int16Array {
  let read = (): Int16Array => new Int16Array();
  connection.addEventListener('track', (event) => {
    const { track, receiver } = event as Event & { track: never; receiver: AudioReceiver };
    if (connection instanceof PeerConnection) {
      read = listen(receiver);
      return;
    }
    const heard: number[] = [];
    const sink = wrtcStack.createAudioSink(track, (samples, rate) => {
      if (rate === 48_000) for (let i = 0; i < samples.length; i += 6) heard.push(samples[i] as number);
    });
    cleanups.push(() => sink.stop());
    read = () => Int16Array.from(heard.slice(-4_000));
  });
  return () => read();
}

async function hears(read: () => Int16Array): Promise<void> {
  await eventually('the tone to be heard', () => {
    const samples = read();
    return (
      samples.length === 4_000 && Math.abs(20 * Math.log10(amplitudeAt(1_000, 8_000, samples) / LEVEL)) < 0.5
    );
  });
}

const SPEAKERS = { lean: leanSpeaker, libwebrtc: wrtcSpeaker };
const LISTENERS = { lean: () => new PeerConnection(), libwebrtc: () => new RTCPeerConnection() };

describe.each([
  ['lean', 'lean'],
  ['lean', 'libwebrtc'],
  ['libwebrtc', 'lean'],
] as const)('%s to %s', (from, to) => {
  it('a tone is heard at its level, and after an ICE restart', async () => {
    const speaker: Connection = SPEAKERS[from]();
    const listener: Connection = LISTENERS[to]();
    connect(speaker, listener);
    const read = ear(listener);
    await negotiate(speaker, listener);
    await hears(read);
    expect([speaker.connectionState, listener.connectionState]).toEqual(['connected', 'connected']);
    await negotiate(speaker, listener, { iceRestart: true });
    await clock.sleep(700);
    await hears(read);
    expect([speaker.connectionState, listener.connectionState]).toEqual(['connected', 'connected']);
  });
});
