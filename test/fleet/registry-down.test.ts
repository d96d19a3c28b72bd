import { expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { PUBLIC_URL, postForm, voiceParameters } from '../support/caller.js';
import { type Fleet, type FleetNode, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';

const CALLS = 200;
const DOWN_MS = 30_000;

function call(fleet: Fleet): SimulatedPhone {
  return fleet.twilio.placeCall({
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    from: '+15550001111',
    to: '+15552223333',
    audio: AudioSource.speech(),
  });
}

async function callsAt(fleet: Fleet, count: number): Promise<SimulatedPhone[]> {
  const phones: SimulatedPhone[] = [];
  for (let i = 0; i < count; i++) {
    phones.push(call(fleet));
    await sleep(15);
  }
  await Promise.all(phones.map((phone) => phone.started));
  return phones;
}

describeOnRedis('a fleet whose Redis is away', () => {
  it(`loses none of ${CALLS} running calls in ${DOWN_MS / 1000} seconds, rejects new ones clearly, and recovers by itself`, async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url, { MAX_CALLS: '1000' });
    const phones = await callsAt(fleet, CALLS);
    const [first, second] = fleet.nodes as [FleetNode, FleetNode];

    await redis.stop();
    const downAt = performance.now();
    await eventually('the loss', () => fleet.nodes.every(({ output }) => output.includes('registry down')));
    // Other nodes may still have their Redis: Twilio is sent to them first.
    const sentOn = await postForm(first.url, '/twilio/voice', voiceParameters());
    expect(await sentOn.text()).toContain('/twilio/voice?again=1</Redirect>');
    const refused = await postForm(first.url, '/twilio/voice?again=3', voiceParameters());
    expect(await refused.text()).toContain('<Reject reason="busy"/>');
    const placed = await second.control('/v1/calls', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ to: '+15551230000' }),
    });
    expect([placed.status, await placed.json()]).toMatchObject([
      503,
      { error: { code: 'GW_REGISTRY_DOWN' } },
    ]);
    // While calls are running, the node must stay in service.
    const told = { registry: 'down', cause: 'nothing listens there' };
    expect(await first.ready()).toEqual({ status: 200, body: expect.objectContaining(told) });
    expect(await first.metric('registry_up')).toBe(0);
    expect(await first.metric('calls_refused_total{reason="registry"}')).toBe(1);

    // A node's own calls can still be controlled, and their callers can hang up.
    const own = (await (await first.control('/v1/calls')).json()) as {
      calls: { callId: string; callSid: string }[];
    };
    const hungUp = phones.find(({ callSid }) => callSid === own.calls[0]?.callSid) as SimulatedPhone;
    expect((await first.control(`/v1/calls/${own.calls[0]?.callId}`, { method: 'DELETE' })).status).toBe(200);
    await hungUp.ended;

    await sleep(DOWN_MS - (performance.now() - downAt));
    const running = phones.filter((phone) => phone !== hungUp);
    expect(running.filter(({ streams }) => streams.length !== 1 || !streams[0]?.isOpen)).toEqual([]);

    await redis.start();
    for (const node of fleet.nodes) {
      await eventually('the registry', async () => (await node.metric('registry_up')) === 1, 10_000);
    }
    // New calls are accepted again, and the old ones are registered again: the node may drain.
    const later = await callsAt(fleet, 3);
    await sleep(1_000);
    const had = await first.metric('calls_active');
    first.child.kill('SIGTERM');
    expect(await first.exited).toEqual([0, null]);
    await eventually(
      'all talking',
      () => [...running, ...later].every(({ streams }) => streams.at(-1)?.isOpen),
      10_000,
    );
    expect(await second.metric('handovers_total{why="drain"}')).toBe(had);
    const all = [...running, ...later];
    await Promise.all(all.map((phone) => phone.hangUp()));
    const outcomes = await Promise.all(all.map((phone) => phone.ended));
    expect(outcomes.filter(({ status, error }) => status !== 'completed' || error !== undefined)).toEqual([]);
  });

  it('lets a caller whose node dies meanwhile wait, and connects them when Redis is back', async () => {
    const redis = await RedisServer.start('--save', '3600 1');
    const fleet = await startFleet(2, redis.url);
    const phone = call(fleet);
    await phone.started;
    const holder = fleet.nodes.find(({ address }) => fleet.proxy.served(address).sockets === 1) as FleetNode;
    redis.freeze();
    await holder.kill();
    const other = fleet.nodes.find((node) => node !== holder) as FleetNode;
    await eventually('the wait', () => other.output.includes('asking Twilio to retry'), 10_000);
    redis.thaw();
    await eventually('connected again', () => phone.streams.length === 2, 15_000);
    await phone.hangUp();
    expect((await phone.ended).error).toBeUndefined();
  });

  it('starts without Redis, rejects calls until it is up, and accepts them then', async () => {
    const redis = await RedisServer.start();
    await redis.stop();
    const fleet = await startFleet(1, redis.url);
    const [node] = fleet.nodes as [FleetNode];
    expect(node.output).toContain('registry down: nothing listens there');
    expect(await node.ready()).toMatchObject({ status: 503, body: { cause: 'nothing listens there' } });
    const busy = await postForm(node.url, '/twilio/voice?again=3', voiceParameters());
    expect(await busy.text()).toContain('<Reject');
    await redis.start();
    await eventually('the registry', () => node.output.includes('registry up'));
    const answer = await postForm(node.url, '/twilio/voice', voiceParameters());
    expect(await answer.text()).toContain('<Stream');
  });

  it('does not start if Redis will never accept it, and reports that without the password', async () => {
    const redis = await RedisServer.start('--requirepass', 'right-password');
    const failed = await startFleet(1, redis.url.replace('//', '//:wrong-password@')).catch(
      (error: Error) => error,
    );
    expect(String(failed)).toContain('it rejects this user and password');
    expect(String(failed)).not.toContain('wrong-password');
  });
});
