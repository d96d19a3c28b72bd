import type { Clock } from '../../clock.js';
import { DEFAULT_LEAD_MS, FRAME_MS, FRAME_SAMPLES, type FrameSink } from '../../media/frame.js';
import { Playout } from '../../phone/playout.js';
import type { IngressTime } from '../../telemetry/ingress-time.js';
import { BLOCK_MS, type RtcAudioSource } from './rtc-stack.js';

/** Longest wait for late frames before silence replaces them. */
const PATIENCE_MS = 60;
/** Silence is sent every other tick, 20 ms at once: waking the encoder's thread costs more than the encoding. */
const SILENCE_MS = 15;
/** Share of the distance to the clock that is forgotten every 10 ms, so that clocks may differ by 0.5 %. */
const RELAXATION = 1024;

/**
 * Sends the phone's voice into a call without gaps: silence replaces missing frames. A burst leaves at the pace of speech, and
 * of too long a burst the newest part is kept (see {@link Playout}): otherwise a listener's jitter buffer would keep the
 * delay for a minute or so.
 */
export class Microphone implements FrameSink {
  /** Frames received while the microphone was muted. */
  muted = 0;
  isMuted = false;
  private readonly playout: Playout;
  private readonly silence = new Int16Array(FRAME_SAMPLES);
  /** How far the sent audio is ahead of the clock, in microseconds; an integer, so that V8 does not box it. */
  private aheadUs = 0;
  /** Whether frames arrive: silence then waits for late ones. */
  private isFed = false;

  constructor(
    private readonly source: RtcAudioSource,
    clock: Clock,
  ) {
    const line = {
      hasListener: true,
      isWritable: () => true,
      write: (frame: Int16Array) => this.speak(frame),
    };
    this.playout = new Playout(line, { limitMs: DEFAULT_LEAD_MS, isPaced: true }, clock);
  }

  /** Frames of speech dropped in favour of newer ones. */
  get dropped(): number {
    return this.playout.droppedLead;
  }

  write(frame: Int16Array, stamp: IngressTime): void {
    if (this.isMuted) this.muted += 1;
    else this.playout.write(frame, stamp);
  }

  /** Drops frames that wait to be sent. */
  clear(): void {
    this.playout.clear();
  }

  /** Called every 10 ms. */
  tick(): void {
    this.playout.tick();
    this.aheadUs -= BLOCK_MS * 1000;
    if (this.isFed) this.aheadUs -= (this.aheadUs / RELAXATION) | 0;
    const patience = (this.isFed ? PATIENCE_MS : SILENCE_MS) * 1000;
    if (this.aheadUs > -patience) return;
    this.isFed = false;
    while (this.aheadUs < 0) this.send(this.silence);
  }

  private speak(frame: Int16Array): void {
    this.isFed = true;
    this.send(frame);
  }

  private send(samples: Int16Array): void {
    this.source.write(samples);
    this.aheadUs += FRAME_MS * 1000;
  }
}
