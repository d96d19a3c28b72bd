import { expect, it } from 'vitest';
import { AudioSource, SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { FleetNode, sees } from '../support/fleet.js';
import { freePort } from '../support/port.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { RoundRobin } from '../support/round-robin.js';
import { eventually, sleep } from '../support/time.js';

/** Calls running when the old process is stopped, and calls that arrive meanwhile. */
const RUNNING = 100;
const COMING = 100;
/** Interval between callers. */
const PACE_MS = 20;

describeOnRedis('a rolling restart on one host', () => {
  it(`of processes that share a port loses none of ${RUNNING} running and ${COMING} new calls`, async () => {
    const redis = await RedisServer.start();
    const port = String(await freePort());
    // Asks again where a connection is reset before its answer, as docs/operations.md has proxies do: a kernel does that to
    // who waits at a listener in the moment in which it is closed.
    const proxy = await RoundRobin.listen([`127.0.0.1:${port}`]);
    proxy.patienceMs = 1_000;
    const dial = { publicUrl: PUBLIC_URL, target: proxy.url };
    const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
    const env = {
      REDIS_URL: redis.url,
      TWILIO_API_URL: await twilio.listen(),
      PORT: port,
      SHARE_PORT: 'on',
    };
    const place = () =>
      twilio.placeCall({
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        from: '+15550001111',
        to: '+15552223333',
        audio: AudioSource.speech(),
      });
    const old = await FleetNode.start({ ...env, NODE_ID: 'old' });
    const running = [];
    for (let i = 0; i < RUNNING; i++) {
      running.push(place());
      await sleep(PACE_MS);
    }
    await Promise.all(running.map((phone) => phone.started));
    const fresh = await FleetNode.start({ ...env, NODE_ID: 'fresh' });
    // A process that does not share the port does not get it.
    await expect(FleetNode.start({ ...env, SHARE_PORT: 'off' })).rejects.toThrow(
      'which is taken or not ours',
    );
    const coming = [];
    for (let i = 0; i < COMING; i++) {
      if (i === COMING / 4) old.child.kill('SIGTERM');
      coming.push(place());
      await sleep(PACE_MS);
    }
    expect(await old.exited).toEqual([0, null]);
    const phones = [...running, ...coming];
    await eventually(
      'all at the new one',
      async () => (await fresh.metric('calls_active')) === phones.length,
      20_000,
    );
    await sees(fresh, 1);
    await Promise.all(phones.map((phone) => phone.hangUp()));
    const outcomes = await Promise.all(phones.map((phone) => phone.ended));
    const lost = outcomes.filter(({ status, error }) => status !== 'completed' || error !== undefined);
    expect(lost).toEqual([]);
    expect(old.output).toContain('stopped listening; other processes keep the port');
    const errors = (old.output + fresh.output).split('\n').filter((line) => line.includes('"level":50'));
    // A machine that stalls for half a second looks like a Redis that does.
    expect(errors.filter((line) => !line.includes('registry down'))).toEqual([]);
    expect(proxy.unanswered).toBe(0);
    await twilio.close();
    await proxy.close();
  });
});
