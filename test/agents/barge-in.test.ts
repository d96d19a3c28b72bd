import { expect, it } from 'vitest';
import type { AgentHandler } from '../../src/agents/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { heardDb, isHearing, LEVEL, serve, startWithAgent } from '../support/agent.js';
import { tone } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** Speech of the caller that an agent takes for an interruption. */
const SPEECH_MS = 200;
/** From the agent's clear to silence at the phone, besides what is queued there. */
const CLEAR_MS = 40;
/** By so much what the agent knows of what was heard may differ from what was heard. */
const TRUTH_MS = 40;
const RATE = 16_000;

interface Interruption {
  clearedAt: number;
  playedMs: number;
  discardedMs: number;
}

/** Speaks for ten seconds, and falls silent once the caller has spoken for a while. */
function interruptible(done: (interruption: Interruption) => void): AgentHandler {
  return (call) => {
    let loudMs = 0;
    call.on('answered', () => call.send(tone(700, RATE, 10 * RATE, LEVEL)));
    call.on('audio', (pcm) => {
      loudMs = pcm.some((sample) => Math.abs(sample) > 1_000) ? loudMs + 20 : 0;
      if (loudMs !== SPEECH_MS) return;
      const clearedAt = clock.now();
      void call.clear().then((heard) => done({ clearedAt, ...heard }));
    });
  };
}

it.each([700, 1_310, 2_470, 3_330, 4_990])(
  'an interruption after %i ms silences the phone at once, and the agent knows how much was heard',
  async (afterMs) => {
    const interruptions: Interruption[] = [];
    const server = await serve(interruptible((each) => interruptions.push(each)));
    const { place, gateway } = await startWithAgent(server.url, { leadMs: 120 });
    const phone = await place(undefined, 20);
    await eventually('speech', () => isHearing(phone));
    await sleep(afterMs);
    const leadMs = gateway.stream(gateway.calls.listActive()[0]?.callId ?? '')?.leadMs ?? 0;
    void phone.say(AudioSource.tone(1_000));
    await eventually('the clear', () => interruptions.length > 0);
    const [{ clearedAt, playedMs, discardedMs }] = interruptions as [Interruption];
    await sleep(1_000);
    expect(phone.ear.soundUntil - clearedAt).toBeLessThanOrEqual(CLEAR_MS + leadMs);
    expect(playedMs + discardedMs).toBeCloseTo(10_000, -1);
    // What the phone has really played of the tone, by its recording.
    const isLoud = (sample: number) => Math.abs(sample) > LEVEL / 3;
    const heard = phone.heard();
    const heardMs = (heard.findLastIndex(isLoud) - heard.findIndex(isLoud)) / 8;
    expect(Math.abs(heardMs - playedMs)).toBeLessThanOrEqual(TRUTH_MS);
    expect(heardDb(phone, 700, 300, 600)).toBeGreaterThan(-3);
    await phone.hangUp();
  },
);
