import { describe, expect, it } from 'vitest';
import type { SimulatedPhone } from '../../../src/simulator/index.js';
import { startWithCarrier } from '../../support/carrier.js';
import { GREETING_MS, greetingBlock, instantsOf } from '../../support/greeting.js';
import type { FakeAgent } from '../../support/stream/fake-agent.js';
import { heardBy, phoneLevel } from '../../support/stream-call.js';
import { startRest, startStream } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

type Cue = 'participantJoined' | 'phone.answered';

/** Lets an agent greet, once, at the very moment that it is given its cue. */
function greetAt(agent: FakeAgent, cue: Cue): void {
  let index = -1;
  const isCued = () =>
    cue === 'participantJoined'
      ? agent.remoteUserIds().length > 0
      : agent.events.some(({ custom }) => custom.type === 'phone.answered');
  agent.playFrames(() => {
    if (index >= 0 || isCued()) index += 1;
    return greetingBlock(index < 0 ? GREETING_MS : index, 960);
  });
}

/** Waits until a phone has heard the end of a greeting, and says how much of it is missing: first, last and within. */
async function missing(phone: () => SimulatedPhone | undefined): Promise<number[]> {
  await eventually('a phone with somebody on it', () => phone()?.stream !== undefined, 20_000);
  const caller = phone() as SimulatedPhone;
  const heard = () => instantsOf(caller.heard());
  // A gap at the end does not matter here: it is checked below.
  await eventually('the greeting', () => caller.heard().length > 0 && heard().length > 0, 20_000);
  await sleep(GREETING_MS + 500);
  const instants = heard();
  const gaps = instants.slice(1).map(({ of }, i) => of - (instants[i]?.of as number));
  return [instants[0]?.of as number, GREETING_MS - (instants.at(-1)?.of as number), Math.max(...gaps)];
}

/** As far as a window of 20 ms can tell. */
const NOTHING = 12;

describe.each<Cue>(['participantJoined', 'phone.answered'])('an agent that greets at %s', (cue) => {
  it.each([0, 300, 800, 3_000])(
    'is heard whole by a caller whose socket connects after %i ms',
    async (ms) => {
      const { agent, phone } = await startStream();
      greetAt(agent(), cue);
      const caller = phone(undefined, { faults: { startDelayMs: ms } });
      for (const gap of await missing(() => caller)) expect(gap).toBeLessThan(NOTHING);
    },
  );

  it.each([0, 300, 800, 3_000])('is heard whole by a called phone, after %i ms too', async (ms) => {
    const { host, bridgeTo } = await startRest();
    const phones: SimulatedPhone[] = [];
    const { gateway, twilio } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 4_000, record: true, faults: { startDelayMs: ms } } },
      { bridge: bridgeTo(), prepareCall: () => ({ room: 'room' }) },
    );
    twilio.on('answered', (phone) => phones.push(phone));
    const agent = host.join('default:room', 'agent');
    greetAt(agent, cue);
    await gateway.placeCall({ to: '+15556667777' });
    for (const gap of await missing(() => phones[0])) expect(gap).toBeLessThan(NOTHING);
    expect(agent.events[0]?.custom).toMatchObject({ type: 'phone.answered', direction: 'outbound-api' });
    const rung = agent.events[0]?.custom.ring_seconds as number;
    expect(Math.abs(rung - 4 - ms / 1_000)).toBeLessThan(0.5);
  });
});

