import { type Check, failed, NotApplicable, passed } from '../check.js';
import { interruptionOf } from '../interruption.js';

export const staleAudio: Check = {
  name: 'stale-audio',
  wants: 'Sends no more of an answer after its clear.',
  async run(examination) {
    const { clearAfterMs, staleMs } = await examination.once(interruptionOf);
    if (clearAfterMs === undefined) throw new NotApplicable('It sent no clear');
    if (staleMs === 0) return passed('It was silent after clear while the caller spoke');
    return failed(
      `It sent ${staleMs.toFixed(0)} ms of sound after clear, while the caller still spoke`,
      'Cancel the model and the voice before you send clear, and drop what still arrives from them.',
    );
  },
};
