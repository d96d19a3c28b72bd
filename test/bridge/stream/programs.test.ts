import { describe, expect, it } from 'vitest';
import type { AgentCall } from '../../../src/agents/index.js';
import type { Program } from '../../../src/bridge/bridge.js';
import { AudioSource } from '../../../src/simulator/index.js';
import { upgradeStatus } from '../../support/caller.js';
import { KEY, legUrl, TestLeg } from '../../support/leg.js';
import { restless, soundMs } from '../../support/restless.js';
import type { FakeParticipant } from '../../support/stream/fake-media-host.js';
import { phoneLevel } from '../../support/stream-call.js';
import { type StreamSetup, startRest, startStream } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

const time = virtualTime();

const RATE = 16_000;
const TRANSIT_MS = 80;

/** A gateway whose calls meet in a Stream call in which participants hear each other. */
async function start(setup: StreamSetup = {}) {
  const started = await startStream({ ...setup, gateway: { controlApiKey: KEY, ...setup.gateway } });
  started.host.transitMs = TRANSIT_MS;
  const program = (query = '', room = 'room') => TestLeg.join(started.url, room, `?rate=${RATE}${query}`);
  /** The participants of programs, in the order in which they were placed. */
  const programs = (): FakeParticipant[] =>
    started.host.placed.filter(({ userId }) => /^(agent|listener)-/.test(userId));
  return { ...started, program, programs };
}

/** A phone and a program that hear each other. */
async function talk(setup: StreamSetup = {}) {
  const started = await start(setup);
  const leg = await started.program();
  const caller = started.phone(503);
  const { phone } = await leg.event('joined');
  return { ...started, leg, caller, callId: phone };
}

/** How much sound there was in the last half second that a program heard. */
const heardMs = (leg: TestLeg) => soundMs(leg.heard.slice(-RATE / 2), RATE);

