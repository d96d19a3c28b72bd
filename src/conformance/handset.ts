import type { ProgramLeg } from '../bridge/bridge.js';
import type { Clock, Timer } from '../clock.js';
import { FRAME_MS, FRAME_SAMPLES } from '../media/frame.js';
import type { FrameClock } from '../media/frame-clock.js';

/** How far ahead of the listener audio is sent, as by a gateway. */
const AHEAD_MS = 120;
const SILENCE = new Int16Array(FRAME_SAMPLES);

/** The phone at the other end of an agent's leg: it says something every 20 ms and plays what it hears. */
export class Handset implements ProgramLeg {
  readonly aheadMs = AHEAD_MS;
  /** Receives a frame of the caller's voice every 20 ms, silence included. */
  onVoice: (frame: Int16Array) => void = () => {};
  isAnswered = false;
  /** The agent hung up, or transferred the caller. */
  onHangUp: () => void = () => {};
  private voice: Int16Array = SILENCE;
  private said = 0;
  private finish = () => {};
  /** Monotonic milliseconds at which everything received will have been played. */
  private playsUntil = 0;
  private readonly marks = new Map<() => void, Timer>();

  constructor(
    private readonly callId: string,
    private readonly clock: Clock,
    private readonly frameClock: FrameClock,
  ) {
    frameClock.join(this);
  }

  get phones(): string[] {
    return this.isAnswered ? [this.callId] : [];
  }

  /** Says something once. Resolves with its last frame. @param pcm at 48 kHz */
  say(pcm: Int16Array): Promise<void> {
    this.finish();
    this.voice = pcm;
    this.said = 0;
    return new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  tick(): void {
    const { said, voice } = this;
    const frame = voice.subarray(said, said + FRAME_SAMPLES);
    this.said += FRAME_SAMPLES;
    this.onVoice(frame.length === FRAME_SAMPLES ? frame : SILENCE);
    if (this.said + FRAME_SAMPLES > voice.length) this.finish();
  }

  /** Milliseconds that are still to be played. */
  get leadMs(): number {
    return Math.max(0, this.playsUntil - this.clock.now());
  }

  write(): void {
    this.playsUntil = Math.max(this.playsUntil, this.clock.now()) + FRAME_MS;
  }

  endTalkspurt(): void {}

  clear(): number {
    const { leadMs, clock } = this;
    this.playsUntil = 0;
    for (const [cleared, timer] of this.marks) {
      clock.cancel(timer);
      cleared();
    }
    this.marks.clear();
    return leadMs;
  }

  mark(done: (place: 'heard' | 'cleared') => void): void {
    if (this.leadMs === 0) {
      done('heard');
      return;
    }
    const cleared = () => done('cleared');
    const heard = () => {
      this.marks.delete(cleared);
      done('heard');
    };
    this.marks.set(cleared, this.clock.after(this.leadMs, heard));
  }

  hangUp(): number {
    this.onHangUp();
    return this.phones.length;
  }

  transfer(): number {
    return this.hangUp();
  }

  close(): void {}

  /** Puts it down. */
  putDown(): void {
    this.clear();
    this.finish();
    this.frameClock.leave(this);
  }
}
