import { DialRefused } from '../agent-line.js';
import { type Check, failed, passed } from '../check.js';

export const upgrade: Check = {
  name: 'upgrade',
  wants: 'Accepts a call within 2 s: with the subprotocol trunkline.leg or none, and without compression.',
  async run(examination) {
    try {
      const { line } = await examination.call();
      const protocol = line.headers['sec-websocket-protocol'];
      return passed(
        `It accepted the call with ${protocol === undefined ? 'no subprotocol' : `the subprotocol ${protocol}`}`,
      );
    } catch (error) {
      if (!(error instanceof DialRefused)) throw error;
      return failed(error.message, mendOf(error));
    }
  },
};

function mendOf({ status, message }: DialRefused): string {
  if (status === 401 || status === 403) return 'Give the same secret to the agent and to --secret.';
  if (status !== undefined) return 'Answer the upgrade of this path with 101.';
  if (/subprotocol/i.test(message))
    return 'Answer with the subprotocol trunkline.leg, which was offered, or with none.';
  if (/extension/i.test(message)) return 'Switch compression off: no extension was offered.';
  return 'Start the agent, and make its address reachable from here.';
}
