/**
 * Calls somebody, and the agent speaks when they answer.
 * Usage: OPENAI_API_KEY=… TWILIO_ACCOUNT_SID=… TWILIO_AUTH_TOKEN=… NGROK_URL=… npx tsx outbound.ts --to +15551234567 --from +15550001111
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { createGateway, readConfig } from 'trunkline';
import { shop } from './agent.js';

const { values } = parseArgs({ options: { to: { type: 'string' }, from: { type: 'string' } } });
if (values.to === undefined) throw new Error('Expected --to with a number like +15551234567');
const { to, from = process.env.TWILIO_FROM } = values;

const config = readConfig();
const gateway = createGateway({
  ...config,
  agent: config.agent ?? 'openai:gpt-realtime',
  agents: {
    ...shop,
    greeting:
      'Say that this is Harbour Cycles and that the bicycle is ready, and ask whether there are questions.',
    ...config.agents,
  },
});
await gateway.listen();
try {
  const end = once(gateway, 'end');
  const { callId } = await gateway.placeCall({ to, ...(from !== undefined && { from }) });
  console.log(`calling ${to}: call ${callId}`);
  const [, cause] = await end;
  console.log(`call ${callId} ended: ${cause}`);
} finally {
  await gateway.close();
}
