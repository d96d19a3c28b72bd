import type { CallFacts } from '../legs/leg-messages.js';

/** Header of the gateway's request to an agent with the call's facts: one line of ASCII JSON, which the signature covers. */
export const CALL_HEADER = 'trunkline-call';

/** The header's value. */
export function callHeaderOf(facts: CallFacts): string {
  return JSON.stringify(facts).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
