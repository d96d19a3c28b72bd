import { createClient } from '@redis/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createGateway, type Gateway } from '../../src/gateway.js';
import {
  ACCOUNT_SID,
  AUTH_TOKEN,
  Caller,
  localUrl,
  PUBLIC_URL,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { CONTROL_KEY } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const open: Gateway[] = [];
let redis: RedisServer;
/** Two nodes. */
let [a, b] = ['', ''];
afterAll(async () => {
  await Promise.all(open.map((gateway) => gateway.close(0)));
});

async function start(): Promise<string> {
  const gateway = createGateway({
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] },
    controlApiKey: CONTROL_KEY,
    redis: { url: redis.url },
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    logLevel: 'silent',
  });
  open.push(gateway);
  return (await gateway.listen()).url;
}

/** Longer than a node needs to know all live nodes; until then it hangs up on nobody. */
const KNOWN_MS = 5_000;

const post = async (url: string, path: string, parameters: Record<string, string>) => {
  const response = await postForm(url, path, parameters);
  return { status: response.status, text: await response.text() };
};

const key = (caller: Caller) => `trunkline:call:${/media\/([^/]+)\//.exec(caller.twiml)?.[1]}`;

const asked = (parameters: Record<string, string>) => ({ ...parameters, CallStatus: 'in-progress' });

/** Possible foreign data in a call's index or entry. */
const ODD_CLAIMS: Record<string, string[]> = {
  'a list': ['RPUSH', 'key', 'x'],
  'a text without a node': ['SET', 'key', 'junk'],
  'an empty text': ['SET', 'key', ''],
};
const entry = (more: Record<string, string>) => {
  const facts = { callId: 'odd', startedAt: 1, decision: {} };
  const usual = { node: 'another', state: 'live', hash: 'x', expires: '1', since: '1' };
  return ['HSET', 'key', ...Object.entries({ ...usual, facts: JSON.stringify(facts), ...more }).flat()];
};
const facts = (more: object) =>
  entry({ facts: JSON.stringify({ callId: 'odd', startedAt: 1, decision: {}, ...more }) });
const ODD_ENTRIES: Record<string, string[]> = {
  'a text': ['SET', 'key', 'junk'],
  'a set': ['SADD', 'key', 'x'],
  'another hash': ['HSET', 'key', 'x', 'y'],
  'facts that are no JSON': entry({ facts: '{' }),
  'facts of null': entry({ facts: 'null' }),
  'facts without a decision': facts({ decision: undefined }),
  'a decision of another version': facts({ decision: { teleport: true } }),
  'a decision that is a list': facts({ decision: [1] }),
  'numbers for texts': facts({ from: 5, to: {} }),
  'another call': facts({ callId: 'other' }),
  'no time': facts({ startedAt: 'yesterday' }),
  'a since that is no number': entry({ since: 'x', handovers: 'y' }),
  'another state': entry({ state: 'parked', rings: '-' }),
};

describeOnRedis('a Redis', () => {
  beforeAll(async () => {
    redis = await RedisServer.start();
    [a, b] = [await start(), await start()];
    await sleep(KNOWN_MS);
  });

  it('that loses its data gets running and ringing calls again, and nobody is hung up meanwhile', async () => {
    const callers = await Promise.all(Array.from({ length: 20 }, () => Caller.call(a)));
    for (const caller of callers) caller.media(toneMulaw(700, 20));
    await eventually('audio', () => callers.every(({ mediaCount }) => mediaCount > 0));
    const ringing = voiceParameters();
    const url = streamUrl((await post(a, '/twilio/voice', ringing)).text);
    const keys = async () => ((await redis.ask('KEYS', 'trunkline:*')) as string[]).sort();
    const before = await keys();
    expect(before).toHaveLength(2 * (callers.length + 1) + 1);

    // Twilio asks any node, and retries if told to.
    const next = async (caller: Caller) => {
      let answer = '';
      do answer = (await post(b, '/twilio/next', asked(caller.parameters))).text;
      while (answer.includes('/twilio/next?again=') && (await sleep(50)) === undefined);
      return answer;
    };
    for (const isBroken of [false, true, false]) {
      const [caller] = callers.splice(0, 1) as [Caller];
      // No node has it, or its socket just broke: only the registry knew about it.
      if (isBroken) {
        caller.hangUp();
        await eventually(
          'the end',
          async () => String(await redis.ask('HGET', key(caller), 'state')) === 'detached',
        );
      }
      await redis.ask('FLUSHALL');
      expect(await next(caller)).toContain('<Stream');
      await eventually('all of them', async () => (await keys()).length === before.length, 3_000);
      expect(await keys()).toEqual(before);
    }
    const signed = { 'x-twilio-signature': sign(url) };
    expect((await upgradeStatus(localUrl(b, url), signed)).status).toBe(101);
    expect(callers.filter(({ closed }) => closed !== undefined)).toEqual([]);
  });

  it('with entries of another version, or foreign ones, causes no HTTP error: a new caller is handled anew, a returning one is asked to retry', async () => {
    await sleep(KNOWN_MS);
    // Unknown callers are hung up as usual.
    expect((await post(b, '/twilio/next', asked(voiceParameters()))).text).toContain('<Hangup/>');
    const client = await createClient({ url: redis.url }).connect();
    const write = (key: string, command: string[]) =>
      client.sendCommand(command.map((each) => (each === 'key' ? `trunkline:${key}` : each)));
    try {
      for (const [what, command] of Object.entries(ODD_CLAIMS)) {
        const parameters = voiceParameters();
        await write(`sid:${parameters.CallSid}`, command);
        const next = await post(a, '/twilio/next', asked(parameters));
        expect([what, next.status, next.text]).toEqual([what, 200, expect.stringContaining('next?again=1')]);
        const last = await post(a, '/twilio/next?again=10', asked(parameters));
        expect([what, last.text]).toEqual([what, expect.stringContaining('<Say>')]);
        const voice = await post(a, '/twilio/voice', parameters);
        expect([what, voice.status, voice.text]).toEqual([what, 200, expect.stringContaining('<Stream')]);
        // Finally, a completed call does not ring again.
        const status = await post(a, '/twilio/status', { ...parameters, CallStatus: 'completed' });
        expect([what, status.status]).toEqual([what, 204]);
      }
      for (const [what, command] of Object.entries(ODD_ENTRIES)) {
        const parameters = voiceParameters();
        await client.del('trunkline:call:odd');
        await client.set(`trunkline:sid:${parameters.CallSid}`, 'odd another');
        await write('call:odd', command);
        const next = await post(a, '/twilio/next', asked(parameters));
        expect([what, next.status, next.text]).toEqual([what, 200, expect.stringMatching(/again=1|<Stream/)]);
        const [url] = /wss:[^"]+/.exec(next.text) ?? [`${PUBLIC_URL}/twilio/media/odd/${'x'.repeat(43)}`];
        const media = url.replace(/^https/, 'wss');
        const { status } = await upgradeStatus(localUrl(a, media), { 'x-twilio-signature': sign(media) });
        expect([what, status]).toEqual([what, expect.toSatisfy((code: number) => code !== 500)]);
        const headers = { authorization: `Bearer ${CONTROL_KEY}` };
        for (const init of [{ headers }, { method: 'DELETE', headers }]) {
          const answer = await fetch(`${a}/v1/calls/odd`, init);
          expect([what, [200, 404, 503].includes(answer.status)]).toEqual([what, true]);
        }
        const done = await post(a, '/twilio/status', { ...parameters, CallStatus: 'completed' });
        expect([what, done.status]).toEqual([what, 204]);
      }
    } finally {
      client.destroy();
    }
  });
});
