import { type Check, failed, passed } from '../check.js';

export const answer: Check = {
  name: 'answer',
  wants: 'Answers a spoken question with audio.',
  async run(examination) {
    const { timeoutMs } = examination.options;
    const answered = await examination.answered();
    if (answered !== undefined)
      return passed(`It answered ${answered.afterMs.toFixed(0)} ms after the question`);
    const ended = examination.lines[0]?.ended;
    if (ended !== undefined) {
      return failed(
        `The connection ended with ${ended.code} before there was an answer`,
        'Keep the connection until the call ends.',
      );
    }
    return failed(
      `No sound came within ${timeoutMs / 1_000} s of the question`,
      'Look at what the agent hears, or allow it more time with --timeout.',
    );
  },
};
