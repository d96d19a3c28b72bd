import { transferRule } from '../bridge/stream/command-rule.js';
import type { AgentCall } from './agent-call.js';
import type { AgentTool } from './tool.js';

/** Lets a model end the call. */
export const hangUpTool: AgentTool = {
  name: 'hang_up',
  description: 'Ends the call. Say goodbye first; the caller hears it before the call ends.',
  parameters: { type: 'object', properties: {}, additionalProperties: false },
  run(_, call: AgentCall) {
    call.hangUp();
    return 'The call ends as soon as the caller has heard you.';
  },
};

/**
 * Lets a model hand the caller over to somebody else.
 * @param numbers those that it may choose from: numbers and SIP addresses; with a trailing `*` all that begin so
 */
export function transferTool(numbers: readonly string[]): AgentTool {
  const isAllowed = transferRule(numbers);
  return {
    name: 'transfer_call',
    description: `Hands the caller over to a person. Say so first. Allowed: ${numbers.join(', ')}`,
    parameters: {
      type: 'object',
      properties: { to: { type: 'string', description: 'A number like +15551234567, or a SIP address' } },
      required: ['to'],
      additionalProperties: false,
    },
    run({ to }, call: AgentCall) {
      if (typeof to !== 'string') return 'Name a number to transfer to.';
      // Else the model would tell the caller of a transfer that the gateway refuses.
      if (!isAllowed(to)) return `This number is not allowed. Allowed: ${numbers.join(', ')}`;
      call.transfer(to);
      return 'The caller is handed over as soon as they have heard you.';
    },
  };
}
