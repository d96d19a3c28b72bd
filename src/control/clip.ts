import { TWILIO_SAMPLE_RATE } from '../media/g711.js';

/** A sound to be played to a phone, as a phone has it: 8 kHz. Never changed once it is made, so that many may play it. */
export class Clip {
  /** @param pcm 8 kHz mono, at least a sample */
  constructor(readonly pcm: Int16Array) {}

  get durationMs(): number {
    return (this.pcm.length * 1_000) / TWILIO_SAMPLE_RATE;
  }
}
