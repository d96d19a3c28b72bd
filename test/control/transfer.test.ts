import { describe, expect, it, vi } from 'vitest';
import { type GatewayOptions, type JoinRequest, LocalBridge, type PhoneLine } from '../../src/index.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { hears, startControlled } from '../support/control.js';
import { TestLeg } from '../support/leg.js';
import { tone } from '../support/media.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const OTHER = '+15557778888';
const LEVEL = 8_000;
const SILENT = -45;

describe('a transfer', () => {
  it.each([
    ['number', OTHER],
    ['sip', 'sip:desk@example.com'],
  ])('to a %s has Twilio connect the caller; the call ends here, and nobody is hung up', async (kind, to) => {
    const { control, phone, callId, event } = await startControlled().then(async (started) => ({
      ...started,
      ...(await started.place()),
    }));
    const { status, body } = await control('POST', 'transfer', {
      [kind]: to,
      callerId: '+15550009999',
      ringSeconds: 20,
      limitSeconds: 600,
    });
    expect([status, body]).toEqual([200, { callId, to: kind }]);
    expect(await event('call.ended')).toMatchObject({ cause: 'transferred' });
    const outcome = await phone.ended;
    expect(outcome).toMatchObject({ status: 'completed', dialled: [to], error: undefined });
    expect(await control('POST', 'transfer', { [kind]: to })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_CALL_ENDED' } },
    });
  });

  it('that Twilio rejects leaves the call as it is', async () => {
    const { control, phone, gateway, callId } = await startControlled().then(async (started) => ({
      ...started,
      ...(await started.place()),
    }));
    // Twilio does not know this one.
    const call = gateway.calls.get(callId);
    gateway.calls.bindSid(call as never, `CA${'f'.repeat(32)}`);
    expect(await control('POST', 'transfer', { number: OTHER })).toMatchObject({
      status: 502,
      body: { error: { code: 'GW_TWILIO_REFUSED' } },
    });
    expect(gateway.calls.get(callId)?.state).toBe('live');
    gateway.calls.bindSid(call as never, phone.callSid);
    expect((await control('POST', 'transfer', { number: OTHER })).status).toBe(200);
    expect((await phone.ended).dialled).toEqual([OTHER]);
  });

  it('without a Twilio account needs a continuation URL', async () => {
    const twilio = { accountSid: undefined } as unknown as NonNullable<GatewayOptions['twilio']>;
    const { control, phone } = await (await startControlled({ twilio })).place();
    expect(await control('POST', 'transfer', { number: OTHER })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_TRANSFER_IMPOSSIBLE' } },
    });
    await phone.hangUp();
  });

  it('to another room moves the live caller: same media stream, other voices', async () => {
    const { url, gateway, place } = await startControlled({ prepareCall: () => ({ room: 'first' }) });
    const { control, phone, callId } = await place(AudioSource.tone(1_000));
    const first = await TestLeg.join(url, 'first', '?rate=16000');
    const second = await TestLeg.join(url, 'second', '?rate=16000');
    first.say(tone(600, 16_000, 25 * 16_000, LEVEL));
    second.say(tone(800, 16_000, 25 * 16_000, LEVEL));
    await eventually('the first room', () => hears(phone, 600, 300) > -20);
    const { streamSid } = gateway.stream(callId) ?? {};
    expect(await control('POST', 'transfer', { room: 'second' })).toEqual({
      status: 200,
      body: { callId, to: 'room', room: 'second' },
    });
    await eventually('the second', () => hears(phone, 800, 300) > -20 && hears(phone, 600, 300) < SILENT);
    expect((await first.event('left')).phone).toBe(callId);
    expect((await second.event('joined')).phone).toBe(callId);
    expect(gateway.stream(callId)?.streamSid).toBe(streamSid);
    expect(phone.streams).toHaveLength(1);
    // Keys and audio follow the caller.
    phone.dtmf('5');
    expect(await second.event('dtmf')).toMatchObject({ phone: callId, digit: '5' });
    expect(first.all('dtmf')).toEqual([]);
    // A transfer to the same room changes nothing.
    expect((await control('POST', 'transfer', { room: 'second' })).status).toBe(200);
    expect(second.all('left')).toEqual([]);
    expect(await control('POST', 'transfer', { stream: { id: 'third' } })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_BRIDGE_NOT_STREAM' } },
    });
    await phone.hangUp();
    expect((await second.event('left')).phone).toBe(callId);
  });

  it('to another room keeps the marks of both apart', async () => {
    const { url, gateway, place } = await startControlled({
      prepareCall: () => ({ room: 'first' }),
      leadMs: 2_000,
    });
    const { control, phone, callId } = await place(AudioSource.tone(1_000));
    const first = await TestLeg.join(url, 'first', '?rate=16000');
    const second = await TestLeg.join(url, 'second', '?rate=16000');
    const stream = gateway.stream(callId);
    const marks: string[] = [];
    stream?.on('mark', ({ name }) => marks.push(name));
    const placed = vi.spyOn(stream as NonNullable<typeof stream>, 'mark');
    // Audio that delays a mark at the phone.
    stream?.sendAudio(tone(600, 48_000, 72_000, LEVEL));
    first.tell({ type: 'mark', name: 'of the first' });
    await eventually('the first mark', () => placed.mock.calls.length === 1);
    await control('POST', 'transfer', { room: 'second' });
    await second.event('joined');
    second.tell({ type: 'mark', name: 'of the second' });
    await eventually('the second', () => placed.mock.calls.length === 2);
    expect(marks, 'none is back yet').toEqual([]);
    expect(await second.event('mark')).toMatchObject({ name: 'of the second' });
    await eventually('both', () => marks.length === 2);
    expect(new Set(marks).size).toBe(2);
    await phone.hangUp();
  });

  it('ends with its call', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    class SlowBridge extends LocalBridge {
      override async join(request: JoinRequest, line: PhoneLine) {
        if (request.room === 'slow') await held;
        if (request.room === 'broken') throw new Error('no such room');
        return super.join(request, line);
      }
    }
    const { place, url } = await startControlled({
      bridge: new SlowBridge(),
      prepareCall: () => ({ room: 'first' }),
    });
    const { control, phone, callId } = await place(AudioSource.tone(1_000));
    // If the bridge fails, the caller stays.
    expect(await control('POST', 'transfer', { room: 'broken' })).toMatchObject({
      status: 502,
      body: { error: { code: 'GW_TRANSFER_FAILED' } },
    });
    await eventually('the echo', () => hears(phone, 1_000, 300) > -20);
    const asked = control('POST', 'transfer', { room: 'slow' });
    await sleep(100);
    expect(await control('POST', 'transfer', { room: 'third' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_TRANSFER_UNDER_WAY' } },
    });
    await phone.hangUp();
    release();
    expect(await asked).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
    const leg = await TestLeg.join(url, 'slow');
    expect(leg.ready.phones, `${callId} is in no room`).toEqual([]);
    leg.close();
  });
});

