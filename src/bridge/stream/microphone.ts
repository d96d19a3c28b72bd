import type { FrameSink } from '../../media/frame.js';
import type { Stamp } from '../../telemetry/stamp.js';
import { type AudioSource, BLOCK_MS, BLOCK_SAMPLES } from './rtc-stack.js';

/** Late frames are waited for this long before silence takes their place. */
const PATIENCE_MS = 60;
/** Silence is sent every other tick, 20 ms at once: waking the encoder's thread costs more than the encoding. */
const SILENCE_MS = 15;
/** Most audio sent ahead of the clock: the 200 ms that wait for a join, and jitter. What a burst brings beyond it is dropped. */
const MAX_AHEAD_MS = 260;
/** Share of the distance to the clock that is forgotten every 10 ms: clocks that differ by 0.5 % never meet a bound. */
const RELAXATION = 1024;

/**
 * The phone's voice on its way into a call, without a gap: frames are sent the moment they come, for WebRTC's own
 * jitter buffer at the far end is the best place to even them out; where none come, silence follows the clock.
 */
export class Microphone implements FrameSink {
  /** Frames that came too early to be sent. */
  dropped = 0;
  /** Frames that came while the microphone was muted. */
  muted = 0;
  isMuted = false;
  private readonly block = new Int16Array(BLOCK_SAMPLES);
  private readonly silence = new Int16Array(BLOCK_SAMPLES);
  /** How far the sent audio is ahead of the clock, in microseconds: an integer, which V8 does not box. */
  private aheadUs = 0;
  /** Whether frames come: silence then waits for the late ones. */
  private isFed = false;

  constructor(private readonly source: AudioSource) {}

  write(frame: Int16Array, _stamp: Stamp): void {
    if (this.isMuted) {
      this.muted += 1;
      return;
    }
    if (this.aheadUs + 2 * BLOCK_MS * 1000 > MAX_AHEAD_MS * 1000) {
      this.dropped += 1;
      return;
    }
    this.isFed = true;
    for (let begin = 0; begin < frame.length; begin += BLOCK_SAMPLES) {
      for (let i = 0; i < BLOCK_SAMPLES; i++) this.block[i] = frame[begin + i] as number;
      this.send(this.block);
    }
  }

  /** Another 10 ms have passed. */
  tick(): void {
    this.aheadUs -= BLOCK_MS * 1000;
    if (this.isFed) this.aheadUs -= (this.aheadUs / RELAXATION) | 0;
    const patience = (this.isFed ? PATIENCE_MS : SILENCE_MS) * 1000;
    if (this.aheadUs > -patience) return;
    this.isFed = false;
    while (this.aheadUs < 0) this.send(this.silence);
  }

  private send(block: Int16Array): void {
    this.source.write(block);
    this.aheadUs += BLOCK_MS * 1000;
  }
}
