/**
 * The agent of Harbour Cycles, a bicycle shop: what it is to do, what it knows and what it can do. Make it yours with your words
 * in `instructions.md`, your pages in `knowledge` and your tools below.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GatewayOptions } from 'trunkline';
import type { AgentTool } from 'trunkline/agent';

/** A tool of your own: the model calls it when it helps the caller. */
const repairStatus: AgentTool = {
  name: 'repair_status',
  description: 'Tells how far a repair is. Ask the caller for the number on the repair ticket first.',
  parameters: {
    type: 'object',
    properties: { ticket: { type: 'string', description: 'The number, digits only' } },
    required: ['ticket'],
    additionalProperties: false,
  },
  run({ ticket }) {
    // Your database or service goes here; the function may be async.
    const repairs = new Map([
      ['1042', 'The bicycle is ready.'],
      ['1043', 'We wait for a new chain, until Thursday.'],
    ]);
    return repairs.get(String(ticket)) ?? 'There is no repair with this number.';
  },
};

/**
 * The gateway gives the model three more tools: `search_knowledge`, `hang_up`, and `transfer_call` if `AGENT_TRANSFER_TO` has
 * numbers that it may transfer to.
 */
export const shop = {
  instructions: readFileSync(new URL('instructions.md', import.meta.url), 'utf8'),
  greeting: 'Say: "Harbour Cycles, good morning. How can I help you?"',
  knowledge: fileURLToPath(new URL('knowledge', import.meta.url)),
  tools: [repairStatus],
} satisfies GatewayOptions['agents'];