describe.each([
  ['fails to', () => Promise.reject(new Error('stuck'))],
  ['never does', () => new Promise<void>(() => {})],
])('a transfer from a room that is to let go and %s', (_, close) => {
  class Clinging extends LocalBridge {
    override async join(request: JoinRequest, line: PhoneLine) {
      const leg = await super.join(request, line);
      if (request.room !== 'first') return leg;
      const release = leg.close.bind(leg);
      leg.close = () => {
        release();
        return close() as never;
      };
      return leg;
    }
  }

  it('completes all the same, and another can follow', async () => {
    const { place } = await startControlled({
      bridge: new Clinging(),
      prepareCall: () => ({ room: 'first' }),
    });
    const { control, phone, view } = await place();
    for (const room of ['second', 'third']) {
      expect(await control('POST', 'transfer', { room })).toMatchObject({ status: 200, body: { room } });
      expect((await view()).room).toBe(room);
    }
    await phone.hangUp();
  });
});

describe('a second leg', () => {
  it('joins the room of the call: they hear each other', async () => {
    const { place, twilio, gateway } = await startControlled(
      {},
      { callee: { does: 'answer', audio: AudioSource.tone(800), record: true } },
    );
    const { control, phone, callId } = await place(AudioSource.tone(1_000));
    const answered = new Promise<SimulatedPhone>((resolve) => twilio.once('answered', resolve));
    const { status, body } = await control('POST', 'legs', { to: OTHER, callId: 'second' });
    expect([status, body]).toEqual([201, { callId: 'second', callSid: expect.stringMatching(/^CA/) }]);
    const callee = await answered;
    await callee.started;
    await eventually('both', () => hears(phone, 800, 300) > -20 && hears(callee, 1_000, 300) > -20);
    await eventually('no echo any more', () => hears(phone, 1_000, 300) < SILENT);
    expect(gateway.calls.get('second')).toMatchObject({ to: OTHER, from: '+15550009999' });
    expect(await control('POST', 'legs', { to: OTHER, callId: 'second' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_CALL_EXISTS' } },
    });
    await callee.hangUp();
    await eventually('the echo for who is alone again', () => hears(phone, 1_000, 300) > -20);
    await phone.hangUp();
    expect(gateway.calls.get(callId)).toBeUndefined();
  });

  it('needs a room to join', async () => {
    const { place } = await startControlled({ prepareCall: () => ({ bridge: false }) });
    const { control, phone } = await place();
    expect(await control('POST', 'legs', { to: OTHER })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_LEG_IMPOSSIBLE' } },
    });
    expect(await control('POST', 'transfer', { room: 'x' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_TRANSFER_IMPOSSIBLE' } },
    });
    await phone.hangUp();
  });
});
