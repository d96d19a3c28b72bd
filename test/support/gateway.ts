import { afterEach } from 'vitest';
import { createGateway, type Gateway, type GatewayOptions } from '../../src/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { clock } from './time.js';

const running: Gateway[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((gateway) => gateway.close()));
});

/** A gateway on a free port, closed after the test. */
export async function startGateway(
  options: GatewayOptions = {},
): Promise<{ gateway: Gateway; url: string; operationsUrl: string }> {
  const gateway = createGateway({
    // The phones are in this process too: its load is not the gateway's.
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    port: 0,
    publicUrl: PUBLIC_URL,
    logLevel: 'silent',
    clock,
    ...options,
    twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN], ...options.twilio },
  });
  running.push(gateway);
  const { url, operationsUrl } = await gateway.listen();
  return { gateway, url, operationsUrl };
}
