/**
 * Answers a phone number: each call gets an agent that answers from the pages in `knowledge`.
 * Usage: OPENAI_API_KEY=… TWILIO_ACCOUNT_SID=… TWILIO_AUTH_TOKEN=… NGROK_URL=… npx tsx inbound.ts
 */
import { createGateway, readConfig } from 'trunkline';
import { shop } from './agent.js';

const config = readConfig();
const gateway = createGateway({
  ...config,
  agent: config.agent ?? 'openai:gpt-realtime', // or AGENT=gemini:… with GEMINI_API_KEY
  agents: { ...shop, ...config.agents }, // settings such as AGENT_KNOWLEDGE come first
});
gateway.on('answered', (call) => console.log(`call ${call.callId} from ${call.from}`));
gateway.on('end', (call, cause) => console.log(`call ${call.callId} ended: ${cause}`));
process.once('SIGINT', () => gateway.close()); // lets running calls end

await gateway.listen();
console.log('ready for calls');
