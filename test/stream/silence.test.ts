import { describe, expect, it } from 'vitest';
import { agentLevel, heardBy, phoneLevel } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';
import { bound, eventually, sleep } from '../support/time.js';
import { hasTurn, startTurn } from '../support/turn.js';

const { start, talk } = realStream();

/** Longest silence that a dead way may bring. */
const HEARD_AGAIN_MS = 6_000;
/** A tone counts when it was heard for so long. */
const LISTENED_MS = 500;

describe('is heard again within six seconds', () => {
  it.each(['publisher', 'subscriber', undefined] as const)('when its media dies: %s', async (side) => {
    const { double, other, userId, hear, bridge, caller } = await talk();
    const begun = performance.now();
    double.silenceMedia(userId, side);
    await eventually('it to join again', () => bridge.stats().rejoins === 1, 15_000);
    await hear(' again');
    const ms = performance.now() - begun - LISTENED_MS;
    expect(ms).toBeLessThan(bound(HEARD_AGAIN_MS));
    const gaps = other.gaps(userId).filter(({ atMs }) => atMs > begun - 1_000);
    if (side !== 'subscriber') expect(gaps).not.toEqual([]);
    for (const gap of gaps) expect(gap.ms).toBeLessThan(bound(HEARD_AGAIN_MS));
    expect(caller.status).toBe('in-progress');
    if (process.env.TEST_LOG) console.log(side, Math.round(ms), gaps);
  });
});

describe('raises no false alarm', () => {
  const QUIET_MS = 40_000;

  it.each([0, 0.05, 0.2])('over a network that loses %f of all datagrams, including checks', async (loss) => {
    const { phone, agent, double, bridge, pool, gateway } = await start({
      gateway: { prepareCall: ({ from }) => ({ room: ROOMS[from?.at(-1) as string] as string }) },
    });
    // Three who talk, three who are muted, two who are alone.
    const [talking, muted] = [
      await agent('talking', 1_700, { callId: 'talking' }),
      await agent('muting', 1_700, { callId: 'muted' }),
    ];
    const callers = [...'01234567'].map((digit) => phone(1_000, { from: `+1555000444${digit}` }));
    await eventually('all to be in', () => bridge.stats().joined === callers.length, 30_000);
    for (const caller of callers.slice(0, 6)) await heardBy('the phone', () => phoneLevel(caller, 1_700));
    await heardBy('the agent', () => agentLevel(talking, 1_000));
    await muted.sendEvent({ type: 'phone.mute' });
    await muted.mute();
    await eventually('silence', () => muted.level({ seconds: 0.2 }) === 0, 10_000);
    double.disturb({ loss });
    await sleep(QUIET_MS);
    double.disturb();
    expect([bridge.stats().rejoins, pool.deaths]).toEqual([0, 0]);
    expect(gateway.stats().activeCalls).toBe(callers.length);
    await heardBy('the agent', () => agentLevel(talking, 1_000));
  });
});

const ROOMS: Readonly<Record<string, string>> = {
  ...{ 0: 'talking', 1: 'talking', 2: 'talking' },
  ...{ 3: 'muted', 4: 'muted', 5: 'muted' },
  ...{ 6: 'alone-1', 7: 'alone-2' },
};

describe('survives', () => {
  it('lost handshakes, once they get through', async () => {
    const { double, phone, agent } = await start();
    const other = await agent('agent', 1_700);
    const joins = () => double.state.requests['POST /video/call/:type/:id/join'] ?? 0;
    const before = joins();
    double.disturb({ lost: ['dtls'] });
    const caller = phone(1_000);
    await eventually('another try', () => joins() >= before + 2, 15_000);
    double.disturb();
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  });

  it('lost connectivity checks while media continues', async () => {
    const { double, hear, bridge, caller } = await talk();
    double.disturb({ lost: ['stun'] });
    await sleep(6_000);
    await hear(' all the time');
    double.disturb();
    await hear(' afterwards');
    expect([caller.status, bridge.stats().rejoins]).toEqual(['in-progress', 0]);
  });

  it('talkers who send nothing during silence (DTX), with redundancy (RED)', async () => {
    const { double, phone, agent, bridge } = await start();
    const audio = { opus_dtx_enabled: true, redundant_coding_enabled: true };
    const other = await agent('agent', 1_700, { settings: { audio } });
    const caller = phone(1_000);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    other.silence();
    const before = double.state.forwardedPackets;
    await sleep(8_000);
    // The phone's own continue, 50 a second; its agent's are few.
    expect(double.state.forwardedPackets - before).toBeLessThan(8 * 75);
    other.play(1_700);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    await heardBy('the agent', () => agentLevel(other, 1_000));
    expect(bridge.stats().rejoins).toBe(0);
  });

  it.runIf(hasTurn())('a network without UDP, over a TCP relay', async () => {
    const { double, phone, agent, bridge } = await start();
    const { iceServer, relayPorts } = await startTurn();
    double.offerRelays([iceServer]);
    double.disturb({ relayPorts });
    const other = await agent('agent', 1_700);
    const caller = phone(1_000);
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    double.disturb();
    double.offerRelays([]);
    expect(bridge.stats().rejoins).toBe(0);
  });
});
