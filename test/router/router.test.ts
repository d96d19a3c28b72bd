import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Bridge, CallDecision, GatewayOptions, JoinRequest, PhoneLine } from '../../src/index.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { freePort } from '../support/port.js';
import { Receiver, type Reply, SECRET } from '../support/receiver.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

/** A bridge that only records who joins; its legs discard all audio. */
class NotingBridge implements Bridge {
  readonly name = 'noting';
  readonly joined: JoinRequest[] = [];
  readonly lines: PhoneLine[] = [];
  constructor(readonly continuesCalls = false) {}
  async join(request: JoinRequest, line: PhoneLine) {
    this.joined.push(request);
    this.lines.push(line);
    return { write() {}, dtmf() {}, close() {} };
  }
  async close() {}
}

async function routed(reply: (nth: number) => Reply, options: GatewayOptions = {}, more: object = {}) {
  const router = await Receiver.start((_, nth) => reply(nth));
  const bridge = new NotingBridge(options.bridge?.continuesCalls);
  const lines: string[] = [];
  const { gateway, url } = await startGateway({
    log: pino({}, { write: (line) => lines.push(line) }),
    ...options,
    bridge,
    router: { url: router.url, secret: SECRET, timeoutMs: 300, ...more },
  });
  const ask = async (parameters: Record<string, string> = {}) =>
    (await postForm(url, '/twilio/voice', voiceParameters(parameters))).text();
  const metrics = async () => (await fetch(`${url}/metrics`)).text();
  return { router, bridge, gateway, url, ask, metrics, log: () => lines.join('') };
}

/** Five times as long when escaped. */
const LONG = { say: '&'.repeat(3_000) };

const BUSY = '<Response><Reject reason="busy"/></Response>';

describe('the request to the router', () => {
  it('contains everything Twilio sent, signed, as JSON', async () => {
    const { router, ask, gateway } = await routed(() => ({ status: 204 }));
    const twiml = await ask({
      CallerName: 'ADA',
      CallerCity: 'LONDON',
      CallerState: '',
      CalledCountry: 'US',
      StirVerstat: 'TN-Validation-Passed-A',
      ForwardedFrom: '+15557778888',
      'SipHeader_X-Tenant': 'blue',
      Surprise: 'something new',
    });
    expect(twiml).toContain('<Connect><Stream');
    const [call] = gateway.calls.listActive();
    expect(router.received).toHaveLength(1);
    const [{ isSigned, headers, body, id }] = router.received as [(typeof router.received)[0]];
    expect(isSigned).toBe(true);
    expect(id).toMatch(/^msg_/);
    expect(headers).toMatchObject({ 'content-type': 'application/json' });
    expect(body).toEqual({
      type: 'call.route',
      version: 1,
      callId: call?.callId,
      callSid: call?.callSid,
      accountSid: call?.accountSid,
      direction: 'inbound',
      from: '+15550001111',
      to: '+15552223333',
      caller: { name: 'ADA', city: 'LONDON' },
      called: { country: 'US' },
      forwardedFrom: '+15557778888',
      stirVerstat: 'TN-Validation-Passed-A',
      sipHeaders: { 'X-Tenant': 'blue' },
      parameters: call?.webhookData?.parameters,
    });
    expect(body.parameters.Surprise).toBe('something new');
  });

  it('is sent once for a repeated webhook', async () => {
    const { router, url } = await routed(() => ({ status: 204, afterMs: 50 }));
    const parameters = voiceParameters();
    const answers = await Promise.all(
      [1, 2, 3].map(async () => (await postForm(url, '/twilio/voice', parameters)).text()),
    );
    expect(new Set(answers).size).toBe(1);
    expect(router.received).toHaveLength(1);
  });

  it('is sent before an outbound call is placed, and may refuse it', async () => {
    const router = await Receiver.start((_, nth) =>
      nth === 0 ? { body: { refuse: 'rejected' } } : { body: { room: 'sales' } },
    );
    const { gateway, twilio } = await startWithCarrier({}, { router: { url: router.url, secret: SECRET } });
    await expect(gateway.placeCall({ to: '+15551234567' })).rejects.toMatchObject({
      code: 'GW_CALL_REFUSED',
    });
    expect(twilio.liveCalls).toBe(0);
    const { callSid } = await gateway.placeCall({ to: '+15551234567', callId: 'mine' });
    expect(callSid).toMatch(/^CA/);
    expect(router.received[1]?.body).toEqual({
      type: 'call.route',
      version: 1,
      callId: 'mine',
      direction: 'outbound-api',
      from: '+15550009999',
      to: '+15551234567',
      caller: {},
      called: {},
      sipHeaders: {},
      parameters: {},
    });
  });
});

