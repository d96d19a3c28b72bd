import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { type JoinRequest, LocalBridge, type PhoneLine } from '../../src/index.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { ask, hears, startControlled } from '../support/control.js';
import { gateClip } from '../support/gated-clips.js';
import { tone } from '../support/media.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const freed: (() => unknown)[] = [];
afterEach(async () => {
  for (const free of freed.splice(0)) await free();
});

/** A Twilio whose answers wait: the requests it received, and the pending answers. */
async function startSlowApi() {
  const asked: string[] = [];
  const answers: { status: number; body: object }[] = [];
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = http.createServer(async (request, response) => {
    let form = '';
    for await (const chunk of request) form += chunk;
    asked.push(`${request.url} ${decodeURIComponent(form)}`);
    if (asked.length === 1) await released;
    const { status, body } = answers.shift() ?? { status: 200, body: { sid: 'CA1' } };
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  freed.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  return { asked, answers, release, apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** A directory with two files: 440 Hz and 800 Hz. */
function playDirOf(): string {
  const directory = mkdtempSync(join(tmpdir(), 'trunkline-meanwhile-'));
  freed.push(() => rmSync(directory, { recursive: true }));
  for (const [name, hz] of Object.entries({ 'gated.wav': 440, 'free.wav': 800 })) {
    const wav = new wavefile.WaveFile();
    wav.fromScratch(1, 8_000, '16', tone(hz, 8_000, 16_000, 8_000) as unknown as number[]);
    writeFileSync(join(directory, name), wav.toBuffer());
  }
  return directory;
}

describe('a call that ends while', () => {
  it.each([
    ['play', { file: 'gated.wav' }],
    ['hold', { file: 'gated.wav' }],
  ])('the file for %s is read: 409, and nothing is left', async (path, body) => {
    const { place, events, event, gateway } = await startControlled({ playDir: playDirOf() });
    const { control, phone, callId } = await place();
    const stream = gateway.stream(callId);
    const gate = gateClip('gated.wav');
    const asked = control('POST', path, body);
    await gate.reached;
    await phone.hangUp();
    await event('call.ended');
    gate.open();
    expect(await asked).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
    expect(stream?.filter).toBeUndefined();
    expect(events.map(({ type }) => type)).not.toContain('call.played');
  });

  it('keys sound and marks are under way: both end', async () => {
    const { place, gateway, event } = await startControlled({ prepareCall: () => ({ bridge: false }) });
    const { control, phone, callId } = await place();
    const stream = gateway.stream(callId);
    await control('POST', 'dtmf', { digits: '123456789' });
    expect(stream?.filter).toBeDefined();
    await phone.hangUp();
    expect(await event('call.ended')).toMatchObject({ cause: 'stop' });
    expect(stream?.filter).toBeUndefined();
  });

  it('a transfer is under way, because the caller hangs up: not transferred', async () => {
    const { asked, answers, release, apiUrl } = await startSlowApi();
    const { place, event } = await startControlled({ twilio: { apiUrl } });
    const { control, phone } = await place();
    answers.push({ status: 400, body: { code: 21220, message: 'Call is not in-progress', status: 400 } });
    const answer = control('POST', 'transfer', { number: '+15557778888' });
    await eventually('the question', () => asked.length === 1);
    expect(asked[0]).toContain('<Dial>+15557778888</Dial>');
    await phone.hangUp();
    release();
    expect(await answer).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
    expect(await event('call.ended')).toMatchObject({ cause: 'stop' });
  });

  it('a transfer is under way, because Twilio takes the caller before it answers: transferred', async () => {
    const { asked, release, apiUrl } = await startSlowApi();
    const { place, event } = await startControlled({ twilio: { apiUrl } });
    const { control, phone } = await place();
    const answer = control('POST', 'transfer', { sip: 'sip:desk@example.com' });
    await eventually('the question', () => asked.length === 1);
    phone.redirect('<Response><Dial><Sip>sip:desk@example.com</Sip></Dial></Response>');
    expect(await phone.ended).toMatchObject({ dialled: ['sip:desk@example.com'] });
    release();
    expect((await answer).status).toBe(200);
    expect(await event('call.ended')).toMatchObject({ cause: 'transferred' });
  });

  it('a transfer is under way, because we hang up: not transferred', async () => {
    const { asked, release, apiUrl } = await startSlowApi();
    const { place, event } = await startControlled({ twilio: { apiUrl } });
    const { control } = await place();
    const answer = control('POST', 'transfer', { number: '+15557778888' });
    await eventually('the question', () => asked.length === 1);
    expect(await control('DELETE', '')).toMatchObject({ status: 200, body: { endCause: 'hangup' } });
    expect(asked[1]).toContain('Status=completed');
    release();
    expect(await answer).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
    expect(await event('call.ended')).toMatchObject({ cause: 'hangup' });
  });

  it('a second leg is placed: that leg is hung up', async () => {
    const { asked, answers, release, apiUrl } = await startSlowApi();
    const { place, gateway } = await startControlled({ twilio: { apiUrl } });
    const { control, phone } = await place();
    const sid = `CA${'5'.repeat(32)}`;
    answers.push({ status: 201, body: { sid } });
    const answer = control('POST', 'legs', { to: '+15557778888', callId: 'second' });
    await eventually('the question', () => asked.length === 1);
    await phone.hangUp();
    release();
    expect(await answer).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
    expect(asked.filter((each) => each.includes(sid) && each.includes('Status=completed'))).toHaveLength(1);
    expect(gateway.calls.get('second')).toBeUndefined();
  });
});

describe('a second leg', () => {
  it('is hung up if the call moves to another room meanwhile', async () => {
    const { asked, answers, release, apiUrl } = await startSlowApi();
    const { place, gateway } = await startControlled({ twilio: { apiUrl } });
    const { control, phone } = await place();
    const sid = `CA${'5'.repeat(32)}`;
    answers.push({ status: 201, body: { sid } });
    const answer = control('POST', 'legs', { to: '+15557778888', callId: 'second' });
    await eventually('the question', () => asked.length === 1);
    expect((await control('POST', 'transfer', { room: 'other' })).status).toBe(200);
    release();
    expect(await answer).toMatchObject({ status: 409, body: { error: { code: 'GW_LEG_IMPOSSIBLE' } } });
    expect(asked.filter((each) => each.includes(sid) && each.includes('Status=completed'))).toHaveLength(1);
    expect(gateway.calls.get('second')).toBeUndefined();
    await phone.hangUp();
  });

  it('is not placed during a transfer, and joins the new room after that', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    class SlowBridge extends LocalBridge {
      override async join(request: JoinRequest, line: PhoneLine) {
        if (request.room === 'slow') await held;
        return super.join(request, line);
      }
    }
    const { place, gateway, url } = await startControlled({ bridge: new SlowBridge() });
    const { control, phone } = await place();
    const moved = control('POST', 'transfer', { room: 'slow' });
    await sleep(50);
    expect(await control('POST', 'legs', { to: '+15557778888', callId: 'second' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_LEG_IMPOSSIBLE' } },
    });
    expect(gateway.calls.get('second')).toBeUndefined();
    release();
    expect((await moved).status).toBe(200);
    expect((await control('POST', 'legs', { to: '+15557778888', callId: 'third' })).status).toBe(201);
    expect((await ask(url, 'GET', 'third', '')).body.room).toBe('slow');
    await phone.hangUp();
  });
});

describe('a request whose file is being read', () => {
  const SUPERSEDED = { status: 409, body: { error: { code: 'GW_SUPERSEDED' } } };
  const gated = { file: 'gated.wav' };
  const free = { file: 'free.wav' };

  it.each([
    ['play', 'a stop', 'DELETE', 'play', undefined, 404],
    ['play', 'another play', 'POST', 'play', { ...free, loop: 0 }, 201],
    ['play', 'a clear', 'POST', 'clear', undefined, 200],
    ['hold', 'an unhold', 'DELETE', 'hold', undefined, 200],
    ['hold', 'other music', 'POST', 'hold', free, 200],
  ])('undoes nothing that came later: a %s, then %s', async (...row) => {
    const [path, , method, laterPath, body, status] = row;
    const { place, gateway } = await startControlled({ playDir: playDirOf() });
    const { control, phone, callId, view } = await place();
    const gate = gateClip('gated.wav');
    const earlier = control('POST', path, gated);
    await gate.reached;
    expect((await control(method, laterPath, body)).status).toBe(status);
    gate.open();
    expect(await earlier).toMatchObject(SUPERSEDED);
    if (body === undefined) {
      await eventually('nothing in the way', () => gateway.stream(callId)?.filter === undefined);
      expect((await view()).held).not.toBe(true);
    } else await eventually('the later one', () => hears(phone, 800, 300) > -20);
    await phone.hangUp();
  });

  it('is performed if a later one fails', async () => {
    const { place } = await startControlled({ playDir: playDirOf() });
    const { control, phone, view } = await place();
    const gate = gateClip('gated.wav');
    const earlier = control('POST', 'hold', gated);
    await gate.reached;
    expect((await control('POST', 'hold', { file: 'missing.wav' })).status).toBe(404);
    gate.open();
    expect((await earlier).status).toBe(200);
    expect((await view()).held).toBe(true);
    await phone.hangUp();
  });

  it('may come from the hook: a later operation wins', async () => {
    const { place } = await startControlled({
      playDir: playDirOf(),
      prepareCall: () => ({ room: 'desk', hold: gated }),
    });
    const gate = gateClip('gated.wav');
    const { control, phone } = await place();
    await gate.reached;
    expect((await control('POST', 'hold', free)).status).toBe(200);
    gate.open();
    await sleep(500);
    expect(hears(phone, 800, 300)).toBeGreaterThan(-20);
    await phone.hangUp();
  });
});

it('a call that is hung up while being placed stops ringing', async () => {
  const { asked, answers, release, apiUrl } = await startSlowApi();
  const { gateway } = await startControlled({ twilio: { apiUrl } });
  answers.push({ status: 201, body: { sid: `CA${'6'.repeat(32)}` } });
  const placed = gateway.placeCall({ to: '+15557778888', callId: 'taken-back' });
  placed.catch(() => {});
  await eventually('the question', () => asked.length === 1);
  gateway.calls.require('taken-back').end('hangup');
  release();
  await expect(placed).rejects.toMatchObject({ code: 'GW_CALL_ENDED' });
  expect(asked).toHaveLength(2);
  expect(asked[1]).toContain('Status=completed');
});

describe('a call that is answered before Twilio tells its id', () => {
  /** A bridge whose calls have a continuation URL. */
  class AskedAfter extends LocalBridge {
    get continuesCalls(): true {
      return true;
    }
  }
  const sid = `CA${'5'.repeat(32)}`;

  async function startAnswered() {
    const { asked, answers, release, apiUrl } = await startSlowApi();
    const started = await startControlled({ twilio: { apiUrl }, bridge: new AskedAfter() });
    const { url, gateway } = started;
    answers.push({ status: 201, body: { sid } });
    const placed = gateway.placeCall({ to: '+15557778888', callId: 'early' });
    placed.catch(() => {});
    await eventually('the question', () => asked.length === 1);
    const callee = await Caller.answer(url, String(asked[0]).replaceAll('+', ' '), { CallSid: sid });
    callee.start();
    await eventually('live', () => gateway.calls.get('early')?.state === 'live');
    return { ...started, asked, release, placed, callee };
  }

  it('is known by it from the start of its media stream', async () => {
    const { gateway, release, placed, callee } = await startAnswered();
    expect(gateway.calls.getBySid(sid)?.callId).toBe('early');
    release();
    expect(await placed).toEqual({ callId: 'early', callSid: sid });
    callee.hangUp();
  });

  it('can be transferred by Twilio, which hangs nobody up', async () => {
    const { url, asked, release, placed, callee, event } = await startAnswered();
    expect((await ask(url, 'POST', 'early', 'transfer', { number: '+15550001234' })).status).toBe(200);
    await eventually('the end of its stream', () => callee.closed !== undefined);
    const next = await postForm(url, '/twilio/next', voiceParameters({ CallSid: sid }));
    expect(await next.text()).toContain('<Dial>+15550001234</Dial>');
    release();
    expect(await placed).toEqual({ callId: 'early', callSid: sid });
    expect(await event('call.ended')).toMatchObject({ cause: 'transferred' });
    expect(asked).toHaveLength(1);
  });
});
