import type { Clock } from '../clock.js';
import { FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import type { FrameClock, Ticking } from '../media/frame-clock.js';
import { NO_INGRESS_TIME } from '../telemetry/ingress-time.js';
import type { PhoneLine } from './bridge.js';

/** What a caller hears while nobody else is audible: one of two sounds, or another that fills 20 ms at 48 kHz at a time. */
export type Filling = 'ringback' | 'comfort-noise' | { read(frame: Int16Array): void };

/** Ringback of the United States: two tones, two seconds of six. */
const RING_HZ = [440, 480] as const;
const RING_ON_FRAMES = 2_000 / FRAME_MS;
const RING_FRAMES = 6_000 / FRAME_MS;
/** Peak of each of the tones: both together are at -20 dBFS. */
const RING_PEAK = 2_320;
/** Common period of both tones, in samples. */
const RING_PERIOD = SAMPLE_RATE / 40;
/** Peak of white noise up to 24 kHz, of which a phone hears about -60 dBFS. */
const NOISE_PEAK = 110;
/** After a longer stall, missed frames are skipped. */
const MAX_BEHIND_MS = 100;
/** Pause after a frame of another participant. */
const PAUSE_MS = 3 * FRAME_MS;

let ringback: Int16Array | undefined;

/** Plays something to a phone while nobody in its call is audible. */
export class Filler implements Ticking {
  private filling: Filling | undefined;
  private nextAt = 0;
  private pausedUntil = 0;
  private frames = 0;
  private noise = 0x2545f491;
  private readonly frame = new Int16Array(FRAME_SAMPLES);

  constructor(
    private readonly line: PhoneLine,
    private readonly clock: Clock,
    private readonly frameClock: FrameClock,
  ) {}

  /** Starts playing; `undefined` stops. */
  play(filling: Filling | undefined): void {
    if (filling === this.filling) return;
    if (this.filling === undefined) this.frameClock.join(this);
    this.filling = filling;
    this.frames = 0;
    this.nextAt = this.clock.now();
    if (filling === undefined) this.frameClock.leave(this);
  }

  /** Another participant is audible: the filler pauses at once, for a moment. */
  pause(): void {
    if (this.filling !== undefined) this.pausedUntil = this.clock.now() + PAUSE_MS;
  }

  tick(): void {
    const now = this.clock.now();
    const isPaused = now < this.pausedUntil || !this.line.isLive;
    if (isPaused || now - this.nextAt > MAX_BEHIND_MS) this.nextAt = now;
    if (isPaused) return;
    for (; this.nextAt <= now; this.nextAt += FRAME_MS) {
      if (this.filling === 'ringback') this.ring();
      else if (this.filling === 'comfort-noise') this.hiss();
      else this.filling?.read(this.frame);
      this.line.write(this.frame, NO_INGRESS_TIME);
      this.frames += 1;
    }
  }

  private ring(): void {
    if (this.frames % RING_FRAMES >= RING_ON_FRAMES) {
      this.frame.fill(0);
      return;
    }
    ringback ??= makeRingback();
    const begin = (this.frames * FRAME_SAMPLES) % RING_PERIOD;
    for (let i = 0; i < FRAME_SAMPLES; i++) this.frame[i] = ringback[(begin + i) % RING_PERIOD] as number;
  }

  private hiss(): void {
    for (let i = 0; i < FRAME_SAMPLES; i++) {
      this.noise ^= this.noise << 13;
      this.noise ^= this.noise >>> 17;
      this.noise ^= this.noise << 5;
      this.frame[i] = (this.noise >> 16) * (NOISE_PEAK / 32_768);
    }
  }
}

function makeRingback(): Int16Array {
  return Int16Array.from({ length: RING_PERIOD }, (_, i) =>
    RING_HZ.reduce((sum, hz) => sum + RING_PEAK * Math.sin((2 * Math.PI * hz * i) / SAMPLE_RATE), 0),
  );
}