describe('the router’s decision', () => {
  it.each<[string, unknown, object]>([
    ['a room', { room: 'team' }, { room: 'team' }],
    ['a Stream call', { streamCall: { id: 'desk-7' } }, { room: 'default:desk-7' }],
    ['its type', { streamCall: { type: 'audio_room', id: 'desk-7' } }, { room: 'audio_room:desk-7' }],
    [
      'a user',
      { user: { id: 'ada', name: 'Ada', custom: { plan: 'gold' } } },
      { user: { id: 'ada', name: 'Ada', custom: { plan: 'gold' } } },
    ],
    [
      'a name alone, which is added to the default user',
      { user: { name: 'Ada' } },
      {
        user: {
          id: expect.stringMatching(/^phone-/),
          name: 'Ada',
          custom: expect.objectContaining({ direction: 'inbound' }),
        },
      },
    ],
    ['an empty object', {}, { room: expect.stringMatching(/^call:/) }],
    ['nothing', '', { room: expect.stringMatching(/^call:/) }],
  ])('%s', async (_name, body, joined) => {
    const { ask, bridge } = await routed(() => ({ body }));
    expect(await ask()).toContain('<Connect><Stream');
    await eventually('the join', () => bridge.joined.length === 1);
    expect(bridge.joined[0]).toMatchObject(joined);
  });

  it.each<[string, unknown, string]>([
    ['busy', { refuse: 'busy' }, BUSY],
    ['rejected', { refuse: 'rejected' }, '<Response><Reject reason="rejected"/></Response>'],
    [
      'words',
      { refuse: { say: 'Closed <today>', language: 'en-GB' } },
      '<Response><Say language="en-GB">Closed &lt;today&gt;</Say><Hangup/></Response>',
    ],
  ])('a refusal: %s', async (_name, body, twiml) => {
    const { ask, bridge, gateway, log } = await routed(() => ({ body }));
    expect(await ask()).toContain(twiml);
    expect(bridge.joined).toHaveLength(0);
    expect(gateway.stats().activeCalls).toBe(0);
    expect(log()).not.toContain('no decision from the router');
  });

  it('can set parameters, and verbs before and after the stream', async () => {
    const { ask } = await routed(() => ({
      body: {
        parameters: { tier: 'gold' },
        before: [
          { say: 'Hello & welcome', language: 'en-GB', voice: 'Polly.Amy', loop: 2 },
          { pause: 2 },
          { play: 'https://a.example/jingle.mp3' },
        ],
        after: [
          { dial: '+15551234567', callerId: '+15550001111', ringSeconds: 20, limitSeconds: 600 },
          { dial: 'sip:desk@a.example' },
          { say: 'Goodbye' },
        ],
      },
    }));
    const twiml = await ask();
    expect(twiml).toContain(
      '<Response><Say language="en-GB" voice="Polly.Amy" loop="2">Hello &amp; welcome</Say><Pause length="2"/>' +
        '<Play>https://a.example/jingle.mp3</Play><Connect><Stream url="',
    );
    expect(twiml).toContain('<Parameter name="tier" value="gold"/></Stream></Connect>');
    expect(twiml).toContain(
      '</Connect><Dial callerId="+15550001111" timeout="20" timeLimit="600">+15551234567</Dial>' +
        '<Dial><Sip>sip:desk@a.example</Sip></Dial><Say>Goodbye</Say></Response>',
    );
  });

  it('extends the token’s lifetime by the time that the verbs before the stream may take', async () => {
    const { ask, gateway } = await routed(() => ({ body: { before: [{ pause: 600 }] } }), {
      tokenTimeToLiveMs: 1_000,
    });
    await ask();
    const [call] = gateway.calls.listActive();
    expect(call?.overdueMs).toBeLessThan(-600_000);
    expect(call?.overdueMs).toBeGreaterThan(-602_000);
  });

  it('applies its verbs after the stream when Twilio requests the continuation', async () => {
    const bridge = new NotingBridge(true);
    const { url, bridge: joined } = await routed(() => ({ body: { after: [{ say: 'Press one' }] } }), {
      bridge,
    });
    const caller = await Caller.call(url);
    expect(caller.twiml).not.toContain('Press one');
    expect(caller.twiml).toContain('/twilio/next</Redirect>');
    await eventually('the line', () => joined.lines[0]?.isLive);
    joined.lines[0]?.hangUp();
    await eventually('the close', () => caller.closed !== undefined);
    const next = await (await postForm(url, '/twilio/next', caller.parameters)).text();
    expect(next).toContain('<Response><Say>Press one</Say><Hangup/></Response>');
  });

  it('does not apply them when the caller hung up, or the call was hung up on purpose', async () => {
    const bridge = new NotingBridge(true);
    const { url, gateway } = await routed(() => ({ body: { after: [{ say: 'Press one' }] } }), { bridge });
    const [a, b] = [await Caller.call(url), await Caller.call(url)];
    await eventually('both', () => gateway.calls.listActive().every(({ state }) => state === 'live'));
    a.stop();
    gateway.calls.getBySid(b.parameters.CallSid as string)?.end('hangup');
    await eventually('both over', () => gateway.calls.size === 0);
    for (const caller of [a, b]) {
      const next = await (await postForm(url, '/twilio/next', caller.parameters)).text();
      expect(next).toContain('<Response><Hangup/></Response>');
    }
  });

  it('can also come from a hook', async () => {
    const bridge = new NotingBridge();
    const decision: CallDecision = {
      streamCall: { id: 'desk' },
      user: { name: 'Ada' },
      before: [{ say: 'Hello' }],
    };
    const { url } = await startGateway({ bridge, prepareCall: () => decision });
    const twiml = await (await postForm(url, '/twilio/voice', voiceParameters())).text();
    expect(twiml).toContain('<Response><Say>Hello</Say><Connect>');
    expect(bridge.joined[0]).toMatchObject({ room: 'default:desk', user: { name: 'Ada' } });
  });
});

