import twilioSdk from 'twilio';
import { afterEach, describe, expect, it } from 'vitest';
import { AudioSource, type Callee, type SimulatedPhone, SimulatedTwilio } from '../../src/simulator/index.js';
import { ReferenceGateway } from '../support/reference-gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

const clock = virtualTime();

const from = '+14155550123';
const to = '+12065550100';
let gateway: ReferenceGateway;
let twilio: SimulatedTwilio;
let client: ReturnType<typeof twilioSdk>;

async function setUp(callee: Callee = { does: 'answer' }): Promise<void> {
  gateway = await ReferenceGateway.listen();
  twilio = new SimulatedTwilio({ authToken: '12345', callee, clock });
  await twilio.listen();
  client = twilioSdk(twilio.accountSid, '12345');
  // What works: the domain's base URL is a plain property, and its requests go wherever it points.
  client.api.baseUrl = twilio.url;
}

afterEach(async () => {
  await twilio.close();
  await gateway.close();
});

const twiml = () => `<Response><Connect><Stream url="${gateway.streamUrl}"/></Connect></Response>`;
const place = (more: Record<string, unknown> = {}) =>
  client.calls.create({
    to,
    from,
    twiml: twiml(),
    statusCallback: `${gateway.publicUrl}/status`,
    statusCallbackEvent: ['initiated', 'ringing', 'answered', 'completed'],
    ...more,
  });
const statuses = () =>
  gateway.requests
    .filter(({ path }) => path === '/status')
    .map(({ form }) => `${form.SequenceNumber} ${form.CallStatus}`);
const final = (status: string) =>
  eventually(`the status ${status}`, () => statuses().at(-1)?.endsWith(status));
const allOver = () => eventually('the end of all calls', () => twilio.liveCalls === 0);

describe('an outbound call by Twilio’s own SDK', () => {
  it('rings, is answered, streams, and ends by REST', async () => {
    await setUp({ does: 'answer', afterMs: 80, audio: AudioSource.speech(), record: true });
    const answered = new Promise<SimulatedPhone>((resolve) => {
      twilio.once('answered', resolve);
    });
    const call = await place();
    expect(call).toMatchObject({ status: 'queued', direction: 'outbound-api', to, from, duration: null });
    expect(call.sid).toMatch(/^CA[0-9a-f]{32}$/);
    expect(call.dateCreated).toBeInstanceOf(Date);
    const phone = await answered;
    expect(twilio.phone(call.sid)).toBe(phone);
    await phone.started;
    await sleep(1200);
    expect(await client.calls(call.sid).fetch()).toMatchObject({ status: 'in-progress' });
    await client.calls(call.sid).update({ status: 'completed' });
    const outcome = await phone.ended;
    expect(outcome.streamEnd).toMatchObject({ by: 'stop' });
    expect(gateway.messages.map((message) => message.event)).toEqual(['connected', 'start', 'stop']);
    expect(phone.report()?.proof?.received.correlation).toBeGreaterThan(0.99);
    await final('completed');
    expect(statuses()).toEqual(['0 initiated', '1 ringing', '2 in-progress', '3 completed']);
    expect(gateway.requests.at(-1)?.form).toMatchObject({
      CallSid: call.sid,
      Direction: 'outbound-api',
      CallDuration: '2',
      From: from,
      To: to,
    });
    await allOver();
    expect(await client.calls(call.sid).fetch()).toMatchObject({ status: 'completed', duration: '2' });
    await expect(client.calls(call.sid).update({ status: 'completed' })).rejects.toMatchObject({
      code: 21220,
    });
  });

  it('ends when the callee hangs up', async () => {
    await setUp({ does: 'answer', talkMs: 200 });
    await place({ statusCallbackEvent: undefined });
    await final('completed');
    expect(statuses()).toEqual(['0 completed']);
  });

  it('asks a URL for TwiML', async () => {
    await setUp({ does: 'answer', talkMs: 200 });
    await place({ twiml: undefined, url: gateway.voiceUrl });
    await final('completed');
    expect(gateway.requests.find(({ path }) => path === '/voice')?.form).toMatchObject({
      Direction: 'outbound-api',
      CallStatus: 'in-progress',
    });
    expect(gateway.messages.map((message) => message.event)).toContain('start');
  });

  it('accepts new TwiML while it runs', async () => {
    await setUp();
    const answered = new Promise<SimulatedPhone>((resolve) => {
      twilio.once('answered', resolve);
    });
    const call = await place();
    const phone = await answered;
    await phone.started;
    await client.calls(call.sid).update({ twiml: '<Response><Say>Goodbye</Say></Response>' });
    expect(await phone.ended).toMatchObject({ said: ['Goodbye'], streamEnd: { by: 'stop' } });
    await expect(client.calls('CA0').update({ twiml: '<Response/>' })).rejects.toMatchObject({ code: 20404 });
  });
});

