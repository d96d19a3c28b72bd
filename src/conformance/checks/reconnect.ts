import { DialRefused } from '../agent-line.js';
import { type Check, failed, NotApplicable, passed } from '../check.js';

const SETTLED_MS = 500;

export const reconnect: Check = {
  name: 'reconnect',
  wants: 'Takes a second connection of the same call after the first was lost, and continues it.',
  needsAnswer: true,
  async run(examination) {
    // What never answers at all is not asked again.
    if (examination.utterances.length === 0) throw new NotApplicable('The agent did not answer before');
    const { options, speech } = examination;
    const call = await examination.call();
    try {
      await call.reconnect();
    } catch (error) {
      if (!(error instanceof DialRefused)) throw error;
      return failed(
        `It refused the second connection: ${error.message}`,
        'Accept a call id again whose connection was lost: trunkline-call counts the connections.',
      );
    }
    // The caller still hears what was said before; nothing of that comes over this connection.
    await call.until(() => false, SETTLED_MS);
    const answer = await call.answerTo(speech.question, options.timeoutMs);
    if (answer !== undefined) return passed('It went on after a lost connection');
    if (call.isHungUp) throw new NotApplicable('The agent hung up before');
    return failed(
      'It took the second connection, and did not answer on it',
      'Start to listen at ready: a call that is resumed gets no joined, since ready lists its phones.',
    );
  },
};