describe('while it rings a phone', () => {
  it('is ready to join, but not visible in the call', async () => {
    const { agent, phone, host } = await startStream();
    const other = agent('agent', 1_700);
    const caller = phone(1_000, { faults: { startDelayMs: 3_000 } });
    await eventually('it to be ready', () => host.placed[0]?.isReady === true);
    await sleep(2_000);
    expect([host.userIds(), other.events]).toEqual([['agent'], []]);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    expect(host.userIds()).toHaveLength(2);
    expect(other.events.map(({ custom }) => custom)).toEqual([
      { type: 'phone.answered', direction: 'inbound', ring_seconds: 3, phone: host.placed[0]?.userId },
    ]);
  });

  it('is in its call if configured, and reports when it is answered', async () => {
    const { agent, phone, host } = await startStream({ bridge: { joinAt: 'ring' } });
    const other = agent();
    const caller = phone(undefined, { faults: { startDelayMs: 3_000 } });
    await eventually('it to be seen', () => host.userIds().length === 2, 1_000);
    expect(other.events).toEqual([]);
    await caller.started;
    await eventually('the event', () => other.events.length === 1);
    expect(other.events[0]?.custom).toMatchObject({ type: 'phone.answered', ring_seconds: 3 });
  });

  it('becomes ready again after a loss, and stays invisible', async () => {
    const { agent, phone, host } = await startStream();
    agent('agent', 1_700);
    const caller = phone(undefined, { faults: { startDelayMs: 3_000 } });
    await eventually('it to be ready', () => host.placed[0]?.isReady === true);
    host.placed[0]?.depart('lost');
    await eventually('it to be ready again', () => host.placed[1]?.isReady === true, 1_000);
    expect(host.userIds()).toEqual(['agent']);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  });

  it('may ring for longer than the join timeout', async () => {
    const { host, bridgeTo } = await startRest();
    const { gateway } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 20_000 } },
      { bridge: bridgeTo({ joinSeconds: 2 }), prepareCall: () => ({ room: 'room' }) },
    );
    await gateway.placeCall({ to: '+15556667777' });
    await eventually('it to be in its call', () => host.userIds().length === 1, 25_000);
  });

  it.each(['ended', 'refused'] as const)('does not go on ringing when its place is %s', async (fate) => {
    const { host, bridgeTo } = await startRest();
    const { gateway, twilio } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 20_000 } },
      { bridge: bridgeTo(), prepareCall: () => ({ room: 'room' }) },
    );
    await gateway.placeCall({ to: '+15556667777' });
    await eventually('it to be ready', () => host.placed[0]?.isReady === true);
    // One refusal may be a mistake.
    host.readiness = fate;
    host.placed[0]?.depart(fate);
    await eventually('nothing to ring', () => twilio.liveCalls + gateway.stats().activeCalls === 0, 2_000);
  });
});

it('a caller who waits for a late join hears the announcement if it fails', async () => {
  const { phone, host, gateway } = await startStream({ bridge: { joinSeconds: 5 } });
  host.fate = 'waits';
  const { said, seconds } = await phone(undefined, { faults: { startDelayMs: 3_000 } }).ended;
  expect(said).toEqual([expect.stringContaining('cannot be connected')]);
  // No longer than a join may take, be the phone answered early or late.
  expect(seconds).toBeGreaterThanOrEqual(8);
  expect(seconds).toBeLessThan(9.5);
  expect(gateway.stats().activeCalls).toBe(0);
});

it('a phone that moves to another call is announced there as answered', async () => {
  const { agent, phone, gateway, host } = await startStream();
  agent();
  const second = agent('second', 2_309, 'default:other');
  const caller = phone();
  await caller.started;
  await eventually('it to be in', () => host.userIds().length === 2);
  const [call] = gateway.calls.listActive();
  await gateway.control.transfer(call?.callId as string, { stream: { id: 'other' } });
  await eventually('the event', () => second.events.length > 0);
  expect(second.events[0]?.custom).toMatchObject({ type: 'phone.answered', direction: 'inbound' });
  await heardBy('the phone', () => phoneLevel(caller, 2_309));
});

it('the library reports it once too, even if a listener throws', async () => {
  const { phone, gateway } = await startStream();
  const told: unknown[] = [];
  gateway.on('answered', ({ state }, facts) => {
    told.push([state, facts]);
    throw new Error('a fault of the user');
  });
  const caller = phone(undefined, { faults: { startDelayMs: 1_500 } });
  await caller.started;
  await sleep(1_000);
  expect(told).toEqual([['live', { direction: 'inbound', ringSeconds: 1.5, isContinued: false }]]);
  expect(caller.status).toBe('in-progress');
});