describe('a call nobody answers', () => {
  it.each([
    [{ does: 'busy' }, ['0 initiated', '1 busy']],
    [{ does: 'failed' }, ['0 initiated', '1 failed']],
    [{ does: 'no-answer' }, ['0 initiated', '1 ringing', '2 no-answer']],
    [{ does: 'canceled' }, ['0 initiated', '1 ringing', '2 canceled']],
    [{ does: 'answer', afterMs: 9000 }, ['0 initiated', '1 ringing', '2 no-answer']],
  ] as const)('%o', async (callee, expected) => {
    await setUp(callee);
    const call = await place({ timeout: 1 });
    await final(expected.at(-1) ?? '');
    expect(statuses()).toEqual(expected);
    expect(gateway.messages).toEqual([]);
    await allOver();
    expect((await client.calls(call.sid).fetch()).duration).toBe('0');
  });

  it('is cancelled while it rings', async () => {
    await setUp({ does: 'no-answer' });
    const call = await place();
    await eventually('ringing', () => statuses().includes('1 ringing'));
    await client.calls(call.sid).update({ status: 'canceled' });
    await final('canceled');
  });
});

describe('inbound calls', () => {
  it('are known to the REST API, which can end them', async () => {
    await setUp();
    const phone = twilio.placeCall({ webhookUrl: gateway.voiceUrl, from: to, to: from });
    await phone.started;
    expect(await client.calls(phone.callSid).fetch()).toMatchObject({
      status: 'in-progress',
      direction: 'inbound',
    });
    await client.calls(phone.callSid).update({ status: 'completed' });
    expect(await phone.ended).toMatchObject({ status: 'completed' });
  });
});

describe('refusals, by Twilio’s codes', () => {
  it('of invalid parameters', async () => {
    await setUp();
    for (const [more, code] of [
      [{ to: '' }, 21201],
      [{ to: '123' }, 21211],
      [{ from: '' }, 21213],
      [{ from: 'me' }, 21212],
      [{ twiml: undefined, url: 'nonsense' }, 21205],
      [{ twiml: `<Response>${' '.repeat(4000)}</Response>` }, 21605],
      [{ statusCallback: 'nonsense' }, 21609],
      [{ statusCallbackEvent: ['answred'] }, 21626],
      [{ timeout: 601 }, 20001],
    ] as const) {
      await expect(place(more)).rejects.toMatchObject({
        status: 400,
        code,
        moreInfo: `https://www.twilio.com/docs/errors/${code}`,
      });
    }
    expect(twilio.liveCalls).toBe(0);
  });

  it('of wrong credentials', async () => {
    await setUp();
    client = twilioSdk(twilio.accountSid, 'wrong');
    client.api.baseUrl = twilio.url;
    await expect(place()).rejects.toMatchObject({ status: 401, code: 20003 });
    const response = await fetch(`${twilio.url}/2010-04-01/Accounts/${twilio.accountSid}/Calls.json`);
    expect([response.status, await response.json()]).toMatchObject([401, { code: 20003, status: 401 }]);
  });
});

describe('close', () => {
  it('ends calls that ring, talk or wait for a response', async () => {
    await setUp({ does: 'no-answer' });
    await place();
    const phone = twilio.placeCall({ webhookUrl: gateway.voiceUrl, from: to, to: from });
    await phone.started;
    const hanging = twilio.placeCall({ webhookUrl: gateway.voiceUrl, from: to, to: from });
    await clock.byHand(() => twilio.close());
    expect(clock.pending).toBe(0);
    expect(twilio.liveCalls).toBe(0);
    expect([phone.status, hanging.status]).toEqual(['completed', 'canceled']);
  });
});
