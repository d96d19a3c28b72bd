import type { CallDecision } from '../calls/decision.js';
import { checkDecision } from '../calls/decision-check.js';
import { GatewayError } from '../errors.js';
import type { DeliveryAnswer } from '../webhooks/sender.js';

/**
 * Parses a router's response: the JSON of a `prepareCall` decision. An empty response (204 or an empty body)
 * means the defaults.
 * @throws GatewayError `GW_ROUTER_STATUS` for a status other than 2xx, `GW_ROUTER_ANSWER` for an invalid
 *   decision
 */
export function decisionOf({ status, body }: DeliveryAnswer): CallDecision {
  if (status < 200 || status > 299) {
    throw new GatewayError(
      'GW_ROUTER_STATUS',
      `Expected a status of 200 to 299 from the router but received ${status}`,
    );
  }
  if (body.trim() === '') return {};
  try {
    return checkDecision(JSON.parse(body));
  } catch (error) {
    // Unparsable text may contain anything and is not shown.
    const message =
      error instanceof TypeError
        ? error.message.replace('for the call', 'from the router')
        : 'Expected JSON from the router but received other text';
    throw new GatewayError('GW_ROUTER_ANSWER', message);
  }
}
