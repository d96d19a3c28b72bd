import { randomUUID } from 'node:crypto';
import { DtmfTones } from '../media/dtmf.js';
import { FRAME_MS, FRAME_SAMPLES } from '../media/frame.js';
import type { FrameClock, Ticking } from '../media/frame-clock.js';
import { core } from '../media/thread-core.js';
import type { AudioFilter } from '../phone/audio-tap.js';
import type { TwilioMediaStream } from '../phone/media-stream.js';
import { type Clip, ClipPlayer } from './clip.js';

/** A longer lead would not help: a call should not survive longer stalls. */
const MOST_AHEAD_MS = 200;
/** One frame in transit and one for a late timer. */
const LEAST_AHEAD_MS = 40;

/** Who is silenced: the `caller` for the other side, the `room` for the caller, or `both`. */
export const VOICES = ['caller', 'room', 'both'] as const;
export type Voices = (typeof VOICES)[number];

export const PLAY_ENDS = ['finished', 'stopped', 'replaced', 'cleared', 'call-ended'] as const;
/** Why a play ended. */
export type PlayEnd = (typeof PLAY_ENDS)[number];

/** A play that has ended. */
export interface PlayResult {
  readonly playId: string;
  readonly end: PlayEnd;
  /** Milliseconds of it sent to the phone. */
  readonly playedMs: number;
}

/** How to play a clip. */
export interface PlayOptions {
  /** How often; Infinity loops until stopped. */
  readonly loop: number;
  /** Gain in decibels. */
  readonly gain: number;
  /** Mixes the clip with the other side instead of silencing that. */
  readonly over: boolean;
}

interface Play {
  readonly playId: string;
  readonly player: ClipPlayer;
  readonly over: boolean;
}

/**
 * Tones, plays and hold music for one caller, and mutes. Tones interrupt a play, a play interrupts hold music; what was
 * interrupted continues afterwards. Audio is paced by the listener's real lead. A call without any pays nothing.
 */
export class CallAudio implements AudioFilter, Ticking {
  private readonly tones = new DtmfTones();
  private readonly frame = new Int16Array(FRAME_SAMPLES);
  private readonly aheadMs: number;
  private play: Play | undefined;
  private music: ClipPlayer | undefined;
  private silenced: Voices | undefined;
  private mixer: Mixer | undefined;
  private isTicking = false;
  /** Whether injected audio may still be queued at the phone. */
  private hasTail = false;
  private isClosed = false;

  /**
   * @param leadMs largest lead of the stream, in milliseconds
   * @param onPlayed called once for each play, when it ends
   */
  constructor(
    private readonly stream: TwilioMediaStream,
    leadMs: number,
    private readonly onPlayed: (result: PlayResult) => void,
    private readonly frameClock: FrameClock,
  ) {
    this.aheadMs = Math.max(LEAST_AHEAD_MS, Math.min(leadMs - FRAME_MS, MOST_AHEAD_MS));
  }

  get isHeld(): boolean {
    return this.music !== undefined;
  }

  get muted(): Voices | undefined {
    return this.silenced;
  }

  /** The id of the current play. */
  get playing(): string | undefined {
    return this.play?.playId;
  }

  /**
   * Queues keys as tones.
   * @returns milliseconds until the last key's pause is over
   * @throws as {@link DtmfTones.push}
   */
  dial(digits: string, toneMs?: number, pauseMs?: number): number {
    this.tones.push(digits, toneMs, pauseMs);
    this.settle();
    return this.tones.leftMs;
  }

  /** Plays a clip in place of the current one. */
  start(clip: Clip, { loop, gain, over }: PlayOptions): { playId: string; durationMs: number } {
    this.finish('replaced');
    const play = { playId: randomUUID(), player: new ClipPlayer(clip, loop, gain), over };
    this.play = play;
    this.settle();
    return { playId: play.playId, durationMs: play.player.durationMs };
  }

  /** Stops the current play, if there is one. */
  stop(): PlayResult | undefined {
    const result = this.finish('stopped');
    this.settle();
    return result;
  }

  /** Loops music for the caller; neither side hears the other. Another clip replaces the music. */
  hold(music: Clip): void {
    if (this.music?.clip !== music) this.music = new ClipPlayer(music, Number.POSITIVE_INFINITY);
    this.settle();
  }