describe('a program in a Stream call', () => {
  it('is a participant with a name of its own, hears phones and people, and is heard by them', async () => {
    const { leg, caller, programs, rest, agent, host, bridge } = await talk();
    await eventually('the phone', () => heardMs(leg) >= 480);
    const userId = programs()[0]?.userId as string;
    expect(userId).toMatch(/^agent-room-[0-9a-f]{8}$/);
    expect(rest.user(userId)?.name).toBe('Agent');
    leg.say(restless(3_000, RATE));
    await eventually('the program’s voice', () => soundMs(caller.heard().slice(-4_000)) >= 480);
    const other = agent('agent', 1_700);
    await eventually('a person’s voice', () => phoneLevel(caller, 1_700) > -1);
    expect(other.level({ from: userId, seconds: 0.2 })).toBeGreaterThan(1_000);
    expect(host.userIds()).toHaveLength(3);
    expect(bridge.stats()).toMatchObject({ joined: 1, programs: 1 });
  });

  it('is who the code says', async () => {
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

  it('is invisible while the phone rings, appears with it, and is notified when it is heard', async () => {
    const { host, phone, program, programs } = await start();
    const caller = phone(503, { faults: { startDelayMs: 3_000 } });
    await eventually('the phone’s preparation', () => host.placed.length === 1);
    const leg = await program();
    await eventually('the program’s preparation', () => programs()[0]?.isReady === true);
    await sleep(1_000);
    expect([host.userIds(), leg.ready.phones]).toEqual([[], []]);
    await leg.event('joined');
    expect(host.userIds()).toHaveLength(2);
    // The greeting is heard from its first word.
    leg.say(restless(500, RATE));
    await sleep(1_000);
    expect(soundMs(caller.heard())).toBeGreaterThanOrEqual(490);
    expect((await program()).ready.phones).toEqual([expect.any(String)]);
  });

  it('appears after a phone that hung up while it rang', async () => {
    const { host, phone, program } = await start();
    const caller = phone(503, { faults: { startDelayMs: 30_000 } });
    await eventually('the phone’s preparation', () => host.placed[0]?.isReady === true);
    await program();
    await sleep(1_000);
    caller.close();
    await eventually('the program', () => host.userIds().length === 1, 20_000);
    expect(host.userIds()).toEqual([expect.stringMatching(/^agent-room-/)]);
  });

  it('appears with a phone that is visible while it rings', async () => {
    const { host, phone, program } = await start({ bridge: { joinAt: 'ring' } });
    const caller = phone(503, { faults: { startDelayMs: 5_000 } });
    const leg = await program();
    await eventually('both', () => host.userIds().length === 2, 4_000);
    expect(leg.all('joined')).toEqual([]);
    await caller.started;
    await leg.event('joined');
  });

  it('appears at once if no phone is in the call, and leaves with its socket', async () => {
    const { host, program } = await start();
    const leg = await program();
    await eventually('the program', () => host.userIds().length === 1);
    leg.close();
    await eventually('its end', () => host.userIds().length === 0);
  });

  it('hears the caller’s first words, although it joins later than the phone', async () => {
    const { host, phone, program } = await start();
    const caller = phone(undefined, { faults: { startDelayMs: 500 } });
    caller.say(new AudioSource('first words', restless(400, 8_000)));
    await eventually('the phone’s preparation', () => host.placed[0]?.isReady === true);
    host.readyMs = 900;
    const leg = await program();
    await leg.event('joined');
    await sleep(2_000);
    // Words that had to wait are spoken somewhat faster.
    expect(soundMs(leg.heard, RATE)).toBeGreaterThanOrEqual(340);
  });

  it('is notified of keys, and of the phone’s end', async () => {
    const { leg, caller, callId } = await talk();
    caller.dtmf('4#');
    await eventually('two keys', () => leg.all('dtmf').length === 2);
    expect(leg.all('dtmf').map(({ phone, digit }) => [phone, digit])).toEqual([
      [callId, '4'],
      [callId, '#'],
    ]);
    await caller.hangUp();
    expect((await leg.event('left')).phone).toBe(callId);
    expect(leg.closed).toBeUndefined();
  });

  it('takes no commands from the call', async () => {
    const { leg, caller, host } = await talk();
    const other = host.join('default:room', 'agent');
    other.sendEvent({ type: 'phone.hangup' });
    await caller.ended;
    await sleep(1_000);
    expect(host.userIds()).toEqual(['agent', expect.stringMatching(/^agent-room-/)]);
    expect(leg.closed).toBeUndefined();
    expect(other.events.filter(({ userId }) => userId !== 'agent')).toEqual([]);
  });

  it('keeps a caller company; one that only listens does not', async () => {
    const { leg, caller } = await talk({ bridge: { aloneSeconds: 5 } });
    await sleep(8_000);
    expect(caller.status).toBe('in-progress');
    leg.close();
    expect(await caller.ended).toMatchObject({ status: 'completed' });
    const another = await start({ bridge: { aloneSeconds: 5 } });
    const lonely = another.phone(503);
    const listener = await another.program('&listen=1');
    await eventually('the listener', () => another.host.userIds().length === 2);
    const begun = time.now();
    await lonely.ended;
    expect(time.now() - begun).toBeLessThan(6_000);
    expect(listener.all('left')).toHaveLength(1);
  });

  it('with two phones hangs up the one that it names; marks are only sent', async () => {
    const { leg, caller, callId, phone } = await talk();
    const second = phone(701, { from: '+15550004444' });
    await eventually('both', () => leg.all('joined').length === 2);
    leg.say(restless(1_500, RATE));
    leg.tell({ type: 'mark', name: 'a' });
    await eventually('the mark', () => leg.all('mark').length === 1);
    expect(leg.all('mark')[0]?.place).toBe('sent');
    leg.say(restless(3_000, RATE));
    await sleep(1_000);
    leg.tell({ type: 'clear' });
    await leg.event('cleared');
    await sleep(1_000);
    for (const one of [caller, second]) expect(phoneLevel(one, 1_000)).toBeLessThan(-20);
    leg.tell({ type: 'hangup', phone: callId });
    await caller.ended;
    await sleep(1_000);
    expect([leg.all('left').map(({ phone }) => phone), second.status]).toEqual([[callId], 'in-progress']);
  });

  it('that only listens hears everybody and publishes nothing', async () => {
    const { leg, program, programs, agent } = await talk();
    const listener = await program('&listen=1');
    await eventually('it to be in', () => programs()[1]?.isIn === true);
    expect(programs()[1]).toMatchObject({
      userId: expect.stringMatching(/^listener-room-/),
      request: { userName: 'Listener', onlyListens: true },
    });
    leg.say(restless(2_000, RATE));
    await eventually('the program’s voice', () => heardMs(listener) >= 480);
    const other = agent();
    expect(other.remoteUserIds()).toHaveLength(3);
    listener.say(restless(100, RATE));
    expect(await listener.event('error')).toMatchObject({ code: 'GW_LEG_LISTENS' });
    expect(programs()[1]?.frames).toBe(0);
  });
});

describe('an interruption', () => {
  it('tells what was not heard, to within a frame, whatever the transit', async () => {
    for (const transitMs of [40, 80, 200]) {
      const { leg, caller, host } = await talk();
      host.transitMs = transitMs;
      for (let i = 0; i < 4; i++) {
        const before = soundMs(caller.heard());
        const { playedMs: from } = leg.all('cleared').at(-1) ?? { playedMs: 0 };
        leg.say(restless(6_000, RATE, i + 1));
        await sleep(1_500 + i * 137);
        leg.tell({ type: 'clear' });
        await eventually('the answer', () => leg.all('cleared').length === i + 1);
        await sleep(1_000);
        const { playedMs = 0 } = leg.all('cleared').at(-1) ?? {};
        const heard = soundMs(caller.heard()) - before;
        if (process.env.TEST_LOG) console.log({ transitMs, heard, told: playedMs - from });
        expect(Math.abs(heard - (playedMs - from)), `${transitMs} ms, interruption ${i}`).toBeLessThanOrEqual(
          30,
        );
      }
      leg.close();
      await caller.hangUp();
    }
  });

  it('drops nothing that others say, and nothing that the program says next', async () => {
    const { leg, caller, agent, programs } = await talk();
    agent('agent', 503);
    leg.say(restless(6_000, RATE));
    await sleep(2_000);
    const heard = caller.heard().length;
    leg.tell({ type: 'clear' });
    await leg.event('cleared');
    await sleep(1_000);
    // What was queued at the phone is gone for both; the other goes on.
    expect(soundMs(caller.heard().slice(heard))).toBeGreaterThan(850);
    await eventually(
      'the other alone',
      () => phoneLevel(caller, 1_000) < -50 && phoneLevel(caller, 503) > -1,
    );
    expect(programs()[0]?.clears).toBe(1);
  });

  it('leaves the words whole that follow it at once', async () => {
    const { leg, caller } = await talk();
    leg.say(restless(4_000, RATE));
    await sleep(2_000);
    leg.tell({ type: 'clear' });
    leg.say(restless(500, RATE, 7));
    const { playedMs } = await leg.event('cleared');
    await sleep(1_500);
    expect(Math.abs(soundMs(caller.heard()) - playedMs - 500)).toBeLessThanOrEqual(30);
  });
});

describe('a mark', () => {
  it('is heard when the caller has heard all before it', async () => {
    const { leg, caller, host } = await talk();
    host.transitMs = 200;
    leg.say(restless(1_000, RATE));
    leg.tell({ type: 'mark', name: 'a' });
    await eventually('the mark', () => leg.all('mark').length === 1);
    expect(soundMs(caller.heard())).toBeGreaterThanOrEqual(980);
    expect(leg.all('mark')[0]).toMatchObject({ name: 'a', place: 'heard', playedMs: 1_000 });
  });

  it('is cleared by an interruption while its audio is on the way, and without a phone it is sent', async () => {
    const { leg, caller } = await talk();
    leg.say(restless(100, RATE));
    leg.tell({ type: 'mark', name: 'a' });
    await sleep(150);
    leg.tell({ type: 'clear' });
    await eventually('the mark', () => leg.all('mark').length === 1);
    await caller.hangUp();
    await leg.event('left');
    leg.say(restless(100, RATE));
    leg.tell({ type: 'mark', name: 'b' });
    await eventually('both', () => leg.all('mark').length === 2);
    expect(leg.all('mark').map(({ name, place }) => `${name} ${place}`)).toEqual(['a cleared', 'b sent']);
  });

  it('of a program is not an event of the call', async () => {
    const { leg, host } = await talk();
    const other = host.join('default:room', 'agent');
    leg.tell({ type: 'mark', name: 'a' });
    await eventually('the mark', () => leg.all('mark').length === 1);
    await sleep(500);
    expect(other.events).toEqual([]);
  });
});

describe('a hang-up by a program', () => {
  it('comes after its last words, even if it has disconnected by then', async () => {
    const { leg, caller } = await talk();
    leg.say(restless(800, RATE));
    leg.tell({ type: 'hangup' });
    leg.socket.close();
    expect(await caller.ended).toMatchObject({ status: 'completed' });
    expect(soundMs(caller.heard())).toBeGreaterThanOrEqual(790);
  });

  it('is refused for an unknown phone, and ends one at once', async () => {
    const { leg, caller, callId } = await talk();
    leg.tell({ type: 'hangup', phone: 'nobody' });
    expect(await leg.event('error')).toMatchObject({ code: 'GW_CALL_UNKNOWN' });
    leg.say(restless(5_000, RATE));
    await sleep(500);
    leg.tell({ type: 'hangup', phone: callId, after: 'now' });
    await caller.ended;
    expect(soundMs(caller.heard())).toBeLessThan(700);
  });
});

describe('a transfer by a program', () => {
  it('comes after its last words', async () => {
    const { leg, caller } = await talk();
    leg.say(restless(800, RATE));
    leg.tell({ type: 'transfer', to: '+15557654321' });
    expect((await caller.ended).dialled).toEqual(['+15557654321']);
    expect(soundMs(caller.heard())).toBeGreaterThanOrEqual(790);
  });

  it('to what is no number is refused', async () => {
    const { leg, caller } = await talk();
    leg.tell({ type: 'transfer', to: 'not a number' });
    expect(await leg.event('error')).toMatchObject({ code: 'GW_TRANSFER_TO' });
    expect(caller.status).toBe('in-progress');
  });
});

describe('a program that is lost', () => {
  it('joins again; its words wait until it is back', async () => {
    const { leg, caller, programs, bridge } = await talk();
    leg.say(restless(2_000, RATE));
    await sleep(1_000);
    programs()[0]?.depart('lost');
    await eventually('the next one', () => programs()[1]?.isIn === true);
    await sleep(2_500);
    // What was on its way at the loss is lost.
    expect(soundMs(caller.heard())).toBeGreaterThanOrEqual(2_000 - TRANSIT_MS - 60);
    expect(bridge.stats().rejoins).toBe(1);
  });

  it('for good is notified, by a close with 1011', async () => {
    const { host, program } = await start({ bridge: { joinSeconds: 3 } });
    host.fate = 'forbidden';
    const leg = await program();
    await eventually('its end', () => leg.closed !== undefined);
    expect(leg.closed).toEqual({ code: 1011, reason: 'GW_STREAM_PERMISSION' });
    host.fate = 'lost';
    const other = await program();
    await eventually('its end', () => other.closed !== undefined, 10_000);
    expect(other.closed).toEqual({ code: 1011, reason: 'GW_STREAM_JOIN' });
  });

  it('because the call has ended is notified, by a close with 1000', async () => {
    const { leg, rest, caller, host } = await talk();
    rest.endCall('default:room');
    await caller.ended;
    await eventually('its end', () => leg.closed !== undefined);
    expect(leg.closed).toEqual({ code: 1000, reason: 'the call has ended' });
    expect(host.userIds()).toEqual([]);
  });

  it('before Stream knows of it is notified, too', async () => {
    const { rest, program } = await start();
    rest.failNext({ path: '/video/call', status: 403, times: 9 });
    const leg = await program();
    await eventually('its end', () => leg.closed !== undefined, 30_000);
    expect(leg.closed).toEqual({ code: 1011, reason: 'GW_STREAM_REFUSED' });
  });
});

it('a room that cannot be a Stream call is refused before the upgrade', async () => {
  const { url } = await start();
  const headers = { authorization: `Bearer ${KEY}` };
  for (const room of ['call:a:b', 'with spaces', 'x'.repeat(65)]) {
    const status = await upgradeStatus(legUrl(url, room), headers);
    expect(status).toEqual({ status: 400, code: 'GW_STREAM_CALL_NAME' });
  }
});

it('the closing of a gateway takes programs out of their calls', async () => {
  const { leg, gateway, host, bridge } = await talk();
  await gateway.close();
  expect(host.userIds()).toEqual([]);
  expect(bridge.stats()).toMatchObject({ joined: 0, programs: 0 });
  await eventually('the close', () => leg.closed?.code === 1001);
});

it('names of one room mean one room', async () => {
  const { program, phone, host } = await start();
  const leg = await program('', 'default:room');
  phone(503);
  await leg.event('joined');
  expect(new Set(host.placed.map(({ cid }) => cid))).toEqual(new Set(['default:room']));
});

it('an agent that the gateway dials greets from its first word, and learns what an interruption cut off', async () => {
  const calls: AgentCall[] = [];
  const greeter = (call: AgentCall) => {
    calls.push(call);
    call.send(restless(3_000, call.sendRate));
  };
  const { phone, host } = await start({
    gateway: { agent: 'greeter', agents: { handlers: { greeter } } },
  });
  const caller = phone(503, { faults: { startDelayMs: 1_000 } });
  await eventually('the agent', () => calls.length === 1);
  expect(host.userIds()).toEqual([]);
  await caller.started;
  await eventually('half of the greeting', () => soundMs(caller.heard()) > 1_500);
  expect(host.userIds()).toEqual([expect.stringMatching(/^agent-room-/), expect.stringMatching(/^phone-/)]);
  const { playedMs } = (await calls[0]?.clear()) ?? {};
  await sleep(1_000);
  expect(Math.abs(soundMs(caller.heard()) - (playedMs as number))).toBeLessThanOrEqual(30);
  calls[0]?.close(1000, 'finished');
  expect(await caller.ended).toMatchObject({ status: 'completed', said: [] });
});
