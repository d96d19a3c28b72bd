import { type Check, failed, NotApplicable, passed } from '../check.js';
import { isSameSound } from '../echo.js';
import { pairOf } from '../pair.js';

export const twoCalls: Check = {
  name: 'two-calls',
  wants: 'Keeps two calls at a time apart.',
  async run(examination) {
    const { rate, answer, strays, hasStrays } = await examination.once(pairOf);
    if (answer.length === 0) {
      if (!hasStrays) throw new NotApplicable('The agent answered neither of two calls');
      return mixed('The caller who asked heard nothing, and another caller heard sound');
    }
    // Compared as the same samples, and as the same sound at the rate of each call.
    const isSame = (strayRate: number) =>
      isSameSound({ pcm: answer, rate }, { pcm: strays, rate: strayRate });
    if (hasStrays && (isSame(rate) || isSame(examination.options.rate))) {
      return mixed('A caller who had said nothing heard the answer to another');
    }
    return passed('Only the caller who asked heard the answer');
  },
};

const mixed = (saw: string) =>
  failed(saw, 'Keep what belongs to a call with its connection, and in no global variable.');
