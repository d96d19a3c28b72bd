import { expect, it } from 'vitest';
import { AgentLink } from '../../src/agents/agent-link.js';
import { Handset } from '../../src/conformance/handset.js';
import { legConverters } from '../../src/legs/leg-converter.js';
import type { CallFacts } from '../../src/legs/leg-messages.js';
import { RawLeg } from '../../src/legs/raw-leg.js';
import { FrameClock } from '../../src/media/frame-clock.js';
import { loadResampler } from '../../src/media/rate-converter.js';
import { VirtualClock } from '../support/virtual-clock.js';

it('an agent whose leg opens after the phone was answered learns of the phone, and is heard', async () => {
  const clock = new VirtualClock();
  const frameClock = new FrameClock(clock);
  const phone = new Handset('call-1', clock, frameClock);
  phone.isAnswered = true;
  const facts = (connection: number): CallFacts => ({
    callId: 'call-1',
    room: 'call:call-1',
    startedAt: clock.date().toISOString(),
    connection,
  });
  const formats = { rate: 16_000, sendRate: 16_000, bufferMs: 1_000, onlyListens: false } as const;
  const options = { ...formats, room: 'call:call-1', call: () => facts(1) };
  const leg = new RawLeg(options, legConverters(await loadResampler()), clock, frameClock);
  const told: string[] = [];
  const connection = {
    taken: Promise.resolve(),
    send: (message: string | Int16Array) => {
      if (typeof message === 'string') told.push(JSON.parse(message));
      return true;
    },
    bufferedBytes: () => 0,
    close: () => {},
  };
  const ignore = () => {};
  const link = new AgentLink(leg, {
    endpoint: { name: 'an agent', connect: () => Promise.resolve(connection) },
    clock,
    facts,
    isContinued: false,
    listener: { taken: ignore, lost: ignore, missed: ignore, failed: ignore, finished: ignore },
  });
  leg.open(link, () => phone, ignore);
  link.dial();
  await clock.pass(20);
  expect(told).toMatchObject([
    { type: 'ready', phones: [] },
    { type: 'joined', phone: 'call-1' },
  ]);
  leg.handleMessage(new Uint8Array(new Int16Array(1_600).fill(1_000).buffer), true);
  await clock.pass(20);
  expect(phone.leadMs).toBeGreaterThan(0);
  link.close(1000, '');
  leg.close(1000, '');
  phone.putDown();
});
