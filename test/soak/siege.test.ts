import { afterAll, beforeAll, expect, it } from 'vitest';
import { type LoadReport, runLoad } from '../../src/simulator/index.js';
import { ATTACKS, Attacker } from '../support/attacks.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { GatewayChild } from '../support/gateway-child.js';
import { KEY } from '../support/leg.js';
import { eventually, sleep } from '../support/time.js';

/** Few, because the phones run on the same machine; the bench has 100, and reports how late they hear. */
const CALLS = 40;
const ATTACK_MS = 1_500;
const MAX_MORE_BYTES = 64 * 1024 * 1024;

let gateway: GatewayChild;
let load: Promise<LoadReport>;
const hungUp = new AbortController();

beforeAll(async () => {
  gateway = await GatewayChild.start({ controlApiKey: KEY });
  load = runLoad({
    accountSid: ACCOUNT_SID,
    authToken: AUTH_TOKEN,
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    dial: { publicUrl: PUBLIC_URL, target: gateway.url },
    calls: CALLS,
    durationMs: 600_000,
    proofCalls: 0,
    signal: hungUp.signal,
  });
  await eventually('all calls', async () => (await gateway.report()).stats.activeCalls === CALLS, 30_000);
});
afterAll(async () => {
  hungUp.abort();
  await load;
  await gateway.stop();
});

it.each(ATTACKS.flatMap((attack) => [1, 200].map((connections) => ({ ...attack, connections }))))(
  '$name from $connections connections ends no call and costs no memory',
  async ({ connections, ...attack }) => {
    const before = await gateway.report();
    const attacker = await Attacker.start(gateway.url, attack, connections);
    try {
      let most = 0;
      for (let i = 0; i < 3; i++) {
        await sleep(ATTACK_MS / 3);
        most = Math.max(most, (await gateway.report()).rss);
      }
      const { sentBytes } = await attacker.counts();
      expect(sentBytes).toBeGreaterThan(0);
      expect(most - before.rss).toBeLessThan(MAX_MORE_BYTES);
    } finally {
      await attacker.stop();
    }
    // Audio still comes from every one of them.
    const { stats } = await gateway.report();
    expect(stats.activeCalls).toBe(CALLS);
    await eventually('audio', async () => {
      const { traffic } = (await gateway.report()).stats;
      return traffic.framesIn - stats.traffic.framesIn >= CALLS * 10;
    });
  },
);

it('as all phones confirm', async () => {
  hungUp.abort();
  const { lostCalls, failed, framesReceived } = await load;
  expect({ lostCalls, failed }).toEqual({ lostCalls: 0, failed: 0 });
  expect(framesReceived).toBeGreaterThan(CALLS * 50);
});
