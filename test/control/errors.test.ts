import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/index.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { ask, startControlled } from '../support/control.js';
import { startGateway } from '../support/gateway.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

/** Every operation with a valid request. */
const OPERATIONS = [
  ['POST', 'clear', undefined],
  ['POST', 'mark', { name: 'here' }],
  ['POST', 'dtmf', { digits: '1' }],
  ['POST', 'play', { file: 'a.wav' }],
  ['DELETE', 'play', undefined],
  ['POST', 'hold', undefined],
  ['DELETE', 'hold', undefined],
  ['POST', 'mute', undefined],
  ['DELETE', 'mute', undefined],
  ['POST', 'transfer', { room: 'elsewhere' }],
  ['POST', 'legs', { to: '+15557778888' }],
] as const;

const BAD: readonly (readonly [path: string, body: unknown])[] = [
  ['clear', { now: true }],
  ['mark', {}],
  ['mark', { name: '' }],
  ['mark', { name: 'x'.repeat(257) }],
  ['mark', { name: 'leg:1' }],
  ['mark', { name: 5 }],
  ['mark', 'no JSON'],
  ['dtmf', { digits: 'hello' }],
  ['play', {}],
  ['play', { file: '' }],
  ['play', { file: 'a.wav', wav: 'UklGRg==' }],
  ['play', { file: 'a.wav', loop: 1_001 }],
  ['play', { file: 'a.wav', gain: -41 }],
  ['play', { file: 'a.wav', over: 'yes' }],
  ['hold', { music: 'a.wav' }],
  ['hold', []],
  ['mute', { voice: 'everybody' }],
  ['mute', { who: 'caller' }],
  ['transfer', {}],
  ['transfer', { number: '+15557778888', room: 'x' }],
  ['transfer', { number: '5557778888' }],
  ['transfer', { sip: 'someone@example.com' }],
  ['transfer', { sip: 'sip:a\u0001@b.example' }],
  ['transfer', { sip: 'sip:\ud800@b.example' }],
  ['transfer', { number: '+15559990000', callerId: '\u0001' }],
  ['transfer', { room: '' }],
  ['transfer', { stream: { id: 'a b' } }],
  ['transfer', { stream: {} }],
  ['transfer', { room: 'x', ringSeconds: 10 }],
  ['transfer', { number: '+15557778888', ringSeconds: 4 }],
  ['transfer', { number: '+15557778888', limitSeconds: 14_401 }],
  ['legs', {}],
  ['legs', { to: '+15557778888', room: 'x' }],
  ['legs', { to: '+15557778888', colour: 'red' }],
  ['legs', [1]],
];

const code = (status: number, name: string) => ({ status, body: { error: { code: name } } });