describe('a router that fails', () => {
  const refused = async (reply: (nth: number) => Reply, questions: number, why: string, outcome: string) => {
    const { ask, router, gateway, log, metrics } = await routed(reply);
    expect(await ask()).toContain(BUSY);
    expect(router.received).toHaveLength(questions);
    expect(new Set(router.received.map(({ id }) => id)).size).toBe(1);
    expect(log()).toContain(why);
    expect(log()).not.toContain(SECRET);
    expect(log()).not.toContain('+15550001111');
    expect(gateway.stats().activeCalls).toBe(0);
    expect(await metrics()).toContain(`trunkline_router_questions_total{outcome="${outcome}"} 1`);
  };

  it('once is asked again, with the same id', async () => {
    const { ask, router, bridge, metrics } = await routed((nth) =>
      nth === 0 ? { status: 500 } : { body: { room: 'team' } },
    );
    expect(await ask()).toContain('<Connect>');
    expect(bridge.joined[0]?.room).toBe('team');
    expect(router.received).toHaveLength(2);
    expect(router.received[0]?.id).toBe(router.received[1]?.id);
    expect(router.received.every(({ isSigned }) => isSigned)).toBe(true);
    const text = await metrics();
    expect(text).toContain('trunkline_router_questions_total{outcome="answered"} 1');
    expect(text).toContain('trunkline_router_retries_total 1');
    expect(text).toContain('trunkline_router_seconds_count 1');
  });

  it.each([429, 503, 408])('with status %i is asked again', async (status) => {
    await refused(() => ({ status }), 2, `received ${status}`, 'status');
  });

  it.each([301, 307, 400, 401, 404])('with status %i is not asked again', async (status) => {
    const elsewhere = await Receiver.start();
    await refused(
      () => ({ status, headers: { location: elsewhere.url } }),
      1,
      `received ${status}`,
      'status',
    );
    expect(elsewhere.received).toHaveLength(0);
  });

  it('by not answering is asked twice, within its timeout', async () => {
    await refused(() => ({ silent: true }), 2, 'GW_WEBHOOK_TIMEOUT', 'timeout');
  });

  it('by an answer that does not end in time is asked twice', async () => {
    await refused(() => ({ body: { room: 'team' }, afterMs: 2_000 }), 2, 'GW_WEBHOOK_TIMEOUT', 'timeout');
  });

  it('by closing the connection is asked twice', async () => {
    await refused(() => ({ cut: true }), 2, 'GW_WEBHOOK_UNREACHABLE', 'unreachable');
  });

  it('because nothing listens gets the fallback', async () => {
    const port = await freePort();
    const { ask, log } = await routed(() => ({}), {}, { url: `http://127.0.0.1:${port}/` });
    expect(await ask()).toContain(BUSY);
    expect(log()).toContain('ECONNREFUSED');
  });

  it.each<[string, Reply['body'], string]>([
    ['text that is no JSON', 'room=team', 'Expected JSON from the router'],
    ['half of one', '{"room":"te', 'Expected JSON from the router'],
    ['a list', [], 'expected object'],
    ['a room that is no text', { room: 7 }, 'room: '],
    ['an agent beside its own code', { bridge: false, agent: 'desk' }, 'agent: beside bridge: false'],
    [
      'an agent by another protocol',
      { agent: 'https://agent.example.com' },
      'agent: not a ws:// or wss:// URL',
    ],
    [
      'an agent at an unknown rate',
      { agent: { to: 'desk', rate: 44_100 } },
      'agent: not a ws:// or wss:// URL',
    ],
    ['a room and a Stream call', { room: 'a', streamCall: { id: 'b' } }, 'streamCall: beside a room'],
    ['a name that Stream would refuse', { streamCall: { id: 'desk 7' } }, 'streamCall.id: not 1 to 64'],
    ['a misspelt field', { rooom: 'team' }, 'rooom'],
    ['a refusal nobody knows', { refuse: 'later' }, 'refuse: not \\"busy\\"'],
    ['a refusal with more', { refuse: 'busy', room: 'team' }, 'room'],
    ['a verb nobody knows', { before: [{ gather: 1 }] }, 'before.0: none of say, play, pause, dial'],
    ['a verb with a wrong value', { after: [{ say: 'a' }, { pause: 0 }] }, 'after.1.pause'],
    ['a number that is none', { after: [{ dial: '5551234' }] }, 'after.0.dial: neither'],
    [
      'a SIP address that XML cannot carry',
      { after: [{ dial: 'sip:a\u0001@b.example' }] },
      'after.0.dial: characters',
    ],
    ['words that XML cannot carry', { before: [{ say: 'bell \u0007' }] }, 'before.0.say: characters'],
    ['too many verbs', { before: Array(21).fill({ say: 'a' }) }, 'before: '],
    ['a user without anything', { user: {} }, 'user: neither id, name nor custom'],
    [
      'a refusal in a language that XML cannot carry',
      { refuse: { say: 'a', language: '\u0001' } },
      'refuse.language: characters',
    ],
    ['a parameter that XML cannot carry', { parameters: { a: 'x\u0001' } }, 'parameters.a: characters'],
    ['the name of one', { parameters: { 'a\u0001': 'x' } }, 'characters that XML cannot carry'],
    ['a parameter without a name', { parameters: { '': 'x' } }, 'parameters.: a parameter without'],
    ['a parameter of 500 characters', { parameters: { a: 'x'.repeat(499) } }, 'parameters.a: 500 characters'],
    [
      'parameters that are too long together',
      { parameters: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`p${i}`, 'x'.repeat(100)])) },
      'bytes of TwiML together, more than 61440',
    ],
    [
      'words that are too long when they are escaped',
      { before: Array(10).fill(LONG), after: Array(10).fill(LONG) },
      'bytes of TwiML together, more than 61440',
    ],
  ])('by answering nonsense: %s', async (_name, body, why) => {
    await refused(() => ({ body }), 1, why, 'invalid');
  });

  it('may use the full limits', async () => {
    const parameters = { a: 'x'.repeat(498), b: '"' };
    const { ask, metrics } = await routed(() => ({ body: { parameters, before: Array(4).fill(LONG) } }));
    const twiml = await ask();
    expect(twiml).toContain(`<Parameter name="a" value="${parameters.a}"/>`);
    expect(Buffer.byteLength(twiml)).toBeGreaterThan(60_000);
    expect(await metrics()).toContain('trunkline_router_questions_total{outcome="answered"} 1');
  });

  it('by exceeding the limits', async () => {
    await refused(() => ({ body: 'x'.repeat(70_000) }), 1, 'GW_WEBHOOK_ANSWER_TOO_LARGE', 'invalid');
  });

  it.each<[string, GatewayOptions['router'], string]>([
    ['default', { fallback: 'default' } as never, '<Connect><Stream'],
    ['words', { fallback: { say: 'We are away.' } } as never, '<Say>We are away.</Say><Hangup/>'],
  ])('falls back to %s', async (_name, more, twiml) => {
    const { ask } = await routed(() => ({ status: 500 }), {}, more);
    expect(await ask()).toContain(twiml);
  });

  it('falls back if its decision cannot be applied', async () => {
    const { ask, metrics } = await routed(
      () => ({ body: { parameters: { a: 'x\u0001' } } }),
      {},
      {
        fallback: { say: 'We are away.' },
      },
    );
    expect(await ask()).toContain('<Say>We are away.</Say><Hangup/>');
    expect(await metrics()).toContain('trunkline_router_questions_total{outcome="invalid"} 1');
  });

  it.each([{ say: 'bell \u0007' }, { say: 'x'.repeat(4_097) }])(
    'cannot be configured with an invalid fallback',
    async (fallback) => {
      await expect(routed(() => ({}), {}, { fallback })).rejects.toThrow(
        'Expected words for router.fallback but received refuse.say: ',
      );
    },
  );

  it('is not waited for after the caller hangs up', async () => {
    const { url, gateway, router, metrics } = await routed(
      () => ({ silent: true }),
      {},
      { timeoutMs: 8_000 },
    );
    const parameters = voiceParameters();
    const answer = postForm(url, '/twilio/voice', parameters);
    await eventually('the question', () => router.received.length === 1);
    await postForm(url, '/twilio/status', { ...parameters, CallStatus: 'canceled', SequenceNumber: '1' });
    expect((await answer).status).toBe(200);
    expect(gateway.calls.size).toBe(0);
    expect(await metrics()).toContain('trunkline_router_questions_total{outcome="call-ended"} 1');
  });
});

