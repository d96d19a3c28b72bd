import { expect, it } from 'vitest';
import { AudioSource, MouthToEar } from '../../src/simulator/index.js';
import { serve, startWithAgent } from '../support/agent.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** Delay that may remain. */
const BACK_MS = 40;

it.each([1_000, 3_000])(
  'after a stall of %i ms on its way to the phone, an agent that speaks in real time is heard in time again within three seconds',
  async (ms) => {
    // Another call, a conference, a person: its audio has no end, and cannot be sent ahead.
    const server = await serve((call) => void call.on('audio', (pcm) => call.send(pcm)));
    const { place } = await startWithAgent(server.url, { leadMs: 120 });
    const phone = await place(AudioSource.sweep({ pauses: 1 }), 20);
    await eventually('the agent', () => server.calls === 1);
    await sleep(5_000);
    const begun = clock.now();
    await phone.stream?.stallReading(ms);
    const over = clock.now();
    await sleep(8_000);
    const way = MouthToEar.between(phone, phone);
    const before = way.delayMs(begun - 2_000, begun) ?? Number.NaN;
    const back = way.backAt(before + BACK_MS, over) ?? Number.POSITIVE_INFINITY;
    expect(before).toBeLessThan(120);
    expect(back - over).toBeLessThanOrEqual(3_000);
    await phone.hangUp();
  },
);
