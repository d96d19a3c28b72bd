import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import { Clip } from './clip.js';

/** Two soft notes, a third apart, then silence: somebody is still there, and nobody's rights are touched. */
const NOTES = [
  { hz: 523, fromMs: 0 },
  { hz: 659, fromMs: 450 },
];
const NOTE_MS = 900;
const LENGTH_MS = 6_000;
/** Of both notes together at most: -27 dBFS. */
const AMPLITUDE = 750;

let made: Clip | undefined;

/** What a caller on hold hears where no music was named. Made once. */
export function holdTone(): Clip {
  made ??= makeHoldTone();
  return made;
}

function makeHoldTone(): Clip {
  const perMs = TWILIO_SAMPLE_RATE / 1_000;
  const pcm = new Int16Array(LENGTH_MS * perMs);
  const length = NOTE_MS * perMs;
  for (const { hz, fromMs } of NOTES) {
    const from = fromMs * perMs;
    for (let n = 0; n < length; n++) {
      // It swells and fades over its whole length: no edge, no click.
      const envelope = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / length);
      const sample = AMPLITUDE * envelope * Math.sin((2 * Math.PI * hz * n) / TWILIO_SAMPLE_RATE);
      pcm[from + n] = Math.round((pcm[from + n] as number) + sample);
    }
  }
  return new Clip(pcm);
}
