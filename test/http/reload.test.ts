import { afterEach, expect, it } from 'vitest';
import type { GatewayOptions } from '../../src/index.js';
import { SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { Receiver, SECRET } from '../support/receiver.js';
import { eventually } from '../support/time.js';

const OTHER_SECRET = `whsec_${Buffer.from('another 24 bytes, hush!!').toString('base64')}`;
const NEW_TOKEN = 'a newer auth token';

const carriers: SimulatedTwilio[] = [];
afterEach(async () => {
  for (const carrier of carriers.splice(0)) await carrier.close();
});

it('signs router questions and events with the new secret', async () => {
  const router = await Receiver.start(() => ({ body: {} }), OTHER_SECRET);
  const events = await Receiver.start(undefined, OTHER_SECRET);
  const signedBy = (secret: string): GatewayOptions => ({
    router: { url: router.url, secret },
    eventWebhooks: { url: events.url, secret },
    twilio: { authTokens: [AUTH_TOKEN] },
  });
  const { gateway, url } = await startGateway(signedBy(SECRET));
  const call = async () => (await postForm(url, '/twilio/voice', voiceParameters())).text();
  const signed = () => [router, events].map(({ received }) => received.at(-1)?.isSigned);
  await call();
  await eventually('an event', () => events.received.length === 1);
  expect(signed()).toEqual([false, false]);
  await gateway.reload(signedBy(OTHER_SECRET));
  await call();
  await eventually('another', () => events.received.length === 2);
  expect(signed()).toEqual([true, true]);
});

it('places calls with the first of the new tokens', async () => {
  const carrier = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: NEW_TOKEN });
  carriers.push(carrier);
  const apiUrl = await carrier.listen();
  const { gateway } = await startGateway({ twilio: { apiUrl, from: '+15550009999' } });
  const place = () => gateway.placeCall({ to: '+15552223333' });
  await expect(place()).rejects.toMatchObject({ code: 'GW_TWILIO_REFUSED' });
  await gateway.reload({ twilio: { authTokens: [NEW_TOKEN, AUTH_TOKEN] } });
  expect(await place()).toMatchObject({ callSid: expect.stringMatching(/^CA/) });
});

it('changes nothing if any new setting is invalid', async () => {
  const { gateway, url } = await startGateway({ controlApiKey: 'a key of sixteen letters' });
  const tell = async () => (await postForm(url, '/twilio/voice', voiceParameters())).status;
  const wrong: [GatewayOptions, object][] = [
    [{ twilio: { authTokens: [] } }, { code: 'GW_AUTH_TOKEN_MISSING' }],
    [
      { twilio: { authTokens: [NEW_TOKEN] }, router: { url: PUBLIC_URL, secret: 'short' } },
      { message: 'Expected a secret of 16 bytes or more for router.secret but received none or another' },
    ],
    [
      { twilio: { authTokens: [NEW_TOKEN] }, eventWebhooks: { url: PUBLIC_URL, secret: [] } },
      {
        message:
          'Expected a secret of 16 bytes or more for eventWebhooks.secret but received none or another',
      },
    ],
    [{ twilio: { authTokens: [NEW_TOKEN] }, leadMs: 1 }, { name: 'TypeError' }],
  ];
  for (const [options, error] of wrong) await expect(gateway.reload(options)).rejects.toMatchObject(error);
  expect(await tell()).toBe(200);
  // Signatures are still checked.
  await expect(gateway.reload({ twilio: { validate: false } })).rejects.toMatchObject({
    code: 'GW_AUTH_TOKEN_MISSING',
  });
  await gateway.reload({ twilio: { validate: false, authTokens: [NEW_TOKEN] } });
  expect(await tell()).toBe(403);
  const answer = await fetch(`${url}/v1/calls`, {
    headers: { authorization: 'Bearer a key of sixteen letters' },
  });
  expect(answer.status).toBe(404);
});
