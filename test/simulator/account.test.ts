import twilioSdk from 'twilio';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SimulatedTwilio } from '../../src/simulator/index.js';

let twilio: SimulatedTwilio;
beforeEach(async () => {
  const numbers = ['+15550000001', '+15550000002', '+15550000003'].map((phoneNumber) => ({
    phoneNumber,
    voiceUrl: 'https://a.example/voice',
  }));
  twilio = new SimulatedTwilio({ authToken: '12345', numbers });
  await twilio.listen();
});
afterEach(() => twilio.close());

function clientWith(token: string) {
  const client = twilioSdk(twilio.accountSid, token);
  client.api.baseUrl = twilio.url;
  return client;
}

it('Twilio’s own SDK reads the account and pages through its numbers', async () => {
  const client = clientWith('12345');
  const account = await client.api.v2010.accounts(twilio.accountSid).fetch();
  expect(account).toMatchObject({ sid: twilio.accountSid, status: 'active', type: 'Full' });
  expect(account.dateCreated).toBeInstanceOf(Date);
  const numbers = await client.incomingPhoneNumbers.list({ pageSize: 2 });
  expect(numbers.map(({ phoneNumber }) => phoneNumber)).toEqual([
    '+15550000001',
    '+15550000002',
    '+15550000003',
  ]);
  expect(numbers[0]).toMatchObject({
    voiceUrl: 'https://a.example/voice',
    voiceMethod: 'POST',
    trunkSid: null,
  });
  expect(new Set(numbers.map(({ sid }) => sid)).size).toBe(3);
  expect(numbers[0]?.sid).toMatch(/^PN[0-9a-f]{32}$/);
  expect(await client.incomingPhoneNumbers.list({ limit: 1 })).toHaveLength(1);
});

it('rejects another token, writes to read-only resources, and unknown resources', async () => {
  const fetched = (token: string) => clientWith(token).api.v2010.accounts(twilio.accountSid).fetch();
  await expect(fetched('54321')).rejects.toMatchObject({ status: 401, code: 20003 });
  const client = clientWith('12345');
  await expect(client.incomingPhoneNumbers.create({ phoneNumber: '+15550000004' })).rejects.toMatchObject({
    status: 405,
  });
  await expect(client.incomingPhoneNumbers(`PN${'0'.repeat(32)}`).fetch()).rejects.toMatchObject({
    status: 404,
  });
});
