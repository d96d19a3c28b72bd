import type { StreamVideoParticipant } from '@stream-io/video-client';
import type { AudioSink, AudioStream, RtcStack } from '../../../src/bridge/stream/rtc-stack.js';
import { amplitudeOf, levelOf, Recording } from './recording.js';
import { BLOCK } from './voice.js';

/** Hears 10 ms of somebody at 48 kHz; the samples are only lent. */
export type FrameListener = (userId: string, samples: Int16Array, atMs: number) => void;

/** A silence between two sounds of a user, however many sessions that took. */
export interface Gap {
  readonly atMs: number;
  readonly ms: number;
}

/** Shorter ones belong to any speech. */
const SHORTEST_GAP_MS = 100;
/** Longest history. */
const MAX_GAPS = 1_000;
/** Quieter is silence: -40 dBFS, in root mean square. */
const LOUD = 328;

/** Somebody who is heard: one session of a remote user. */
interface Heard {
  readonly userId: string;
  readonly recording: Recording;
  stream: AudioStream | undefined;
  sink: AudioSink | undefined;
}

/** What an agent hears, each remote participant apart. */
export class Hearing {
  onFrame: FrameListener | undefined;
  /** By session id. */
  private readonly sessions = new Map<string, Heard>();
  /** When each user was loud last, and the silences before that. */
  private readonly loudness = new Map<string, { at: number; readonly gaps: Gap[] }>();

  constructor(private readonly stack: RtcStack) {}

  /** The present participants; streams change when a client reconnects. */
  follow(participants: readonly StreamVideoParticipant[]): void {
    const present = new Set(participants.map(({ sessionId }) => sessionId));
    for (const [sessionId, heard] of this.sessions) {
      if (present.has(sessionId)) continue;
      heard.sink?.stop();
      this.sessions.delete(sessionId);
    }
    for (const { sessionId, userId, audioStream } of participants) {
      let heard = this.sessions.get(sessionId);
      if (heard === undefined) {
        heard = { userId, recording: new Recording(), stream: undefined, sink: undefined };
        this.sessions.set(sessionId, heard);
      }
      this.listen(heard, audioStream as AudioStream | undefined);
    }
  }

  userIds(): string[] {
    return [...new Set([...this.sessions.values()].map(({ userId }) => userId))];
  }

  /** Amplitude of a frequency at whom it is loudest. */
  amplitude(frequencyHz: number, seconds: number, from?: string): number {
    return this.loudest(from, seconds, (samples) => amplitudeOf(frequencyHz, samples));
  }

  level(seconds: number, from?: string): number {
    return this.loudest(from, seconds, levelOf);
  }

  /** The latest samples of a user. */
  latest(userId: string, seconds: number): Int16Array {
    const heard = [...this.sessions.values()].filter((one) => one.userId === userId).at(-1);
    return heard?.recording.latest(seconds) ?? new Int16Array(0);
  }

  /** By time, what a user was silent for. */
  gaps(userId: string): readonly Gap[] {
    return this.loudness.get(userId)?.gaps ?? [];
  }

  close(): void {
    this.follow([]);
  }

  private loud(userId: string, at: number): void {
    const known = this.loudness.get(userId);
    if (known === undefined) {
      this.loudness.set(userId, { at, gaps: [] });
      return;
    }
    const ms = at - known.at;
    if (ms >= SHORTEST_GAP_MS) known.gaps.push({ atMs: known.at, ms });
    if (known.gaps.length > MAX_GAPS) known.gaps.shift();
    known.at = at;
  }

  private loudest(
    from: string | undefined,
    seconds: number,
    measure: (samples: Int16Array) => number,
  ): number {
    let loudest = 0;
    for (const { userId, recording } of this.sessions.values()) {
      if (from !== undefined && userId !== from) continue;
      loudest = Math.max(loudest, measure(recording.latest(seconds)));
    }
    return loudest;
  }

  private listen(heard: Heard, stream: AudioStream | undefined): void {
    if (heard.stream === stream) return;
    heard.stream = stream;
    heard.sink?.stop();
    heard.sink = undefined;
    const track = stream?.getAudioTracks()[0];
    if (track === undefined) return;
    heard.sink = this.stack.createAudioSink(track, (samples, sampleRate) => {
      // Before the first packet, blocks may have another rate; they are empty.
      if (sampleRate !== 48_000 || samples.length !== BLOCK) return;
      heard.recording.write(samples);
      if (levelOf(samples) > LOUD) this.loud(heard.userId, performance.now());
      this.onFrame?.(heard.userId, samples, performance.now());
    });
  }
}
