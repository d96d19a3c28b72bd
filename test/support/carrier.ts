import { afterEach } from 'vitest';
import type { GatewayOptions } from '../../src/index.js';
import { SimulatedTwilio, type SimulatedTwilioOptions } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { startGateway } from './gateway.js';
import { clock } from './time.js';

const running: SimulatedTwilio[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((twilio) => twilio.close()));
});

/** A gateway and the simulated Twilio whose REST API it uses, each knowing the other. */
export async function startWithCarrier(
  carrier: Omit<SimulatedTwilioOptions, 'authToken' | 'accountSid' | 'dial'> = {},
  options: GatewayOptions = {},
) {
  let target = '';
  const dial = {
    publicUrl: PUBLIC_URL,
    get target() {
      return target;
    },
  };
  const twilio = new SimulatedTwilio({
    clock,
    ...carrier,
    accountSid: ACCOUNT_SID,
    authToken: AUTH_TOKEN,
    dial,
  });
  running.push(twilio);
  const apiUrl = await twilio.listen();
  const started = await startGateway({
    ...options,
    twilio: { apiUrl, from: '+15550009999', ...options.twilio },
  });
  target = started.url;
  return { ...started, twilio, apiUrl };
}
