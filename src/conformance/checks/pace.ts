import { type Check, failed, NotApplicable, passed } from '../check.js';
import { paceOf } from '../pace.js';

/** Gaps in one answer, and their share of it, that a network alone does not make. */
const MOST_GAPS = 2;
const MOST_SHARE = 0.05;

export const pace: Check = {
  name: 'pace',
  wants: 'Sends audio at least as fast as it is heard.',
  needsAnswer: true,
  run({ utterances, options }) {
    if (utterances.length === 0) throw new NotApplicable('The agent did not answer');
    let ahead = 0;
    for (const { line, from, to } of utterances) {
      const found = paceOf(line.pieces.slice(from, to), options.rate);
      ahead = Math.max(ahead, found.aheadMs);
      if (found.gaps > MOST_GAPS && found.gapMs > MOST_SHARE * found.audioMs) {
        const as = found.steadyRate === undefined ? '' : `, as if its rate were ${found.steadyRate}`;
        return failed(
          `The caller heard ${found.gaps} gaps within words, ${found.gapMs.toFixed(0)} ms in ${found.audioMs.toFixed(0)} ms of audio${as}`,
          'Send audio as soon as you have it: the gateway plays it at the pace of speech.',
        );
      }
    }
    return passed(`Its audio came without gaps, up to ${ahead.toFixed(0)} ms ahead`);
  },
};
