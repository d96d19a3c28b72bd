import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import { Clip } from './clip.js';

/** Two soft notes, a third apart, then silence: free of anybody's rights. */
const NOTES = [
  { hz: 523, fromMs: 0 },
  { hz: 659, fromMs: 450 },
];
const NOTE_MS = 900;
const LENGTH_MS = 6_000;
/** Peak of both notes together: -27 dBFS. */
const AMPLITUDE = 750;

let made: Clip | undefined;

/** The default music on hold. Made once. */
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
      // Fading over the whole note avoids clicks.
      const envelope = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / length);
      const sample = AMPLITUDE * envelope * Math.sin((2 * Math.PI * hz * n) / TWILIO_SAMPLE_RATE);
      pcm[from + n] = Math.round((pcm[from + n] as number) + sample);
    }
  }
  return new Clip(pcm);
}
