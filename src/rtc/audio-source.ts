import { MediaTrack } from './media-track.js';
import { TELEPHONE_RATE } from './telephone-rate.js';

/** Samples of 20 ms. */
export const PACKET_SAMPLES = TELEPHONE_RATE / 50;

/** Takes 20 ms of a source, in borrowed memory, and their number in it: some may have passed untaken. */
export type FrameTaker = (samples: Int16Array, number: number) => void;

/** Audio that is sent into a call: written in any pieces, taken by the senders of its tracks in frames of 20 ms. */
export class AudioSource {
  private readonly frame = new Int16Array(PACKET_SAMPLES);
  private readonly silence = new Int16Array(PACKET_SAMPLES);
  private filled = 0;
  private frames = 0;
  private takers: readonly SourceTrack[] = [];

  /** Takes a copy of samples at 8 kHz. */
  write(samples: Int16Array): void {
    for (let at = 0; at < samples.length; ) {
      const count = Math.min(samples.length - at, PACKET_SAMPLES - this.filled);
      for (let i = 0; i < count; i++) this.frame[this.filled + i] = samples[at + i] as number;
      at += count;
      this.filled += count;
      if (this.filled < PACKET_SAMPLES) return;
      this.filled = 0;
      this.frames += 1;
      for (const track of this.takers) track.pass(this.frame, this.silence, this.frames);
    }
  }

  createTrack(): MediaTrack {
    return new SourceTrack(this);
  }

  /** @internal */
  attach(track: SourceTrack): void {
    if (!this.takers.includes(track)) this.takers = [...this.takers, track];
  }

  /** @internal */
  detach(track: SourceTrack): void {
    this.takers = this.takers.filter((each) => each !== track);
  }
}

/** A track of a source. */
export class SourceTrack extends MediaTrack {
  private taker: FrameTaker | undefined;

  constructor(readonly source: AudioSource) {
    super();
  }

  /** Sends its audio to a sender, or no longer; a sender has one track at a time. */
  sendTo(taker: FrameTaker | undefined): void {
    this.taker = taker;
    if (taker === undefined || this.readyState === 'ended') this.source.detach(this);
    else this.source.attach(this);
  }

  override stop(): void {
    super.stop();
    this.source.detach(this);
  }

  override clone(): MediaTrack {
    const clone = new SourceTrack(this.source);
    clone.enabled = this.enabled;
    if (this.readyState === 'ended') clone.stop();
    return clone;
  }

  /** @internal */
  pass(frame: Int16Array, silence: Int16Array, number: number): void {
    this.taker?.(this.enabled ? frame : silence, number);
  }
}
