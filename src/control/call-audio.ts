import { randomUUID } from 'node:crypto';
import { DtmfTones } from '../media/dtmf.js';
import { FRAME_MS, FRAME_SAMPLES } from '../media/frame.js';
import type { FrameClock, Ticking } from '../media/frame-clock.js';
import { core } from '../media/thread-core.js';
import type { AudioFilter } from '../phone/audio-filter.js';
import type { TwilioMediaStream } from '../phone/media-stream.js';
import { type Clip, ClipPlayer } from './clip.js';

/** Audio sent further ahead of a phone than this helps against no stall that a call should live with. */
const MOST_AHEAD_MS = 200;
/** One frame under way and one more for a late timer. */
const LEAST_AHEAD_MS = 40;

/** Whose voice is silenced: the caller's, for the other side; the room's, for the caller. */
export const VOICES = ['caller', 'room', 'both'] as const;
export type Voices = (typeof VOICES)[number];

export const PLAY_ENDS = ['finished', 'stopped', 'replaced', 'cleared', 'call-ended'] as const;
/** Why a play ended. */
export type PlayEnd = (typeof PLAY_ENDS)[number];

/** A play that is over. */
export interface PlayResult {
  readonly playId: string;
  readonly end: PlayEnd;
  /** Milliseconds of it that went to the phone. */
  readonly playedMs: number;
}

/** How a clip is played. */
export interface PlayOptions {
  /** How often; Infinity for until it is stopped. */
  readonly loop: number;
  /** Decibels. */
  readonly gain: number;
  /** Whether it is mixed with what the caller hears of the other side, in place of silencing it. */
  readonly over: boolean;
}

interface Play {
  readonly playId: string;
  readonly player: ClipPlayer;
  readonly over: boolean;
}

/**
 * What a call's caller hears besides the other side, or in place of it, and who of the two is silenced. Tones go before a
 * play, a play before the music of a call on hold; what has to wait goes on afterwards. It is paced by what the listener
 * really has waiting, and costs a call nothing while there is none of it.
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
  /** Whether what took the other side's place may still wait at the caller's. */
  private hasTail = false;
  private isClosed = false;

  /**
   * @param leadMs most audio that the caller may have waiting, as of the stream
   * @param onPlayed told of each play once, when it is over
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

  /** The play that is not over. */
  get playing(): string | undefined {
    return this.play?.playId;
  }

  /**
   * Queues keys as tones.
   * @returns milliseconds until the last one's pause is over
   * @throws as {@link DtmfTones.push}
   */
  dial(digits: string, toneMs?: number, pauseMs?: number): number {
    this.tones.push(digits, toneMs, pauseMs);
    this.settle();
    return this.tones.leftMs;
  }

  /** Plays a clip in place of one that is played. */
  start(clip: Clip, { loop, gain, over }: PlayOptions): { playId: string; durationMs: number } {
    this.finish('replaced');
    const play = { playId: randomUUID(), player: new ClipPlayer(clip, loop, gain), over };
    this.play = play;
    this.settle();
    return { playId: play.playId, durationMs: play.player.durationMs };
  }

  /** Ends the play, if there is one. */
  stop(): PlayResult | undefined {
    const result = this.finish('stopped');
    this.settle();
    return result;
  }

  /** The caller hears music, again and again, and neither side the other; other music takes the place of the first. */
  hold(music: Clip): void {
    if (this.music?.clip !== music) this.music = new ClipPlayer(music, Number.POSITIVE_INFINITY);
    this.settle();
  }

  unhold(): void {
    this.music = undefined;
    this.settle();
  }

  /** Silences voices, or none. */
  mute(voices: Voices | undefined): void {
    this.silenced = voices;
    this.settle();
  }

  /** The call is over: frees everything. */
  close(): void {
    this.isClosed = true;
    this.tones.clear();
    this.finish('call-ended');
    this.music = undefined;
    this.settle();
  }

  // What the stream asks:

  get silencesCaller(): boolean {
    return this.music !== undefined || this.silenced === 'caller' || this.silenced === 'both';
  }

  replace(frame: Int16Array): Int16Array | undefined {
    if (this.replacesRoom || this.isTailWaiting()) return undefined;
    const { play } = this;
    if (play === undefined) return frame;
    // It is mixed at the pace of what comes; the clock fills in where nothing does.
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

  // What the clock asks:

  tick(): void {
    const { stream, replacesRoom } = this;
    // A play over the other side begins with it.
    if (!replacesRoom && this.isTailWaiting()) return;
    const aheadMs = replacesRoom ? this.aheadMs : LEAST_AHEAD_MS;
    let count = Math.floor((aheadMs - stream.leadMs) / FRAME_MS);
    for (; count > 0 && this.isActive && stream.isWritable; count--) {
      if (replacesRoom) this.hasTail = true;
      this.take();
      stream.inject(this.frame);
    }
  }

  /** The next 20 ms. */
  private take(): void {
    const { frame, play } = this;
    if (this.tones.isActive) {
      this.tones.read(frame);
      if (!this.tones.isActive) this.settle();
    } else if (play !== undefined) {
      play.player.read(frame);
      if (!play.player.isActive) this.finishAndSettle('finished');
    } else this.music?.read(frame);
  }

  /** Whether there is something to hear besides the other side. */
  private get isActive(): boolean {
    return this.tones.isActive || this.play !== undefined || this.music !== undefined;
  }

  /** Whether nothing is heard of the other side. */
  private get replacesRoom(): boolean {
    if (this.music !== undefined || this.silenced === 'room' || this.silenced === 'both') return true;
    return this.tones.isActive || (this.play !== undefined && !this.play.over);
  }

  /**
   * Whether the caller has yet to hear the end of what took the other side's place. Live audio behind all of that would be
   * late by as much for the rest of the call.
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

  /** In the stream's way, and on the clock, only as long as there is a reason. */
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

/** Memory for the sum of two frames. */
class Mixer {
  private readonly inputs = new Int16Array(2 * FRAME_SAMPLES);
  private readonly one = this.inputs.subarray(0, FRAME_SAMPLES);
  /** To be filled with what is added. */
  readonly other = this.inputs.subarray(FRAME_SAMPLES);
  private readonly sum = new Int16Array(FRAME_SAMPLES);

  mix(frame: Int16Array): Int16Array {
    this.one.set(frame);
    core.mix(this.inputs, BOTH, this.sum);
    return this.sum;
  }
}
