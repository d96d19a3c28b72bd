import { type StreamCall, StreamClient } from '@stream-io/node-sdk';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type AttachedPhone,
  attachPhoneToCall,
  mulawToPcm,
  pcmToMulaw,
  TwilioMediaStream,
} from '../../../src/index.js';
import { AudioSource } from '../../../src/simulator/index.js';
import {
  Caller,
  localUrl,
  PUBLIC_URL,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../../support/caller.js';
import { amplitudeAt, decibels, tone } from '../../support/media.js';
import { agentLevel, heardBy, LEVEL, notHeardBy, phoneLevel } from '../../support/stream-call.js';
import { type StreamSetup, startStream, talk } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

const time = virtualTime();

const attachments: Promise<AttachedPhone>[] = [];
const callers: Caller[] = [];

afterEach(async () => {
  for (const caller of callers.splice(0)) caller.hangUp();
  const results = await Promise.allSettled(attachments.splice(0));
  for (const result of results) if (result.status === 'fulfilled') result.value.detach();
});

/**
 * A gateway that leaves its calls to this test, which attaches each to the Stream call `default:room`, as `caller-1`
 * and so on, the moment it is known.
 */
async function startAttaching(setup: StreamSetup = {}) {
  const started = await startStream({
    ...setup,
    gateway: { prepareCall: () => ({ bridge: false }), ...setup.gateway },
  });
  const { apiKey, apiSecret, baseUrl: basePath } = started.rest.keys;
  const client = new StreamClient(apiKey, apiSecret, { basePath });
  const streams: TwilioMediaStream[] = [];
  const attach = (call: StreamCall, stream: TwilioMediaStream, userId: string) => {
    const attaching = attachPhoneToCall(call, stream, userId, { bridge: started.bridge });
    attaching.catch(() => {});
    attachments.push(attaching);
    return attaching;
  };
  const callOf = (id: string) => client.video.call('default', id);
  started.gateway.on('call', (_, stream) => {
    streams.push(stream);
    void attach(callOf('room'), stream, `caller-${streams.length}`).catch(() => {});
  });
  return {
    ...started,
    callOf,
    attach,
    streams,
    /** All calls so far are attached. */
    attached: () => Promise.all(attachments),
  };
}

/** Milliseconds of a tone in 8 kHz audio, in steps of 10 ms. */
function msOf(hz: number, heard: Int16Array): number {
  let found = 0;
  for (let at = 0; at + 80 <= heard.length; at += 80) {
    if (amplitudeAt(hz, 8_000, heard.subarray(at, at + 80)) > LEVEL / 2) found += 10;
  }
  return found;
}

/** Signal to everything else of one frequency, in decibels. */
function signalToNoise(hz: number, samples: Int16Array): number {
  const signal = amplitudeAt(hz, 8_000, samples) ** 2 / 2;
  const all = samples.reduce((sum, sample) => sum + sample ** 2, 0) / samples.length;
  return 10 * Math.log10(signal / Math.max(1e-9, all - signal));
}

/** ITU-T G.711, table 2a: said plainly, for one sample of 16 bits. */
function mulawOf(sample: number): number {
  const magnitude = Math.min(Math.abs(sample < 0 ? ~sample : sample) >> 2, 8_158) + 33;
  const segment = Math.floor(Math.log2(magnitude)) - 5;
  const step = (magnitude >> (segment + 1)) & 15;
  return ~((sample < 0 ? 0x80 : 0) | (segment << 4) | step) & 0xff;
}

describe('fixes the fifteen faults of Vision Agents:', () => {
  it('1. a greeting sent before the socket is read gets lost', async () => {
    const { agent, attached, host, url, phone } = await startAttaching({ bridge: { joinAt: 'ring' } });
    const other = agent('agent', 1_000);
    // The phone joins before its stream starts: audio of that time is heard from the stream's first frame on.
    const caller = await Caller.connect(url);
    callers.push(caller);
    await attached();
    await sleep(300);
    caller.start();
    await eventually('half a second of it', () => caller.mediaCount >= 25);
    const first = mulawToPcm(caller.heard).subarray(0, 4_000);
    expect(decibels(amplitudeAt(1_000, 8_000, first) / LEVEL)).toBeGreaterThan(-1);
    caller.stop();

    // And a word of two seconds that begins the moment the phone appears.
    const word = tone(1_700, 48_000, 960, LEVEL);
    let left = 100;
    other.playFrames(() => (host.userIds().includes('caller-2') && left-- > 0 ? word : new Int16Array(960)));
    const second = phone();
    await second.started;
    await eventually('its end', () => left < -50, 10_000);
    expect(msOf(1_700, second.heard())).toBeGreaterThan(1_900);
  });

  it('2. the caller is delayed for the whole call by the time of the join', async () => {
    const { agent, host, phone } = await startAttaching();
    const other = agent();
    host.joinMs = 2_000;
    const caller = phone(503);
    await caller.started;
    await heardBy('the agent', () => agentLevel(other, 503));
    const [participant] = host.placed;
    for (let i = 0; i < 4; i++) {
      caller.beQuiet();
      await eventually('silence', () => other.level({ seconds: 0.2 }) < 100);
      let heardAt = 0;
      const saidAt = time.now();
      if (participant !== undefined) {
        participant.onFrame = (frame) => {
          if (heardAt === 0 && frame.some((sample) => Math.abs(sample) > LEVEL / 4)) heardAt = time.now();
        };
      }
      caller.speak(AudioSource.tone(1_000, -12));
      await eventually('the agent to hear it', () => heardAt > 0);
      // Vision Agents: 2,000 ms and more.
      expect(heardAt - saidAt).toBeLessThan(100);
    }
  });

  it('3. a ghost stays in the call when the phone hangs up', async () => {
    const { agent, host, phone } = await startAttaching();
    const other = agent('agent', 1_700);
    const callersOf = [phone(503), phone(1_117)] as const;
    for (const hz of [503, 1_117]) await heardBy('the agent', () => agentLevel(other, hz));
    await callersOf[0].hangUp();
    expect(host.userIds()).toEqual(['agent', 'caller-2']);
    await heardBy('the agent, the other one,', () => agentLevel(other, 1_117));
    // Not even a word of goodbye this time.
    await callersOf[1].drop();
    await eventually('none to be left', () => host.userIds().join() === 'agent');
  });

  it('4. simultaneous speakers reach the phone one after the other, at a multiple of its pace', async () => {
    const { agent, phone, streams } = await startAttaching();
    const tones = [503, 1_117, 2_309];
    for (const hz of tones) agent(`agent-${hz}`, hz);
    const caller = phone();
    for (const hz of tones) await heardBy('the phone', () => phoneLevel(caller, hz));
    const stream = streams[0] as TwilioMediaStream;
    const before = stream.counts().framesOut;
    await sleep(2_000);
    // Vision Agents: 300.
    expect(Math.abs(stream.counts().framesOut - before - 100)).toBeLessThanOrEqual(2);
    for (const hz of tones) expect(Math.abs(phoneLevel(caller, hz)), `${hz} Hz`).toBeLessThan(1);
    expect(caller.report()?.playout.maxLeadMs, 'what waits in the phone').toBeLessThan(500);
  });

  it('5. participants who joined earlier are not heard', async () => {
    const { agent, phone } = await startAttaching();
    const early = [agent('agent-1', 503), agent('agent-2', 1_117)];
    const caller = phone(1_700);
    for (const hz of [503, 1_117]) await heardBy('the phone', () => phoneLevel(caller, hz));
    for (const other of early) await heardBy('each of them', () => agentLevel(other, 1_700));
  });

  it('6. no clear, no mark, no key in either direction, no hang-up, no transfer', async () => {
    const { agent, host, phone } = await startAttaching({ bridge: { transferTo: ['*'] } });
    const other = agent('agent', 1_700);
    const caller = phone(1_000);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    await heardBy('the agent', () => agentLevel(other, 1_000));
    const events = () => other.events.map(({ custom }) => custom);
    const told = async (type: string) => {
      await eventually(type, () => events().some((event) => event.type === type));
      return events().find((event) => event.type === type);
    };

    caller.dtmf('7#');
    await eventually('both keys', () => events().length === 3);
    expect(events()).toEqual([
      { type: 'phone.answered', phone: 'caller-1' },
      ...['7', '#'].map((digit) => ({ type: 'phone.digit', digit, phone: 'caller-1' })),
    ]);
    other.sendEvent({ type: 'phone.mark', name: 'hello' });
    expect(await told('phone.marked')).toMatchObject({ name: 'hello', cleared: false, phone: 'caller-1' });
    let clears = 0;
    caller.on('clear', () => {
      clears += 1;
    });
    other.sendEvent({ type: 'phone.clear', phone: 'caller-1' });
    expect(await told('phone.cleared')).toMatchObject({ phone: 'caller-1', played_ms: expect.any(Number) });
    await eventually('the clear at the phone', () => clears === 1);
    other.sendEvent({ type: 'phone.dtmf', digits: '5' });
    expect(host.placed[0]?.tones).toEqual(['5']);
    // An attached stream has no continuation URL: a transfer is rejected with an error.
    other.sendEvent({ type: 'phone.transfer', to: '+15557654321' });
    expect(await told('phone.error')).toMatchObject({
      command: 'phone.transfer',
      code: 'GW_TRANSFER_IMPOSSIBLE',
    });
    expect(caller.status).toBe('in-progress');
    other.sendEvent({ type: 'phone.hangup' });
    expect(await caller.ended).toMatchObject({ status: 'completed', error: undefined });
    expect(other.remoteUserIds()).toEqual([]);
  });

  it('7. audio that Twilio loses shortens the timeline, and late audio leaves a hole', async () => {
    const { agent, phone, streams } = await startAttaching();
    const other = agent();
    // 20 ms are 20 and a half periods: without concealment, every lost frame would invert the phase of the tone.
    const caller = phone(1_025, { profile: { loss: 0.1, jitterMs: 40, seed: 7 } });
    await caller.started;
    let best = Number.NEGATIVE_INFINITY;
    await eventually('the tone, but for a tenth of it,', () => {
      best = Math.max(best, agentLevel(other, 1_025));
      return best > -2;
    });
    await sleep(5_000);
    await caller.hangUp();
    const { framesLost = 0 } = caller.report() ?? {};
    const filledMs = streams[0]?.counts().filledMs ?? 0;
    expect(framesLost).toBeGreaterThan(12);
    // All that were lost between two that came.
    expect(filledMs).toBeGreaterThan(framesLost * 20 - 100);
    expect(filledMs).toBeLessThanOrEqual(framesLost * 20 + 100);
  });

  it('8. a phone that does not read accumulates audio without bound', async () => {
    const { agent, phone, streams } = await startAttaching();
    const other = agent('agent', 1_700);
    const hung = phone(503);
    const hungStream = await hung.started;
    const fine = phone(1_117);
    for (const caller of [hung, fine]) await heardBy('each phone', () => phoneLevel(caller, 1_700));
    await heardBy('the agent', () => agentLevel(other, 503));
    hungStream.pauseReading();
    // Megabytes fit into the kernel's buffers of a loopback socket: commands, which are never dropped, fill them.
    const stream = streams[0] as TwilioMediaStream;
    const { sender } = stream as unknown as {
      sender: { isWritable(): boolean; socket: { bufferedBytes(): number } };
    };
    const fill = async () => {
      for (let i = 0; sender.isWritable(); i++) {
        stream.clear();
        if (i % 500 === 0) await sleep(1);
      }
    };
    /** What goes out, and what piles up, while fifty frames are dropped. */
    const leak = async () => {
      const { framesOut, droppedBackpressure } = stream.counts();
      const waiting = sender.socket.bufferedBytes();
      await eventually(
        'frames to be dropped and counted',
        () => sender.isWritable() || stream.counts().droppedBackpressure >= droppedBackpressure + 50,
      );
      return (
        Math.abs(stream.counts().framesOut - framesOut) + Math.abs(sender.socket.bufferedBytes() - waiting)
      );
    };
    // The kernel takes some more yet, at its own time.
    let leaks = 0;
    do {
      expect(++leaks).toBeLessThan(50);
      await fill();
    } while ((await leak()) > 0);
    await heardBy('the other phone, meanwhile,', () => phoneLevel(fine, 1_700));
    await heardBy('the agent, meanwhile,', () => agentLevel(other, 503));
    hungStream.resumeReading();
    await sleep(1_000);
    await heardBy('the phone, once it reads again,', () => phoneLevel(hung, 1_700));
    expect(streams[1]?.counts().droppedBackpressure).toBe(0);
  });

  it('9. one malformed message ends the call', async () => {
    const { agent, phone, streams } = await startAttaching();
    const other = agent('agent', 1_700);
    const caller = phone(1_000);
    const stream = await caller.started;
    await heardBy('the agent', () => agentLevel(other, 1_000));
    const { streamSid } = stream;
    const bad = [
      'not JSON',
      '',
      '{"event":"media"',
      'null',
      '[]',
      '{}',
      '{"event":"no-such-event"}',
      `{"event":"media","streamSid":"${streamSid}"}`,
      `{"event":"media","streamSid":"${streamSid}","media":{"payload":"***"}}`,
      `{"event":"media","streamSid":"${streamSid}","media":{"payload":7,"timestamp":{}}}`,
      '{"event":"media","streamSid":"MZ-another","media":{"payload":"AAAA"}}',
      `{"event":"dtmf","streamSid":"${streamSid}","dtmf":{"digit":"55"}}`,
      `{"event":"mark","streamSid":"${streamSid}","mark":{}}`,
      '{"event":"start"}',
      '\ufffd'.repeat(1_000),
    ];
    for (const message of bad) stream.sendRaw(message);
    stream.sendRaw(new Uint8Array([0, 255, 128]));
    await eventually('all to be counted', () => streams[0]?.counts().badMessages === bad.length + 1);
    await sleep(1_000);
    await heardBy('the agent, still,', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    expect(caller.status).toBe('in-progress');
    expect(
      other.events.map(({ custom }) => custom.type),
      'nothing of it got into the call',
    ).toEqual(['phone.answered']);
  });

  it('10. entries of callers who never connect last forever, tokens work twice, the start message is not checked', async () => {
    const { host, url, gateway } = await startAttaching({ gateway: { tokenTimeToLiveMs: 1_500 } });
    // Nobody ever connects.
    await postForm(url, '/twilio/voice', voiceParameters());
    // Somebody connects, and somebody else with the same token.
    const good = await Caller.call(url);
    callers.push(good);
    const media = streamUrl(good.twiml);
    expect(await upgradeStatus(localUrl(url, media), { 'x-twilio-signature': sign(media) })).toEqual({
      status: 409,
      code: 'GW_TOKEN_USED',
    });
    // And one that is another call than the webhook's.
    const other = await Caller.connect(url);
    callers.push(other);
    other.start({ callSid: `CA${'f'.repeat(32)}` });
    await eventually('its end', () => other.closed !== undefined);
    expect(other.closed?.code).toBe(1008);
    await eventually('the others to expire', () => gateway.calls.listActive().length === 1);
    await eventually('them to leave', () => host.userIds().join() === 'caller-2');
    expect(good.closed).toBeUndefined();
    good.stop();
    await eventually('nobody to be left', () => host.userIds().length === 0);
  });

  it('11. anybody who knows its URL may open a media socket', async () => {
    const { host, phone, gateway, streams } = await startAttaching();
    const statusCallback = `${PUBLIC_URL}/twilio/status`;
    const forged = (['missing', 'wrong'] as const).map((signature) =>
      phone(undefined, { faults: { signature }, statusCallback }),
    );
    for (const caller of forged) {
      expect(await caller.ended).toMatchObject({ twilioCode: 31920, error: { status: 403 } });
    }
    expect(streams).toHaveLength(2);
    expect(streams.some(({ isConnected }) => isConnected)).toBe(false);
    await eventually('nobody to be left in the call', () => host.userIds().length === 0);
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('12. callers without a number share a user, or get one that Stream rejects', async () => {
    const { host, rest, url } = await startStream({ bridge: { joinAt: 'ring' } });
    const from = [
      'anonymous',
      'anonymous',
      '',
      'client:Grace Hopper',
      'sip:grace@example.com',
      '+15550001111',
    ];
    for (const From of from) await postForm(url, '/twilio/voice', voiceParameters({ From, Caller: From }));
    await eventually('each to be in', () => host.userIds().length === from.length);
    const ids = host.userIds();
    expect(new Set(ids).size).toBe(from.length);
    for (const id of ids) {
      expect(id).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
      // No word of these is made of hexadecimal digits, as the rest of an id is.
      expect(id).not.toMatch(/anonymous|grace|hopper|client|sip|5550001111/i);
      expect(JSON.stringify(rest.user(id))).not.toContain('5550001111');
    }
  });

  it('13. a repeated webhook makes another call', async () => {
    const { host, url, streams, attached } = await startAttaching({ bridge: { joinAt: 'ring' } });
    const parameters = voiceParameters();
    const post = async () => (await postForm(url, '/twilio/voice', parameters)).text();
    const answers = await Promise.all([post(), post(), post()]);
    await attached();
    answers.push(await post());
    expect(new Set(answers).size).toBe(1);
    expect(streams).toHaveLength(1);
    expect(host.userIds()).toEqual(['caller-1']);
    expect(host.placed).toHaveLength(1);
  });

  it('14. audio is resampled by linear interpolation, and µ-law is not exact', async () => {
    const { agent, phone } = await startAttaching();
    const other = agent('agent', 1_000);
    const caller = phone();
    await heardBy('the phone', () => phoneLevel(caller, 1_000));
    await sleep(1_000);
    // Vision Agents: 14.3 dB. G.711 itself leaves 38 dB.
    expect(signalToNoise(1_000, caller.heard().slice(-4_000))).toBeGreaterThan(35);
    // 5 kHz would be heard as 3 kHz.
    other.play([1_000, 5_000], LEVEL);
    await sleep(1_000);
    expect(Math.abs(phoneLevel(caller, 1_000))).toBeLessThan(1);
    expect(phoneLevel(caller, 3_000)).toBeLessThan(-40);

    const every = Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768);
    expect(Buffer.compare(pcmToMulaw(every), Uint8Array.from(every, mulawOf))).toBe(0);
    const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect([...pcmToMulaw(mulawToPcm(codes))]).toEqual(
      [...codes].map((code) => (code === 0x7f ? 0xff : code)),
    );
  });

  it('15. no metrics, no health, and a shutdown that cuts calls off', async () => {
    const { url, gateway, caller, hear, host } = await talk();
    const metrics = await (await fetch(`${url}/metrics`)).text();
    for (const figure of ['joined 1', 'legs 0', 'workers 0', 'worker_deaths_total 0', 'rejoins_total 0']) {
      expect(metrics).toMatch(new RegExp(`^trunkline_stream_${figure}$`, 'm'));
    }
    expect(metrics).toMatch(/^trunkline_stream_retries_total 0$/m);
    expect(metrics).toMatch(/^trunkline_stream_frames_dropped_total 0$/m);
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({
      status: 'ok',
      bridge: 'stream',
      calls: 1,
    });

    let isClosed = false;
    const closing = gateway.close(60_000).then(() => {
      isClosed = true;
    });
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    await sleep(15_000);
    await hear();
    expect([isClosed, host.isOpen]).toEqual([false, true]);
    await caller.hangUp();
    await closing;
    expect([host.userIds(), host.isOpen]).toEqual([['agent'], false]);
  });
});

describe('attachPhoneToCall', () => {
  it('rejects if the stream has already ended', async () => {
    const { attach, callOf, host } = await startAttaching();
    const stream = new TwilioMediaStream();
    stream.close();
    await expect(attach(callOf('room'), stream, 'late')).rejects.toMatchObject({
      name: 'GatewayError',
      code: 'GW_STREAM_CLOSED',
    });
    expect(host.placed).toEqual([]);
  });

  it('rejects if the stream ends during the join, and leaves no participant behind', async () => {
    const { attach, callOf, host } = await startAttaching();
    host.joinMs = 1_000;
    const stream = new TwilioMediaStream();
    const attaching = attach(callOf('room'), stream, 'gone');
    await eventually('the join', () => host.placed.length === 1);
    stream.close();
    await expect(attaching).rejects.toMatchObject({
      code: 'GW_STREAM_CLOSED',
      message: 'The media stream ended before it was attached',
    });
    await sleep(5_000);
    expect(host.userIds()).toEqual([]);
  });

  it.each<[string, (call: StreamCall) => [call: unknown, stream: unknown, userId: unknown]]>([
    ['no call', () => [undefined, new TwilioMediaStream(), 'ada']],
    ['null for a call', () => [null, new TwilioMediaStream(), 'ada']],
    ['another object for a call', () => [{ type: 'default', id: 'room' }, new TwilioMediaStream(), 'ada']],
    ['the name of a call', () => ['default:room', new TwilioMediaStream(), 'ada']],
    ['no stream', (call) => [call, undefined, 'ada']],
    ['another object for a stream', (call) => [call, {}, 'ada']],
    ['no user', (call) => [call, new TwilioMediaStream(), undefined]],
    ['an empty user', (call) => [call, new TwilioMediaStream(), '']],
    ['a number for a user', (call) => [call, new TwilioMediaStream(), 7]],
  ])('rejects %s with a clear error, and starts no worker for it', async (_, wrong) => {
    const client = new StreamClient('key', 'secret', { basePath: 'http://127.0.0.1:1' });
    const [call, stream, userId] = wrong(client.video.call('default', 'room'));
    const attaching = attachPhoneToCall(call as StreamCall, stream as TwilioMediaStream, userId as string);
    await expect(attaching).rejects.toThrow(TypeError);
    await expect(attaching).rejects.toThrow(/^Expected .+ but received /);
    expect(process.getActiveResourcesInfo()).not.toContain('ProcessWrap');
  });

  it('is not undone by a slow hook', async () => {
    const { agent, phone, streams } = await startAttaching({
      gateway: {
        prepareCall: async () => {
          await sleep(2_000);
          return { bridge: false };
        },
      },
    });
    const other = agent('agent', 1_700);
    const caller = phone(1_000);
    await caller.started;
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    await heardBy('the agent', () => agentLevel(other, 1_000));
    expect(streams).toHaveLength(1);
  });

  it.each([
    ['a user id that Stream does not take', 'room', 'sip:ada@example.com'],
    ['a call id that Stream does not take', 'no such call', 'ada'],
  ])('fails for %s, and does not change the stream', async (_, room, userId) => {
    const { attach, callOf } = await startAttaching();
    const stream = new TwilioMediaStream();
    let ended = false;
    stream.on('end', () => {
      ended = true;
    });
    await expect(attach(callOf(room), stream, userId)).rejects.toMatchObject({
      name: 'GatewayError',
      code: expect.stringMatching(/^GW_STREAM_(USER|CALL_NAME)$/),
    });
    expect(ended).toBe(false);
    expect(stream.eventNames()).toEqual(['end']);
    expect(stream.listenerCount('end')).toBe(1);
  });

  it('releases the phone on detach, once; it may then be attached elsewhere', async () => {
    const { agent, attach, attached, callOf, host, phone, streams, gateway } = await startAttaching();
    const here = agent('here', 503);
    const there = agent('there', 1_117, 'default:other');
    const caller = phone(1_700);
    await heardBy('the phone', () => phoneLevel(caller, 503));
    await heardBy('the first agent', () => agentLevel(here, 1_700));
    const [first] = await attached();
    first?.detach();
    first?.detach();
    expect(host.userIds()).toEqual(['here']);
    await notHeardBy('the phone', () => phoneLevel(caller, 503));
    expect(caller.status).toBe('in-progress');
    const stream = streams[0] as TwilioMediaStream;
    expect(stream.isConnected).toBe(true);
    expect(['dtmf', 'mark'].map((event) => stream.listenerCount(event as 'dtmf'))).toEqual(
      // The gateway's own: keys go to its events, too.
      [2, 1],
    );
    await attach(callOf('other'), stream, 'caller-1');
    await heardBy('the phone', () => phoneLevel(caller, 1_117));
    await heardBy('the second agent', () => agentLevel(there, 1_700));
    first?.detach();
    await sleep(1_000);
    await heardBy('the phone, still,', () => phoneLevel(caller, 1_117));
    await caller.hangUp();
    expect(host.userIds('default:other')).toEqual(['there']);
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('closes the stream when the call ends', async () => {
    const { agent, phone, host, rest } = await startAttaching();
    agent('agent', 1_700);
    const caller = phone(1_000);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    rest.endCall('default:room');
    expect((await caller.ended).status).toBe('completed');
    expect(host.userIds()).toEqual([]);
  });
});
