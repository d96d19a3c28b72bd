import { expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { PUBLIC_URL } from '../support/caller.js';
import { hears } from '../support/control.js';
import { startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';

describeOnRedis('two nodes and a Redis', () => {
  it('a call whose node stops continues on the other', async () => {
    const redis = await RedisServer.start();
    const { nodes, twilio } = await startFleet(2, redis.url);
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      audio: AudioSource.tone(1_000, -12),
      record: true,
    });
    await phone.started;
    const echoes = ({ streams }: SimulatedPhone, nth: number) => {
      const stream = streams[nth];
      return stream !== undefined && Math.abs(hears(stream, 1_000) - -12) < 1;
    };
    await eventually('the echo', () => echoes(phone, 0), 20_000);
    const active = await Promise.all(nodes.map((node) => node.metric('calls_active')));
    const [holder, other] = active[0] === 1 ? nodes : [...nodes].reverse();
    holder?.child.kill('SIGTERM');
    expect(await holder?.exited).toEqual([0, null]);
    await eventually('the echo again', () => echoes(phone, 1), 20_000);
    expect(await other?.metric('calls_active')).toBe(1);
    await phone.hangUp();
    expect((await phone.ended).status).toBe('completed');
  });
});
