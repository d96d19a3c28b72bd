import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { RedisLink } from '../../src/fleet/redis.js';
import { type CallFacts, ENDED_NODE, RedisCallRegistry } from '../../src/fleet/redis-call-registry.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { sleep } from '../support/time.js';

let link: RedisLink;
let server: RedisServer | undefined;
let serial = 0;

/** Two nodes' views of one registry, and a call that nobody knows yet. */
let a: RedisCallRegistry;
let b: RedisCallRegistry;
let facts: CallFacts;
const TOKEN = 'a-token';
const SECOND = 1_000;
const CALM_MS = 60 * SECOND;

describeOnRedis('the Redis call registry', () => {
  beforeEach(async () => {
    server ??= await RedisServer.start();
    link = new RedisLink({ url: server.url, onUp() {}, onDown() {}, clock: systemClock });
    await link.open();
    [a, b] = [new RedisCallRegistry(link, 'a', CALM_MS), new RedisCallRegistry(link, 'b', CALM_MS)];
    facts = {
      callId: `call-${++serial}`,
      callSid: `CA${serial}`,
      direction: 'inbound',
      from: '+15550001111',
      to: undefined,
      startedAt: 1,
      webhook: { CallSid: `CA${serial}`, SipHeader_X: ['one', 'two'] },
      decision: { room: 'sales', user: { id: 'x', custom: { empty: [] } } },
    };
  });
  afterEach(() => link.close());

  it('gives a call with its facts to the owner of its token, once', async () => {
    await a.announce(facts, TOKEN, 60 * SECOND);
    const { facts: known, ...rest } = await b.claimToken(facts.callId, TOKEN);
    expect(known).toEqual(JSON.parse(JSON.stringify(facts)));
    expect(rest).toEqual({ from: 'a', last: undefined, handover: undefined });
    await expect(a.claimToken(facts.callId, TOKEN)).rejects.toMatchObject({
      code: 'GW_TOKEN_USED',
      status: 409,
    });
  });

  it('accepts one of a hundred claims of the same token at once', async () => {
    await a.announce(facts, TOKEN, 60 * SECOND);
    const takes = await Promise.allSettled(
      Array.from({ length: 100 }, (_, i) => (i % 2 ? a : b).claimToken(facts.callId, TOKEN)),
    );
    expect(takes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const take of takes) {
      if (take.status === 'rejected') expect(take.reason).toMatchObject({ code: 'GW_TOKEN_USED' });
    }
  });

  it('does not use up a token for a wrong one, and does not store tokens', async () => {
    await a.announce(facts, TOKEN, 60 * SECOND);
    await expect(b.claimToken(facts.callId, 'guess')).rejects.toMatchObject({
      code: 'GW_TOKEN_INVALID',
      status: 401,
    });
    await expect(b.claimToken('nobody', TOKEN)).rejects.toMatchObject({
      code: 'GW_CALL_UNKNOWN',
      status: 404,
    });
    expect(JSON.stringify(await link.send(['HGETALL', `trunkline:call:${facts.callId}`]))).not.toContain(
      TOKEN,
    );
    await b.claimToken(facts.callId, TOKEN);
  });

  it('rejects an expired token', async () => {
    await a.announce(facts, TOKEN, 50);
    await sleep(70);
    await expect(b.claimToken(facts.callId, TOKEN)).rejects.toMatchObject({
      code: 'GW_TOKEN_EXPIRED',
      status: 410,
    });
  });

  it('forgets everything eventually', async () => {
    await a.announce(facts, TOKEN, 60 * SECOND);
    const ttl = (key: string) => link.send(['PTTL', `trunkline:${key}`]) as unknown as Promise<number>;
    const within = async (ms: number) => {
      for (const key of [`call:${facts.callId}`, `sid:${facts.callSid}`]) {
        expect(await ttl(key)).toBeGreaterThan(ms - 10 * SECOND);
        expect(await ttl(key)).toBeLessThanOrEqual(ms);
      }
    };
    await within(120 * SECOND);
    // A live call and its CallSid are kept as long as its node renews them.
    await link.send(['PEXPIRE', `trunkline:sid:${facts.callSid}`, '3000']);
    await b.claimToken(facts.callId, TOKEN);
    await within(120 * SECOND);
    for (const key of [`call:${facts.callId}`, `sid:${facts.callSid}`]) {
      await link.send(['PEXPIRE', `trunkline:${key}`, '3000']);
    }
    await b.renew([facts.callId]);
    await within(120 * SECOND);
    await link.send(['DEL', `trunkline:sid:${facts.callSid}`]);
    await b.renew([facts.callId]);
    await within(120 * SECOND);
    expect(await a.find(facts.callSid as string)).toEqual({ callId: facts.callId, node: 'b' });
    await b.detach(facts.callId, facts.callSid, 'lost');
    await within(60 * SECOND);
    await b.finish(facts.callId, facts.callSid, '');
    // The call itself; its CallSid is remembered for an hour against replayed webhooks.
    expect(await ttl(`call:${facts.callId}`)).toBeLessThanOrEqual(90 * SECOND);
    expect(await ttl(`sid:${facts.callSid}`)).toBeGreaterThan(3_590 * SECOND);
    expect(await a.find(facts.callSid as string)).toEqual({ callId: facts.callId, node: ENDED_NODE });
    // A node that has not heard of it yet changes nothing.
    await b.renew([facts.callId]);
    expect(await b.detach(facts.callId, facts.callSid, 'lost')).toBe(true);
    expect(await b.read(facts.callId)).toMatchObject({ state: 'ended' });
    expect(await ttl(`call:${facts.callId}`)).toBeLessThanOrEqual(90 * SECOND);
    expect(await ttl(`sid:${facts.callSid}`)).toBeGreaterThan(3_590 * SECOND);
  });

  it('does not apply an ended call’s expiry to a new call of the same id', async () => {
    await a.announce(facts, TOKEN, 60 * SECOND);
    const callSid = facts.callSid as string;
    await b.claim(callSid, 'another', { callId: facts.callId, node: 'a' });
    await a.finish(facts.callId, callSid, '');
    expect(await a.find(callSid)).toEqual({ callId: 'another', node: 'b' });
  });

  it('reserves a call id for the node that has it', async () => {
    expect(await a.announce(facts, TOKEN, 60 * SECOND)).toBe(true);
    expect(await b.announce(facts, 'another', 60 * SECOND)).toBe(false);
    await a.claimToken(facts.callId, TOKEN);
  });

  it('lets only the owning node end a call, or one that knows it has no owner', async () => {
    await a.announce(facts, TOKEN, 60 * SECOND);
    await b.claimToken(facts.callId, TOKEN);
    await a.finish(facts.callId, facts.callSid, '<Response/>');
    await a.expire(facts.callId, facts.callSid);
    await b.expire(facts.callId, facts.callSid);
    expect(await a.read(facts.callId)).toMatchObject({ node: 'b', state: 'live' });
    await a.finish(facts.callId, facts.callSid, '<Response/>', true);
    expect(await a.read(facts.callId)).toEqual({
      node: 'b',
      state: 'ended',
      facts: undefined,
      next: '<Response/>',
    });
  });

  it('gives a CallSid to its first claimant, and to the next when that one is gone', async () => {
    const first = await a.claim('CAx', 'one');
    expect(first).toEqual({ callId: 'one', node: 'a' });
    expect(await b.claim('CAx', 'two')).toEqual(first);
    expect(await b.claim('CAx', 'two', first)).toEqual({ callId: 'two', node: 'b' });
    expect(await a.claim('CAx', 'three', first)).toEqual({ callId: 'two', node: 'b' });
    expect(await a.find('CAx')).toEqual({ callId: 'two', node: 'b' });
    expect(await a.find('CAnobody')).toBeUndefined();
  });

  it('sets the CallSid of a placed call, and changes nothing else', async () => {
    const { callSid: _, ...placed } = { ...facts, webhook: undefined };
    await a.announce({ ...placed, callSid: undefined }, TOKEN, 60 * SECOND);
    await b.claimToken(facts.callId, TOKEN);
    await a.bindSid(facts.callId, 'CAlate');
    await a.bindSid(facts.callId, 'CAlate');
    expect((await a.find('CAlate'))?.callId).toBe(facts.callId);
    expect((await a.read(facts.callId))?.facts).toEqual({
      ...JSON.parse(JSON.stringify(placed)),
      callSid: 'CAlate',
    });
  });

  it('gives a call whose stream has ended a new token, and says why it moved', async () => {
    const { callId, callSid = '' } = facts;
    await a.announce(facts, TOKEN, 60 * SECOND);
    await a.claimToken(callId, TOKEN);
    await a.detach(callId, callSid, 'drain');
    expect(await b.attach(callId, callSid, 'second', 60 * SECOND)).toMatchObject({ attached: true });
    await expect(b.claimToken(callId, TOKEN)).rejects.toMatchObject({ code: 'GW_TOKEN_INVALID' });
    expect(await b.claimToken(callId, 'second')).toMatchObject({ from: 'b', last: 'a', handover: 'drain' });
    // This time its node said nothing.
    expect(await a.attach(callId, callSid, 'third', 60 * SECOND)).toMatchObject({ attached: true });
    expect(await a.claimToken(callId, 'third')).toMatchObject({ last: 'b', handover: 'lost' });
  });

  it('gives up a call that is handed over again and again, but not one that is healthy in between', async () => {
    const { callId, callSid = '' } = facts;
    await a.announce(facts, TOKEN, 60 * SECOND);
    await a.claimToken(callId, TOKEN);
    const again = async (token: string) => {
      const attachment = await b.attach(callId, callSid, token, 60 * SECOND);
      if (attachment.attached) await b.claimToken(callId, token);
      return attachment;
    };
    for (const token of ['1', '2', '3']) expect(await again(token)).toMatchObject({ attached: true });
    // As if it had been connected for half a minute.
    await link.send(['HINCRBY', `trunkline:call:${callId}`, 'since', String(-CALM_MS)]);
    for (const token of ['4', '5', '6', '7', '8'])
      expect(await again(token)).toMatchObject({ attached: true });
    expect(await again('9')).toMatchObject({ attached: false, why: 'exhausted', next: undefined });
  });

  it('never reconnects a caller whose call has ended', async () => {
    const { callId, callSid = '' } = facts;
    expect(await a.attach(callId, callSid, 'x', SECOND)).toMatchObject({ attached: false, why: 'unknown' });
    await a.announce(facts, TOKEN, 60 * SECOND);
    await a.claimToken(callId, TOKEN);
    await a.finish(callId, callSid, '<Response><Dial/></Response>');
    expect(await b.attach(callId, callSid, 'x', SECOND)).toEqual({
      attached: false,
      why: 'ended',
      next: '<Response><Dial/></Response>',
    });
    await expect(b.claimToken(callId, TOKEN)).rejects.toMatchObject({ code: 'GW_TOKEN_USED' });
  });

  it('tells a node which of its calls Redis has lost and which belong to another node', async () => {
    const other = { ...facts, callId: `${facts.callId}-other`, callSid: undefined };
    await a.announce(facts, TOKEN, 60 * SECOND);
    await a.claimToken(facts.callId, TOKEN);
    await a.announce(other, TOKEN, 60 * SECOND);
    await b.claimToken(other.callId, TOKEN);
    expect(await a.renew([facts.callId, 'lost', other.callId])).toEqual({
      lost: ['lost'],
      taken: [other.callId],
    });
    expect(await a.restore({ ...facts, callId: 'lost', callSid: undefined }, TOKEN)).toBe(true);
    expect(await a.restore(other, TOKEN)).toBe(false);
    expect(await a.renew(['lost'])).toEqual({ lost: [], taken: [] });
    await expect(b.claimToken('lost', TOKEN)).rejects.toThrow();
  });
});