  unhold(): void {
    this.music = undefined;
    this.settle();
  }

  /** Silences one side, both, or none. */
  mute(voices: Voices | undefined): void {
    this.silenced = voices;
    this.settle();
  }

  /** Frees everything when the call ends. */
  close(): void {
    this.isClosed = true;
    this.tones.clear();
    this.finish('call-ended');
    this.music = undefined;
    this.settle();
  }

  // AudioFilter:

  get silencesCaller(): boolean {
    return this.music !== undefined || this.silenced === 'caller' || this.silenced === 'both';
  }

  replace(frame: Int16Array): Int16Array | undefined {
    if (this.replacesRoom || this.isTailWaiting()) return undefined;
    const { play } = this;
    if (play === undefined) return frame;
    // Mixed at the pace of the other side; the clock fills in while that is silent.
    this.mixer ??= new Mixer();
    play.player.read(this.mixer.other);
    if (!play.player.isActive) this.finishAndSettle('finished');
    return this.mixer.mix(frame);
  }

  cleared(): void {
    this.tones.clear();
    this.hasTail = false;
    this.finishAndSettle('cleared');
  }

  // Ticking:

  tick(): void {
    const { stream, replacesRoom } = this;
    // A play that is mixed in starts with the other side's audio.
    if (!replacesRoom && this.isTailWaiting()) return;
    const aheadMs = replacesRoom ? this.aheadMs : LEAST_AHEAD_MS;
    let count = Math.floor((aheadMs - stream.leadMs) / FRAME_MS);
    for (; count > 0 && this.isActive && stream.isWritable; count--) {
      if (replacesRoom) this.hasTail = true;
      this.readFrame();
      stream.inject(this.frame);
    }
  }

  /** Reads the next 20 ms into `frame`. */
  private readFrame(): void {
    const { frame, play } = this;
    if (this.tones.isActive) {
      this.tones.read(frame);
      if (!this.tones.isActive) this.settle();
    } else if (play !== undefined) {
      play.player.read(frame);
      if (!play.player.isActive) this.finishAndSettle('finished');
    } else this.music?.read(frame);
  }

  /** Whether there is anything to inject. */
  private get isActive(): boolean {
    return this.tones.isActive || this.play !== undefined || this.music !== undefined;
  }

  /** Whether the caller cannot hear the other side. */
  private get replacesRoom(): boolean {
    if (this.music !== undefined || this.silenced === 'room' || this.silenced === 'both') return true;
    return this.tones.isActive || (this.play !== undefined && !this.play.over);
  }

  /**
   * Whether injected audio still waits at the phone. Live audio queued behind it would stay late by as much for the rest of
   * the call.
   */
  private isTailWaiting(): boolean {
    if (!this.hasTail) return false;
    if (this.stream.leadMs > FRAME_MS) return true;
    this.hasTail = false;
    this.settle();
    return false;
  }

  private finishAndSettle(end: PlayEnd): void {
    this.finish(end);
    this.settle();
  }

  private finish(end: PlayEnd): PlayResult | undefined {
    const { play } = this;
    if (play === undefined) return undefined;
    this.play = undefined;
    const result = { playId: play.playId, end, playedMs: play.player.playedMs };
    this.onPlayed(result);
    return result;
  }

  /** Filters the stream and joins the frame clock only while needed. */
  private settle(): void {
    const isTicking = !this.isClosed && this.isActive;
    const isNeeded = !this.isClosed && (this.isActive || this.hasTail || this.silenced !== undefined);
    this.stream.filter = isNeeded ? this : undefined;
    if (isTicking === this.isTicking) return;
    this.isTicking = isTicking;
    if (this.isTicking) this.frameClock.join(this);
    else this.frameClock.leave(this);
  }
}

const BOTH = Uint8Array.of(1, 1);

/** Adds two frames without allocating. */
class Mixer {
  private readonly inputs = new Int16Array(2 * FRAME_SAMPLES);
  private readonly one = this.inputs.subarray(0, FRAME_SAMPLES);
  /** The frame to add: fill it before {@link mix}. */
  readonly other = this.inputs.subarray(FRAME_SAMPLES);
  private readonly sum = new Int16Array(FRAME_SAMPLES);

  mix(frame: Int16Array): Int16Array {
    this.one.set(frame);
    core.mix(this.inputs, BOTH, this.sum);
    return this.sum;
  }
}
