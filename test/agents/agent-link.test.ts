import { expect, it } from 'vitest';
import type { AgentConnection, ConnectionListener } from '../../src/agents/agent-endpoint.js';
import { AgentLink } from '../../src/agents/agent-link.js';
import { Handset } from '../../src/conformance/handset.js';
import { GatewayError } from '../../src/errors.js';
import { legConverters } from '../../src/legs/leg-converter.js';
import type { CallFacts } from '../../src/legs/leg-messages.js';
import { RawLeg } from '../../src/legs/raw-leg.js';
import { FrameClock } from '../../src/media/frame-clock.js';
import { loadResampler } from '../../src/media/rate-converter.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** A leg whose agent takes a call whenever it is there. */
async function dialled({ isAnswered = false } = {}) {
  const clock = new VirtualClock();
  const frameClock = new FrameClock(clock);
  const phone = new Handset('call-1', clock, frameClock);
  phone.isAnswered = isAnswered;
  const facts = (connection: number): CallFacts => ({
    callId: 'call-1',
    room: 'call:call-1',
    startedAt: clock.date().toISOString(),
    connection,
  });
  const formats = { rate: 16_000, sendRate: 16_000, bufferMs: 1_000, onlyListens: false } as const;
  const options = { ...formats, room: 'call:call-1', call: () => facts(1) };
  const leg = new RawLeg(options, legConverters(await loadResampler()), clock, frameClock);
  const told: unknown[] = [];
  const connection: AgentConnection = {
    taken: Promise.resolve(),
    send: (message: string | Int16Array) => {
      if (typeof message === 'string') told.push(JSON.parse(message));
      return true;
    },
    bufferedBytes: () => 0,
    close: () => {},
  };
  const agent = { isThere: true, latest: undefined as ConnectionListener | undefined };
  const reports: string[] = [];
  const link = new AgentLink(leg, {
    endpoint: {
      name: 'desk',
      connect: (_, listener) => {
        if (!agent.isThere)
          return Promise.reject(new GatewayError('GW_AGENT_UNREACHABLE', 'Agent desk is away'));
        agent.latest = listener;
        return Promise.resolve(connection);
      },
    },
    clock,
    facts,
    isContinued: false,
    listener: {
      taken: () => reports.push('taken'),
      lost: () => reports.push('lost'),
      missed: () => {},
      failed: ({ code }) => reports.push(code),
      finished: () => reports.push('finished'),
    },
  });
  leg.open(
    link,
    () => phone,
    () => {},
  );
  link.dial();
  await clock.pass(20);
  const close = () => {
    leg.close(1000, '');
    phone.putDown();
  };
  return { clock, phone, leg, link, agent, told, reports, close };
}

it('an agent whose leg opens after the phone was answered learns of the phone, and is heard', async () => {
  const { clock, phone, leg, told, close } = await dialled({ isAnswered: true });
  expect(told).toMatchObject([
    { type: 'ready', phones: [] },
    { type: 'joined', phone: 'call-1' },
  ]);
  leg.handleMessage(new Uint8Array(new Int16Array(1_600).fill(1_000).buffer), true);
  await clock.pass(20);
  expect(phone.leadMs).toBeGreaterThan(0);
  close();
});

it('an agent that is lost after a while has two seconds to return, however recently the phone was answered', async () => {
  const { clock, link, agent, reports, close } = await dialled();
  agent.isThere = false;
  agent.latest?.closed(1006, '');
  link.answered();
  agent.isThere = true;
  await clock.pass(1_000);
  expect(reports).toEqual(['taken', 'lost', 'taken']);
  await clock.pass(3_200);
  agent.isThere = false;
  agent.latest?.closed(1006, '');
  await clock.pass(1_000);
  agent.isThere = true;
  await clock.pass(1_000);
  expect(reports).toEqual(['taken', 'lost', 'taken', 'lost', 'taken']);
  agent.isThere = false;
  agent.latest?.closed(1006, '');
  await clock.pass(2_500);
  expect(reports.at(-1)).toBe('GW_AGENT_UNREACHABLE');
  close();
});

it('an agent that is lost while the phone rings is dialled until it is answered', async () => {
  const { clock, link, agent, reports, close } = await dialled();
  agent.isThere = false;
  agent.latest?.closed(1006, '');
  await clock.pass(10_000);
  expect(reports).toEqual(['taken', 'lost']);
  agent.isThere = true;
  await clock.pass(2_000);
  expect(reports).toEqual(['taken', 'lost', 'taken']);
  expect(link.isUp).toBe(true);
  close();
});

it('an agent that loses its room has failed', async () => {
  const { leg, link, reports } = await dialled({ isAnswered: true });
  leg.roomEnded(new GatewayError('GW_STREAM_JOIN', 'Stream call default:room could not be joined'));
  expect(reports).toEqual(['taken', 'GW_AGENT_NO_ROOM']);
  expect(link.isUp).toBe(false);
});
