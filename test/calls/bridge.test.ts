import { describe, expect, it, vi } from 'vitest';
import type { Bridge, BridgeLeg } from '../../src/index.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';
import { levelDb, toneMulaw } from '../support/tone.js';

virtualTime();

const FRAME = toneMulaw(700, 20);

/** A user-supplied bridge whose join and leg are defined by the test. */
function bridgeOf(join: Bridge['join']): Bridge {
  return { name: 'test', join, close: async () => {} };
}

function legOf(parts: Partial<BridgeLeg> = {}): BridgeLeg {
  return { write: () => {}, dtmf: () => {}, close: () => {}, ...parts };
}

/** A caller who speaks 600 ms of audio before the bridge has joined; the test decides when it joins. */
async function speakBeforeJoin() {
  let joined = (_leg: BridgeLeg) => {};
  const { url, gateway } = await startGateway({
    bridge: bridgeOf(() => new Promise((resolve) => (joined = resolve))),
  });
  const caller = await Caller.call(url);
  const words = toneMulaw(440, 600);
  for (let at = 0; at < words.length; at += 160) caller.media(words.subarray(at, at + 160));
  await eventually('all audio to arrive', () => gateway.stats().traffic.framesIn === 30);
  return { joined, gateway, caller };
}

describe('a custom bridge', () => {
  it('gets the caller’s audio and keys, plays audio to the caller, and can hang up', async () => {
    const heard: number[] = [];
    const keys: string[] = [];
    const { url } = await startGateway({
      prepareCall: () => ({ room: 'agents', user: { id: 'caller-1', name: 'A caller' } }),
      bridge: bridgeOf(async (request, line) => {
        expect(request).toMatchObject({ room: 'agents', user: { id: 'caller-1', name: 'A caller' } });
        return legOf({
          write: (frame, stamp) => {
            heard.push(frame.length);
            line.write(frame, stamp);
          },
          dtmf: (digit) => {
            keys.push(digit);
            if (digit === '#') line.hangUp();
          },
        });
      }),
    });
    const caller = await Caller.call(url);
    caller.media(FRAME);
    await eventually('the answer', () => caller.mediaCount === 1);
    for (const digit of '1#') caller.json({ event: 'dtmf', streamSid: caller.streamSid, dtmf: { digit } });
    await eventually('the close', () => caller.closed !== undefined);
    expect([new Set(heard), keys, caller.closed?.code]).toEqual([new Set([960]), ['1', '#'], 1000]);
  });

  it('hears every word spoken before it joined, in order', async () => {
    const { joined, gateway, caller } = await speakBeforeJoin();
    const heard: number[] = [];
    joined(legOf({ write: (frame) => heard.push(frame.length) }));
    await eventually('what waited', () => heard.length >= 25);
    const { droppedIntake, shortenedMs } = gateway.stats().traffic;
    expect(droppedIntake).toBe(0);
    expect(shortenedMs).toBeLessThan(0.15 * 600);
    caller.hangUp();
  });

  it('hears nothing spoken before the caller was muted, if it joins late', async () => {
    const { joined, gateway, caller } = await speakBeforeJoin();
    const peaks: number[] = [];
    const stream = gateway.stream(gateway.calls.listActive()[0]?.callId as string);
    if (stream === undefined) throw new Error('the stream to start');
    stream.filter = { silencesCaller: true, replace: (frame) => frame, cleared: () => {} };
    joined(legOf({ write: (frame) => peaks.push(Math.max(...frame.map(Math.abs))) }));
    caller.media(FRAME);
    await eventually('the buffered audio', () => peaks.length > 0);
    await sleep(500);
    expect(Math.max(...peaks)).toBe(0);
    caller.hangUp();
  });

  it('can play audio before the caller connects: the newest two seconds are heard, from the first word', async () => {
    /** Which of two tones plays in each 20 ms, over one and over two seconds. */
    const said = (i: number) => (i < 50 ? 503 : 1_117);
    const { url, gateway } = await startGateway({
      bridge: bridgeOf(async (_, line) => {
        for (let i = 0; i < 150; i++) {
          const turn = (2 * Math.PI * said(i)) / 48_000;
          line.write(
            new Int16Array(960).map((_, n) => 8_000 * Math.sin(turn * (960 * i + n))),
            1,
          );
        }
        return legOf();
      }),
    });
    const caller = await Caller.call(url);
    // Two seconds, played slightly faster.
    await eventually('all of it', () => caller.heard.length >= 0.85 * 2_000 * 8, 5_000);
    await sleep(1_000);
    expect(caller.heard.length).toBeLessThanOrEqual(2_000 * 8);
    const begin = caller.heard.subarray(160, 160 + 1_600);
    expect(levelDb(begin, 1_117) - levelDb(toneMulaw(1_117, 200), 1_117)).toBeGreaterThan(-6);
    expect(levelDb(begin, 503)).toBeLessThan(levelDb(begin, 1_117) - 20);
    expect(gateway.stats().traffic.droppedLead).toBe(0);
    caller.hangUp();
  });

  it('ends the call without dead air when it cannot join', async () => {
    const { url, gateway } = await startGateway({
      bridge: bridgeOf(async () => {
        throw new Error('no such room');
      }),
    });
    await postForm(url, '/twilio/voice', voiceParameters());
    await eventually('the end', () => gateway.stats().activeCalls === 0);
  });

  it('affects only its own call when it throws on a frame or on close', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const { url, gateway } = await startGateway({
      bridge: bridgeOf(async (request, line) =>
        request.room === 'faulty'
          ? legOf({
              write: () => {
                throw new Error('a fault in the bridge');
              },
              close: () => {
                throw new Error('another');
              },
            })
          : legOf({ write: (frame, stamp) => line.write(frame, stamp) }),
      ),
      prepareCall: (call) => ({ room: call.from === '+15556666666' ? 'faulty' : 'sound' }),
    });
    const faulty = await Caller.call(url, { From: '+15556666666' });
    const sound = await Caller.call(url);
    faulty.media(FRAME);
    await eventually('the close', () => faulty.closed !== undefined);
    expect(faulty.closed?.code).toBe(1011);
    expect(warn).toHaveBeenCalledOnce();
    warn.mockRestore();
    sound.media(FRAME);
    await eventually('the other to be heard', () => sound.mediaCount === 1);
    expect(gateway.calls.size).toBe(1);
    sound.hangUp();
  });

  it('closes its leg at once when it joins after the caller has left', async () => {
    let joined = (_leg: BridgeLeg) => {};
    const close = vi.fn();
    const { url, gateway } = await startGateway({
      bridge: bridgeOf(() => new Promise((resolve) => (joined = resolve))),
    });
    const caller = await Caller.call(url);
    caller.hangUp();
    await eventually('the end', () => gateway.calls.size === 0);
    joined(legOf({ close }));
    await eventually('the leave', () => close.mock.calls.length === 1);
  });
});