describe('an operation', () => {
  it.each(OPERATIONS)(
    '%s %s wants the key, a known call, and one that is live',
    async (method, path, body) => {
      const { url, gateway, place } = await startControlled();
      const none = await ask(url, method, 'x', path, body, { authorization: 'Bearer another-key' });
      expect(none).toMatchObject(code(401, 'GW_UNAUTHORIZED'));
      expect(await ask(url, method, 'unknown', path, body)).toMatchObject(code(404, 'GW_CALL_UNKNOWN'));
      const parameters = voiceParameters();
      await postForm(url, '/twilio/voice', parameters);
      const ringing = gateway.calls.getBySid(parameters.CallSid as string);
      expect(ringing?.state).toBe('ringing');
      expect(await ask(url, method, ringing?.callId as string, path, body)).toMatchObject(
        code(409, 'GW_CALL_NOT_LIVE'),
      );
      const connecting = await Caller.connect(url);
      const call = gateway.calls.getBySid(connecting.parameters.CallSid as string);
      expect(call?.state).toBe('connecting');
      expect(await ask(url, method, call?.callId as string, path, body)).toMatchObject(
        code(409, 'GW_CALL_NOT_LIVE'),
      );
      connecting.hangUp();
      const { phone, control, callId } = await place();
      await phone.hangUp();
      await eventually('the end', () => gateway.calls.get(callId) === undefined);
      expect(await control(method, path, body)).toMatchObject(code(409, 'GW_CALL_ENDED'));
    },
  );

  it('rejects a bad request with a message of ours, and the call continues', async () => {
    const { place, gateway } = await startControlled({ playDir: '.' });
    const { control, phone, callId } = await place();
    for (const [path, body] of BAD) {
      const answer = await control('POST', path, body);
      const what = `${path} ${JSON.stringify(body)}`;
      expect(answer, what).toMatchObject(code(400, 'GW_BAD_REQUEST'));
      expect(answer.body.error.message, what).toMatch(/^[A-Z].{9}/);
    }
    expect(await control('POST', 'unknown')).toMatchObject(code(404, 'GW_NOT_FOUND'));
    expect(gateway.calls.get(callId)?.state).toBe('live');
    await phone.hangUp();
  });

  it('does not exist without a key', async () => {
    const { url } = await startGateway();
    for (const [method, path, body] of OPERATIONS) {
      expect(await ask(url, method, 'x', path, body)).toMatchObject(code(404, 'GW_NOT_FOUND'));
    }
  });

  it('has the same answers and errors in the library', async () => {
    const { gateway, place } = await startControlled();
    const { phone, callId } = await place();
    const { control } = gateway;
    expect(await control.mute(callId, { voice: 'both' })).toEqual({ muted: 'both' });
    expect(await control.unmute(callId)).toEqual({ muted: null });
    expect(await control.hold(callId)).toEqual({ held: true });
    expect(await control.unhold(callId)).toEqual({ held: false });
    expect(await control.dtmf(callId, { digits: '12' })).toEqual({ durationMs: 400 });
    expect(await control.clear(callId)).toMatchObject({ discardedMs: expect.any(Number) });
    await expect(control.stopPlay(callId)).rejects.toMatchObject({ code: 'GW_PLAY_NONE', status: 404 });
    await expect(control.mark(callId, '')).rejects.toBeInstanceOf(GatewayError);
    await expect(control.mute('nobody')).rejects.toMatchObject({ code: 'GW_CALL_UNKNOWN' });
    await phone.hangUp();
    await expect(control.hold(callId)).rejects.toMatchObject({ code: 'GW_CALL_ENDED', status: 409 });
  });

  it('rejects too many marks that Twilio has not returned', async () => {
    const { url, gateway } = await startControlled();
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    const callId = gateway.calls.listActive()[0]?.callId as string;
    for (let i = 0; i < 256; i++) await gateway.control.mark(callId, `mark ${i}`);
    expect(await ask(url, 'POST', callId, 'mark', { name: 'one more' })).toMatchObject(
      code(409, 'GW_TOO_MANY_MARKS'),
    );
    caller.hangUp();
  });

  it('may come from the hook: on hold and muted from the first frame', async () => {
    const { place, gateway } = await startControlled({
      prepareCall: () => ({ room: 'desk', hold: { file: 'missing.wav' }, mute: 'caller' as const }),
    });
    const { phone, callId, control, view } = await place();
    const stream = gateway.stream(callId);
    expect(stream?.filter?.silencesCaller).toBe(true);
    expect(await view()).toMatchObject({ room: 'desk', held: true, muted: 'caller' });
    await control('DELETE', 'hold');
    expect(stream?.filter?.silencesCaller).toBe(true);
    expect(await view()).toMatchObject({ held: false, muted: 'caller' });
    await control('DELETE', 'mute');
    await eventually('nothing in the way of a call like any other', () => stream?.filter === undefined);
    expect(await view()).not.toHaveProperty('muted');
    await control('POST', 'mute', { voice: 'both' });
    await control('POST', 'hold');
    await control('POST', 'transfer', { room: 'elsewhere' });
    expect(await view()).toMatchObject({ room: 'elsewhere', held: true, muted: 'both' });
    await phone.hangUp();
    expect(stream?.filter).toBeUndefined();
  });
});