describe('two hundred calls at once', () => {
  it('are all routed, over a limited number of connections', async () => {
    const { ask, router, bridge } = await routed(
      () => ({ body: { room: 'team' }, afterMs: 50 }),
      {},
      {
        timeoutMs: 8_000,
      },
    );
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask()));
    expect(answers.filter((twiml) => twiml.includes('<Connect>'))).toHaveLength(200);
    expect(bridge.joined).toHaveLength(200);
    expect(router.received).toHaveLength(200);
    expect(new Set(router.received.map(({ id }) => id)).size).toBe(200);
    expect(router.connections).toBeLessThanOrEqual(64);
    expect(router.mostAtOnce).toBeLessThanOrEqual(64);
  });
});

describe('pressed keys', () => {
  it('are delivered before a closing gateway is closed, including waiting ones', async () => {
    const router = await Receiver.start(({ body }) =>
      body.type === 'call.route' ? { body: { dtmf: true } } : { status: 204, afterMs: 200 },
    );
    const { url, gateway } = await startGateway({ router: { url: router.url, secret: SECRET } });
    const caller = await Caller.call(url);
    for (const digit of '12') press(caller, digit);
    const keys = () => router.received.filter(({ body }) => body.type === 'call.dtmf').length;
    await eventually('the first', () => keys() === 1);
    await gateway.close();
    expect(keys()).toBe(2);
  });

  const press = (caller: Caller, digit: string) =>
    caller.json({ event: 'dtmf', streamSid: caller.streamSid, dtmf: { track: 'inbound_track', digit } });

  it('are sent to the router that asked for them, signed and in order', async () => {
    const router = await Receiver.start(({ body }, nth) =>
      body.type === 'call.route'
        ? { body: { dtmf: true } }
        : nth === 1
          ? { status: 503 }
          : { status: 204, afterMs: 40 - nth },
    );
    const { url, gateway } = await startGateway({ router: { url: router.url, secret: SECRET } });
    const caller = await Caller.call(url);
    const [call] = gateway.calls.listActive();
    for (const digit of '12345*0#AD') press(caller, digit);
    const keys = () => router.received.filter(({ body }) => body.type === 'call.dtmf');
    await eventually('all keys', () => keys().length === 11);
    expect(
      keys()
        .map(({ body }) => body.digit)
        .join(''),
    ).toBe('112345*0#AD');
    expect(keys()[0]?.id).toBe(keys()[1]?.id);
    expect(keys().every(({ isSigned, id, body }) => isSigned && body.id === id)).toBe(true);
    expect(keys()[1]?.body).toEqual({
      type: 'call.dtmf',
      version: 1,
      id: keys()[1]?.id,
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      callId: call?.callId,
      callSid: call?.callSid,
      digit: '1',
    });
    caller.hangUp();
  });

  it('and to no other', async () => {
    const { url, router, gateway } = await routed(() => ({ body: {} }));
    const caller = await Caller.call(url);
    press(caller, '1');
    await eventually('the key', () => gateway.stats().traffic.dtmf === 1);
    await gateway.close();
    expect(router.received).toHaveLength(1);
  });

  it('are bounded while the router does not accept them, and the call continues', async () => {
    const router = await Receiver.start(({ body }) =>
      body.type === 'call.route' ? { body: { dtmf: true } } : { silent: true },
    );
    const { url, gateway } = await startGateway({ router: { url: router.url, secret: SECRET } });
    const caller = await Caller.call(url);
    for (let i = 0; i < 100; i++) press(caller, '5');
    await eventually('all keys', () => gateway.stats().traffic.dtmf === 100);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('trunkline_router_keys_total{outcome="given-up"} 36');
    expect(caller.closed).toBeUndefined();
    caller.hangUp();
    const begun = clock.now();
    await gateway.close();
    expect(clock.now() - begun).toBeLessThan(15_000);
  });
});

describe('invalid options', () => {
  const secret = SECRET;
  const url = 'https://a.example/route';
  it.each<[object, string]>([
    [{ router: { url: 'a.example', secret } }, 'an http(s) URL for router.url'],
    [{ router: { url, secret: 'short' } }, 'router.secret'],
    [{ router: { url, secret: [] } }, 'router.secret'],
    [{ router: { url, secret, timeoutMs: 9_000 } }, 'router.timeoutMs'],
    [{ router: { url, secret, fallback: 'ring' } }, 'router.fallback'],
    [{ router: { url, secret }, prepareCall: () => ({}) }, 'prepareCall or router'],
  ])('%j', async (options, message) => {
    await expect(startGateway(options as GatewayOptions)).rejects.toThrow(message);
  });
});
