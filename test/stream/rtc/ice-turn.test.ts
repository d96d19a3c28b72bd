import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/clock.js';
import type { IceServer } from '../../../src/rtc/ice/ice-server.js';
import { AgentSide, introduce } from '../../rtc/ice/agent-side.js';
import { WeriftSide } from '../../rtc/ice/werift-side.js';
import { eventually } from '../../support/time.js';
import { hasTurn, startTurn } from '../../support/turn.js';

const freed: (() => unknown)[] = [];
afterEach(async () => {
  for (const free of freed.splice(0)) await free();
});

type Turn = Awaited<ReturnType<typeof startTurn>>;

function side(
  turn: Turn,
  options: { isControlling?: boolean; relayOnly?: boolean; credential?: string } = {},
) {
  const { isControlling = false, relayOnly = true } = options;
  const { urls, username, password } = turn.iceServer;
  const servers: IceServer[] = [{ urls, username, credential: options.credential ?? password }];
  const certificates =
    turn.certificate === '' ? {} : { certificates: [readFileSync(turn.certificate, 'utf8')] };
  const made = new AgentSide({ isControlling, relayOnly, servers, clock: systemClock, ...certificates });
  freed.push(() => made.agent.close());
  return made;
}

/** Gathers until the server, which may still be starting, has given a relay. */
async function gathered(make: () => AgentSide): Promise<void> {
  await eventually(
    'a relay',
    async () => {
      const probe = make();
      probe.agent.gather();
      await eventually('the end of gathering', () => probe.agent.gatheringState === 'complete', 15_000);
      probe.agent.close();
      return probe.candidates.some((candidate) => candidate?.type === 'relay');
    },
    15_000,
  );
}

const isConnected = ({ agent }: AgentSide) => agent.state === 'connected' || agent.state === 'completed';

async function talk(a: AgentSide, b: AgentSide): Promise<void> {
  for (const text of ['x', 'four', 'a'.repeat(1_199)]) {
    a.agent.send(Buffer.from(`b ${text}`));
    b.agent.send(Buffer.from(`a ${text}`));
    await eventually('data', () => a.received.includes(`a ${text}`) && b.received.includes(`b ${text}`));
  }
}

describe.skipIf(!hasTurn()).each(['udp', 'tcp', 'tls'] as const)('a relay over %s', (transport) => {
  it('carries two agents that may use nothing else, and one of them to another without', async () => {
    const turn = await startTurn(transport);
    await gathered(() => side(turn));
    const [a, b] = [side(turn, { isControlling: true }), side(turn)];
    introduce(a, b);
    await eventually('both to be connected', () => isConnected(a) && isConnected(b), 10_000);
    expect(a.agent.stats().local).toMatchObject({ type: 'relay', address: '127.0.0.1' });
    expect(b.agent.stats().remote).toMatchObject({ type: 'relay', address: '127.0.0.1' });
    expect([...a.candidates, ...b.candidates].map((candidate) => candidate?.type)).toEqual([
      'relay',
      undefined,
      'relay',
      undefined,
    ]);
    await talk(a, b);

    const [c, d] = [side(turn), side(turn, { isControlling: true, relayOnly: false })];
    introduce(c, d, 'b alone tells');
    await eventually('both to be connected', () => isConnected(c) && isConnected(d), 10_000);
    expect(c.agent.stats().local?.type).toBe('relay');
    await talk(c, d);
  });
});

describe.skipIf(!hasTurn())('a relay', () => {
  it('is not given for wrong credentials, and gathering ends at once', async () => {
    const turn = await startTurn('udp');
    await gathered(() => side(turn));
    const a = side(turn, { credential: 'wrong' });
    a.agent.gather();
    await eventually('the end of gathering', () => a.agent.gatheringState === 'complete', 2_000);
    expect(a.candidates).toEqual([undefined]);
  });

  it('that dies with its connection disconnects at once', async () => {
    const turn = await startTurn('tcp');
    await gathered(() => side(turn));
    const [a, b] = [side(turn, { isControlling: true }), side(turn)];
    introduce(a, b);
    await eventually('both to be connected', () => isConnected(a) && isConnected(b), 10_000);
    turn.stop();
    await eventually(
      'both to know',
      () => [a, b].every(({ agent }) => agent.state === 'disconnected'),
      2_000,
    );
  });

  it('carries an agent to werift', async () => {
    const turn = await startTurn('udp');
    await gathered(() => side(turn));
    const agent = side(turn, { isControlling: true });
    const { username, password } = turn.iceServer;
    const werift = new WeriftSide(agent, {
      turnServer: ['127.0.0.1', turn.port],
      turnUsername: username,
      turnPassword: password,
      forceTurn: true,
    });
    freed.push(() => werift.transport.stop());
    await werift.start(false);
    await eventually('the agent', () => isConnected(agent), 10_000);
    agent.agent.send(Buffer.from('to werift'));
    await werift.transport.connection.send(Buffer.from('to agent'));
    await eventually(
      'data',
      () => agent.received.includes('to agent') && werift.received.includes('to werift'),
    );
  });
});
