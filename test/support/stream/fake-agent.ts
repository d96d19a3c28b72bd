import { FRAME_SAMPLES } from '../../../src/media/frame.js';
import type { HeardEvent } from './agent.js';
import type { FakeMediaHost } from './fake-media-host.js';
import { amplitudeOf, levelOf } from './recording.js';

const SILENCE = new Int16Array(FRAME_SAMPLES);

/** Gives the next 20 ms to be said; `index` counts them from the beginning. */
export type FrameMaker = (index: number) => Int16Array;

/** Another participant of a call with fake media: the counterpart of `Agent` without WebRTC. */
export class FakeAgent {
  /** Custom events of the call, its own among them. */
  readonly events: HeardEvent[] = [];
  isIn = true;
  /** Its current audio. */
  frame: Int16Array = SILENCE;
  private make: FrameMaker = () => SILENCE;
  private index = 0;
  private isMuted = false;

  constructor(
    private readonly host: FakeMediaHost,
    readonly cid: string,
    readonly userId: string,
  ) {}

  /** Says a sum of tones from now on, each with this peak. */
  play(hertz: readonly number[], amplitude: number): void {
    const frame = new Int16Array(FRAME_SAMPLES);
    this.playFrames((index) => {
      for (let i = 0; i < FRAME_SAMPLES; i++) {
        const seconds = (index * FRAME_SAMPLES + i) / 48_000;
        const sum = hertz.reduce((total, hz) => total + Math.sin(2 * Math.PI * hz * seconds), 0);
        frame[i] = Math.round(amplitude * sum);
      }
      return frame;
    });
  }

  playFrames(make: FrameMaker): void {
    this.make = make;
  }

  mute(isMuted: boolean): void {
    this.isMuted = isMuted;
  }

  /** Another 20 ms have passed. */
  speak(): void {
    const frame = this.make(this.index++);
    this.frame = this.isMuted ? SILENCE : frame;
  }

  /** How loud a frequency is heard: of the loudest phone, or of one in particular. */
  heard(hz: number, { from, seconds = 0.5 }: { from?: string; seconds?: number } = {}): number {
    return this.loudest(from, seconds, (samples) => amplitudeOf(hz, samples));
  }

  /** Root mean square of the audio it hears, in the same way. */
  level({ from, seconds = 0.5 }: { from?: string; seconds?: number } = {}): number {
    return this.loudest(from, seconds, levelOf);
  }

  /** Sends a custom event to everybody in the call. */
  sendEvent(custom: Record<string, unknown>): void {
    this.host.told(this.cid, { type: 'custom', custom, user: { id: this.userId } });
  }

  remoteUserIds(): string[] {
    return this.isIn ? this.host.phonesIn(this.cid).map(({ userId }) => userId) : [];
  }

  leave(): void {
    if (!this.isIn) return;
    this.isIn = false;
    this.host.count(this.cid);
  }

  private loudest(from: string | undefined, seconds: number, measure: (samples: Int16Array) => number) {
    const phones = this.isIn ? this.host.phonesIn(this.cid) : [];
    return phones
      .filter(({ userId }) => from === undefined || userId === from)
      .reduce((loudest, { recording }) => Math.max(loudest, measure(recording.latest(seconds))), 0);
  }
}
