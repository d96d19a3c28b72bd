import { describe, expect, it } from 'vitest';
import type { Program } from '../../../src/bridge/bridge.js';
import { KEY, legUrl, TestLeg } from '../../support/leg.js';
import { restless, soundMs } from '../../support/restless.js';
import type { FakeParticipant } from '../../support/stream/fake-media-host.js';
import { phoneLevel } from '../../support/stream-call.js';
import { type StreamSetup, startRest, startStream } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';
import { upgradeStatus } from '../../support/upgrade-status.js';

virtualTime();

const RATE = 16_000;
const TRANSIT_MS = 80;

/** A gateway whose calls meet in a Stream call in which participants hear each other. */
async function start(setup: StreamSetup = {}) {
  const started = await startStream({ ...setup, gateway: { controlApiKey: KEY, ...setup.gateway } });
  started.host.transitMs = TRANSIT_MS;
  const program = (query = '', room = 'room') => TestLeg.join(started.url, room, `?rate=${RATE}${query}`);
  /** The participant of the program that joined as the `index`th. */
  const participant = (index = 0) =>
    started.host.placed.filter(({ userId }) => /^(agent|listener)-/.test(userId))[index] as FakeParticipant;
  return { ...started, program, participant };
}

/** A phone and a program that hear each other. */
async function talk(setup: StreamSetup = {}) {
  const started = await start(setup);
  const leg = await started.program();
  const caller = started.phone(503);
  const { phone } = await leg.event('joined');
  return { ...started, leg, caller, callId: phone };
}

/** How loud a tone is in what a program heard last. */
const heardBy = (leg: TestLeg) => soundMs(leg.heard.slice(-RATE / 2), RATE);

describe('a program in a Stream call', () => {
  it('is a participant with a name of its own, and hears phones and people', async () => {
    const { leg, caller, participant, rest, agent, host, bridge } = await talk();
    await eventually('the phone', () => heardBy(leg) === 500);
    const { userId } = participant();
    expect(userId).toMatch(/^agent-room-[0-9a-f]{8}$/);
    expect(rest.user(userId)?.name).toBe('Agent');
    leg.say(restless(3_000, RATE));
    await eventually('the program’s voice', () => soundMs(caller.heard().slice(-4_000)) === 500);
    const other = agent('agent', 1_700);
    await eventually('a person’s voice', () => phoneLevel(caller, 1_700) > -1);
    expect(other.level({ from: userId, seconds: 0.2 })).toBeGreaterThan(1_000);
    expect(host.userIds()).toHaveLength(3);
    expect(bridge.stats()).toMatchObject({ joined: 1, programs: 1 });
  });

  it('is as whom the code says', async () => {
    const { host, bridgeTo, rest } = await startRest();
    const program = { write() {} } as unknown as Program;
    const leg = bridgeTo().joinProgram('room', program, false, { id: 'desk', name: 'Front desk' });
    await eventually('the program', () => host.userIds().includes('desk'));
    expect(rest.user('desk')?.name).toBe('Front desk');
    leg.close();
    expect(() => bridgeTo().joinProgram('room', program, false, { id: 'no spaces' })).toThrow(
      expect.objectContaining({ code: 'GW_STREAM_USER' }),
    );
  });

  it('is invisible while the phone rings, appears with it, and is audible before it is notified', async () => {
    const { host, phone, program, participant } = await start();
    const caller = phone(503, { faults: { startDelayMs: 3_000 } });
    await eventually('the preparation', () => host.placed.length === 1);
    const leg = await program();
    await eventually('the program’s preparation', () => participant()?.isReady);
    await sleep(1_000);
    expect(host.userIds()).toEqual([]);
    expect(leg.ready.phones).toEqual([]);
    await caller.started;
    await leg.event('joined');
    expect(host.userIds()).toHaveLength(2);
    // The greeting is heard from its first word.
    leg.say(restless(500, RATE));
    await sleep(1_000);
    expect(soundMs(caller.heard())).toBeGreaterThanOrEqual(490);
    expect((await program()).ready.phones).toEqual([expect.any(String)]);
  });

  it('appears at once where no phone is', async () => {
    const { host, program, participant } = await start();
    const leg = await program();
    await eventually('the program', () => host.userIds().length === 1);
    leg.close();
    await eventually('its end', () => host.userIds().length === 0);
    expect(participant().request.onlyListens).toBeUndefined();
  });

  it('hears the caller’s first words', async () => {
    const { host, phone, program } = await start();
    // Its join takes longer than the phone's.
    const caller = phone(undefined, { faults: { startDelayMs: 500 } });
    await eventually('the preparation', () => host.placed.length === 1);
    const leg = await program();
    const { restless: _ } = { restless };
    caller.speak(AudioSourceOf(restless(400, 8_000)));
    await caller.started;
    await sleep(2_000);
    expect(soundMs(leg.heard, RATE)).toBeGreaterThanOrEqual(390);
  });
});
