import { expect, it } from 'vitest';
import { GREETING_MS, greetingBlock, instantsOf } from '../support/greeting.js';
import type { Agent } from '../support/stream/agent.js';
import { realStream } from '../support/stream-real.js';
import { eventually, sleep } from '../support/time.js';

const { start } = realStream();

type Cue = 'participantJoined' | 'phone.answered';

/** Lets an agent greet, once, at the very moment that its client gives it the cue. */
function greetAt(agent: Agent, cue: Cue): { cuedAt: number } {
  const greeting = { cuedAt: 0 };
  const greet = () => {
    if (greeting.cuedAt > 0) return;
    greeting.cuedAt = performance.now();
    let index = 0;
    agent.playFrames(() => greetingBlock(index++));
  };
  if (cue === 'participantJoined') agent.call.on('participantJoined', greet);
  else {
    agent.call.on('custom', ({ custom }) => {
      if (custom.type === 'phone.answered') greet();
    });
  }
  return greeting;
}

/**
 * Whoever joins a media server is told of to the others at once, and hears them only when its connection stands: of what is
 * said in between nothing can be heard, by a phone as by anybody. Nothing more than that may be missing.
 */
it.each<Cue>(['participantJoined', 'phone.answered'])(
  'an agent that greets at %s is heard from its first word',
  async (cue) => {
    const { agent, phone, present, bridge } = await start();
    const other = await agent();
    const greeting = greetAt(other, cue);
    const caller = phone(undefined, { faults: { startDelayMs: 800 } });
    // It is answered and its socket is open, but its stream has not started.
    await sleep(500);
    expect([present(), other.events]).toEqual([['agent'], []]);
    await eventually('it to be in its call', () => bridge.stats().joined === 1, 10_000);
    const deafMs = Math.max(0, performance.now() - greeting.cuedAt);
    await eventually('the greeting', () => instantsOf(caller.heard()).length > 0, 10_000);
    await sleep(GREETING_MS + 1_000);
    const instants = instantsOf(caller.heard());
    const lostMs = instants[0]?.of as number;
    if (cue === 'phone.answered') expect(lostMs).toBeLessThan(30);
    else expect(lostMs).toBeLessThan(deafMs + 30);
    // Further on a jitter buffer may stretch and splice what a busy machine delays.
    expect(instants.at(-1)?.of).toBeGreaterThan(GREETING_MS - 200);
  },
);
