import { expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import {
  Caller,
  localUrl,
  PUBLIC_URL,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { type Fleet, type FleetNode, sees, startFleet } from '../support/fleet.js';
import { freePort } from '../support/port.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { bound, eventually, sleep } from '../support/time.js';

/** Live calls of the node that leaves. */
const CALLS = 100;
/** Calls that arrive when there are more nodes, spread over them. */
const OTHER_CALLS = 10;
/** Interval between callers. */
const PACE_MS = 12;

function call(fleet: Fleet): SimulatedPhone {
  return fleet.twilio.placeCall({
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    from: '+15550001111',
    to: '+15552223333',
    audio: AudioSource.speech(),
  });
}

/** Places calls while there is one node, and returns them when they are connected. */
async function fill(fleet: Fleet, count: number): Promise<SimulatedPhone[]> {
  const phones: SimulatedPhone[] = [];
  for (let i = 0; i < count; i++) {
    phones.push(call(fleet));
    await sleep(PACE_MS);
  }
  await Promise.all(phones.map((phone) => phone.started));
  return phones;
}

/** One node with its calls, then other nodes: phones, proxy and nodes share two cores here. */
async function startFilled(redisUrl: string, others: number) {
  const fleet = await startFleet(1, redisUrl);
  const phones = await fill(fleet, CALLS);
  for (let i = 0; i < others; i++) await fleet.add();
  await Promise.all(fleet.nodes.map((node) => sees(node, others + 1)));
  // The others get callers, too.
  phones.push(...(await fill(fleet, OTHER_CALLS)));
  await sleep(500);
  return { fleet, phones };
}

/** Waits until the nodes have this many calls in total. */
function have(nodes: readonly FleetNode[], count: number): Promise<void> {
  return eventually(
    `${count} calls`,
    async () => {
      const calls = await Promise.all(nodes.map((node) => node.metric('calls_active')));
      return calls.reduce((sum, each) => sum + each) >= count;
    },
    10_000,
  );
}

/** Hangs up all and returns their outcomes. */
async function endOf(phones: readonly SimulatedPhone[]) {
  await Promise.all(phones.map((phone) => phone.hangUp()));
  return Promise.all(phones.map((phone) => phone.ended));
}

const isTalking = ({ streams }: SimulatedPhone) => streams.at(-1)?.isOpen === true;
const p99 = (values: number[]) =>
  values.sort((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] ?? Number.NaN;

describeOnRedis('a call whose node goes away', () => {
  it(`continues elsewhere when the node drains: all ${CALLS} of them, within a second, and the node exits with 0`, async () => {
    const redis = await RedisServer.start();
    const { fleet, phones } = await startFilled(redis.url, 1);
    const [first, second] = fleet.nodes as [FleetNode, FleetNode];
    const had = await first.metric('calls_active');
    expect(had).toBeGreaterThanOrEqual(CALLS);
    first.child.kill('SIGTERM');
    expect(await first.exited).toEqual([0, null]);
    await have([second], phones.length);
    await sleep(500);
    const outcomes = await endOf(phones);
    expect(outcomes.filter(({ status, error }) => status !== 'completed' || error !== undefined)).toEqual([]);
    const handovers = outcomes.flatMap((outcome) => outcome.handovers.filter(({ code }) => code === 1001));
    expect(handovers).toHaveLength(had);
    const gaps = handovers.map(({ gapMs }) => gapMs ?? Number.POSITIVE_INFINITY);
    expect(p99(gaps)).toBeLessThan(bound(1_000));
    console.info(`${had} of ${phones.length} calls handed over, gap p99 ${p99(gaps).toFixed()} ms`);
    expect(await second.metric('handovers_total{why="drain"}')).toBe(had);
    expect(await second.metric('registry_up')).toBe(1);
    expect(first.output).not.toContain('"level":50');
    expect(second.output).not.toContain('"level":50');
  });

  it(`continues elsewhere when the node is killed: at least 99 of ${CALLS}`, async () => {
    const redis = await RedisServer.start();
    const { fleet, phones } = await startFilled(redis.url, 2);
    const [first, ...others] = fleet.nodes as [FleetNode, FleetNode, FleetNode];
    const had = await first.metric('calls_active');
    expect(had).toBeGreaterThanOrEqual(CALLS);
    await first.kill();
    await have(others, phones.length);
    await sleep(500);
    const outcomes = await endOf(phones);
    const kept = outcomes.filter(
      ({ handovers, error }) => error === undefined && handovers.some(({ code }) => code === 1006),
    );
    expect(kept.length).toBeGreaterThanOrEqual(Math.ceil(had * 0.99));
    const gaps = kept.flatMap(({ handovers }) =>
      handovers.map(({ gapMs }) => gapMs ?? Number.POSITIVE_INFINITY),
    );
    console.info(`${kept.length} of ${had} calls survived a kill, gap p99 ${p99(gaps).toFixed()} ms`);
    await Promise.all(others.map((node) => sees(node, 2)));
    const counts = await Promise.all(others.map((node) => node.metric('handovers_total{why="lost"}')));
    expect(counts.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(kept.length);
  });

  it('continues on a lone node that comes back after a restart', async () => {
    const redis = await RedisServer.start();
    const port = await freePort();
    const fleet = await startFleet(1, redis.url, { PORT: String(port) });
    const [first] = fleet.nodes as [FleetNode];
    const phones = Array.from({ length: 5 }, () => call(fleet));
    await Promise.all(phones.map((phone) => phone.started));
    fleet.proxy.patienceMs = 10_000;
    await first.kill();
    await fleet.add();
    await eventually(
      'all connected again',
      () => phones.every((phone) => phone.streams.length > 1 && isTalking(phone)),
      10_000,
    );
    const outcomes = await endOf(phones);
    expect(outcomes.map(({ status }) => status)).toEqual(Array(5).fill('completed'));
  });

  it('waits while its node drains alone, and is handed over as soon as there is another node', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(1, redis.url);
    const [first] = fleet.nodes as [FleetNode];
    const phone = call(fleet);
    await phone.started;
    first.child.kill('SIGTERM');
    await eventually('waiting', () => first.output.includes('no other node'));
    expect((await first.ready()).status).toBe(503);
    await sleep(300);
    expect(phone.streams).toHaveLength(1);
    await fleet.add();
    expect(await first.exited).toEqual([0, null]);
    await eventually('connected again', () => phone.streams.length === 2);
    const [outcome] = await endOf([phone]);
    expect(outcome?.status).toBe('completed');
  });

  it('is left to any node when a node that drains alone gets a second signal', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(1, redis.url);
    const [first] = fleet.nodes as [FleetNode];
    const phone = call(fleet);
    await phone.started;
    fleet.proxy.patienceMs = 10_000;
    first.child.kill('SIGTERM');
    await eventually('waiting', () => first.output.includes('no other node'));
    first.child.kill('SIGTERM');
    expect(await first.exited).toEqual([1, null]);
    const second = await fleet.add();
    await eventually('connected again', () => phone.streams.length === 2, 10_000);
    expect(await second.metric('handovers_total{why="drain"}')).toBe(1);
    const [outcome] = await endOf([phone]);
    expect(outcome?.status).toBe('completed');
  });

  it('can be answered elsewhere if it is only ringing', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes as [FleetNode, FleetNode];
    await postForm(first.url, '/twilio/voice', voiceParameters());
    first.child.kill('SIGTERM');
    expect(await first.exited).toEqual([0, null]);
    expect(second.output).not.toContain('"level":50');
  });

  it('does not call back a caller who has hung up', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [, second] = fleet.nodes as [FleetNode, FleetNode];
    const phone = call(fleet);
    await phone.started;
    await phone.hangUp();
    await eventually('the end', () => fleet.nodes.some(({ output }) => output.includes('"cause":"stop"')));
    const { callSid } = phone;
    const ask = voiceParameters({ CallSid: callSid, CallStatus: 'in-progress' });
    const answer = await (await postForm(second.url, '/twilio/next', ask)).text();
    expect(answer).toContain('<Hangup/>');

    // Nor one who hung up between two nodes: Twilio's status callback decides.
    const other = call(fleet);
    await other.started;
    const parameters = { CallSid: other.callSid, CallStatus: 'completed', SequenceNumber: '4' };
    const active = await Promise.all(fleet.nodes.map((node) => node.metric('calls_active')));
    const holder = fleet.nodes[active.indexOf(1)] as FleetNode;
    await holder.kill();
    const left = fleet.nodes.find((node) => node !== holder) as FleetNode;
    await postForm(left.url, '/twilio/status', voiceParameters(parameters));
    const next = voiceParameters({ CallSid: other.callSid, CallStatus: 'in-progress' });
    expect(await (await postForm(left.url, '/twilio/next', next)).text()).toContain('<Hangup/>');
  });

  it('is not handed over endlessly', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first] = fleet.nodes as [FleetNode];
    const caller = await Caller.call(first.url);
    caller.hangUp();
    const ask = voiceParameters({ CallSid: caller.parameters.CallSid ?? '', CallStatus: 'in-progress' });
    const next = async () => (await postForm(first.url, '/twilio/next', ask)).text();
    for (let i = 0; i < 5; i++) {
      // Each time, the stream breaks as soon as it starts.
      const url = streamUrl(await next());
      const headers = { 'x-twilio-signature': sign(url) };
      expect((await upgradeStatus(localUrl(first.url, url), headers)).status).toBe(101);
    }
    expect(await next()).toContain('<Say>');
    expect(await next()).toContain('<Hangup/>');
  });

  it('is retried, with pauses and not forever, if its socket never reaches a node that accepts it', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes as [FleetNode, FleetNode];
    const parameters = voiceParameters();
    await postForm(first.url, '/twilio/voice', parameters);
    const ask = { ...parameters, CallStatus: 'in-progress' };
    const answers: string[] = [];
    for (let i = 0; i < 14; i++) {
      const { url } = i % 2 ? first : second;
      answers.push(await (await postForm(url, '/twilio/next', ask)).text());
    }
    expect(answers.filter((answer) => answer.includes('<Stream'))).toHaveLength(12);
    expect(answers.filter((answer) => answer.includes('<Pause length="1"/>'))).toHaveLength(9);
    expect(answers[12]).toContain('<Say>');
    expect(answers[13]).toContain('<Hangup/>');
  });
});
