import { type Check, failed, NotApplicable, passed } from '../check.js';
import { isSameSound } from '../sound.js';

/** How much of the answer is enough to know it again. */
const ENOUGH_MS = 3_000;
const END_MS = 1_000;

/** Two callers at a time. */
export const twoCalls: Check = {
  name: 'two-calls',
  wants: 'Keeps two calls at a time apart.',
  async run(examination) {
    const { options, speech } = examination;
    const [asking, silent] = [
      await examination.place('+15550001111'),
      await examination.place('+15550002222'),
    ];
    try {
      await Promise.all([asking.calm(), silent.calm()]);
      const before = silent.line.pieces.length;
      const answer = await asking.answerTo(speech.question, options.timeoutMs);
      if (answer !== undefined) await asking.until(() => !asking.line.isSpeaking, ENOUGH_MS);
      const strays = silent.line.pieces.slice(before);
      const hasStrays = strays.some(({ hasSound }) => hasSound);
      if (answer === undefined && !hasStrays) {
        throw new NotApplicable('The agent answered neither of two calls');
      }
      if (answer === undefined)
        return mixed('The caller who asked heard nothing, and another caller heard sound');
      const said = asking.line.pieces.slice(answer.from);
      const [own, stray] = [asking.line.audio(said), silent.line.audio(strays)];
      if (hasStrays && isSameSound(own, stray, options.rate)) {
        return mixed('A caller who had said nothing heard the answer to another');
      }
      return passed('Only the caller who asked heard the answer');
    } finally {
      await Promise.all([asking.end(END_MS), silent.end(END_MS)]);
    }
  },
};

const mixed = (saw: string) =>
  failed(saw, 'Keep what belongs to a call with its connection, and in no global variable.');
