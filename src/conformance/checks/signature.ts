import { DialRefused, type WrongSignature } from '../agent-line.js';
import { type Check, failed, NotApplicable, passed } from '../check.js';
import { SimulatedCall } from '../simulated-call.js';

const WRONG = ['another secret', 'other facts', 'ten minutes old', 'none'] as const;
const HOW: Readonly<Record<WrongSignature, string>> = {
  'another secret': 'signed by another secret',
  'other facts': 'whose facts were changed after signing',
  'ten minutes old': 'signed ten minutes ago',
  none: 'without a signature',
};

export const signature: Check = {
  name: 'signature',
  wants: 'Refuses calls that its secret did not sign, with 401 or 403.',
  async run(examination) {
    if (examination.options.secret === undefined) throw new NotApplicable('No --secret was given');
    await examination.call();
    for (const wrong of WRONG) {
      const call = new SimulatedCall(examination.exchange, '+15550001111');
      const status = await call.dial(wrong).then(
        () => 101,
        (error) => {
          if (error instanceof DialRefused) return error.status;
          throw error;
        },
      );
      await call.end(0);
      if (status === 101) {
        return failed(
          `It accepted a call ${HOW[wrong]}`,
          'Verify the header trunkline-call with a Standard Webhooks library before you accept.',
        );
      }
      if (status !== 401 && status !== 403) {
        return failed(
          `It refused a call ${HOW[wrong]}, but ${status === undefined ? 'without an answer' : `with ${status}`}`,
          'Answer 401: a gateway dials again after most other answers.',
        );
      }
    }
    return passed('It refused four calls with a wrong signature or none');
  },
};
