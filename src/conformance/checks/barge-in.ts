import { type Check, failed, NotApplicable, passed } from '../check.js';
import { interruptionOf } from '../interruption.js';

/** Longest wait for `clear` from the caller's first word on; the connection's own delay comes on top. */
const LATEST_MS = 300;
/** Audio that is on its way to the phone is heard without a clear. */
const LEAD_MS = 200;

export const bargeIn: Check = {
  name: 'barge-in',
  wants: `Sends clear within ${LATEST_MS} ms when the caller interrupts it.`,
  async run(examination) {
    const { clearAfterMs, soundAfterMs, delayMs } = await examination.once(interruptionOf);
    const latest = LATEST_MS + delayMs;
    if (clearAfterMs === undefined) {
      if (soundAfterMs <= latest + LEAD_MS) {
        throw new NotApplicable('The answer was over before there was anything to clear');
      }
      return failed(
        `It kept speaking for ${soundAfterMs.toFixed(0)} ms after the caller interrupted, and sent no clear`,
        'Send {"type":"clear"} as soon as you hear the caller, and stop sending audio.',
      );
    }
    const saw = `It sent clear ${clearAfterMs.toFixed(0)} ms after the caller’s first word`;
    if (clearAfterMs <= latest) return passed(saw);
    return failed(saw, 'Detect speech from the audio itself, and do not wait for a transcript.');
  },
};
