import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/clock.js';
import { systemNetwork } from '../../../src/rtc/ice/network.js';
import { AgentSide, introduce } from '../../rtc/ice/agent-side.js';
import { LibwebrtcSide } from '../../rtc/ice/libwebrtc-side.js';
import { WeriftSide } from '../../rtc/ice/werift-side.js';
import { eventually } from '../../support/time.js';

const freed: (() => unknown)[] = [];
afterEach(async () => {
  for (const free of freed.splice(0)) await free();
});

function side(isControlling: boolean, options: { addresses?: readonly string[] } = {}): AgentSide {
  const { addresses } = options;
  const network = addresses === undefined ? systemNetwork : { ...systemNetwork, addresses: () => addresses };
  const made = new AgentSide({ isControlling, clock: systemClock, network });
  freed.push(() => made.agent.close());
  return made;
}

const isConnected = ({ agent }: AgentSide) => agent.state === 'connected' || agent.state === 'completed';

async function talk(a: AgentSide, b: AgentSide): Promise<void> {
  await eventually('both to be connected', () => isConnected(a) && isConnected(b));
  a.agent.send(Buffer.from('to b'));
  b.agent.send(Buffer.from('to a'));
  await eventually('data', () => a.received.includes('to a') && b.received.includes('to b'));
}

describe('two agents', () => {
  it.each([
    ['of this machine', undefined],
    ['on loopback', ['127.0.0.1']],
    ['on loopback of IPv6', ['::1']],
  ])('%s find each other', async (_, addresses) => {
    const options = addresses === undefined ? {} : { addresses };
    const [a, b] = [side(true, options), side(false, options)];
    const begun = performance.now();
    introduce(a, b);
    await eventually('both to be connected', () => isConnected(a) && isConnected(b));
    if (process.env.TEST_LOG) console.log(performance.now() - begun, a.agent.stats(), b.agent.stats());
    await talk(a, b);
    await eventually('completion', () => a.agent.state === 'completed' && b.agent.state === 'completed');
  });

  it('find each other when only one tells its candidates', async () => {
    const [a, b] = [side(true), side(false, { addresses: ['127.0.0.1'] })];
    introduce(a, b, 'b alone tells');
    await talk(a, b);
    expect(b.agent.stats().remote?.type).toBe('prflx');
  });
});

describe('a socket', () => {
  it('loses what cannot be sent, and what is sent when it is closed', async () => {
    const got: string[] = [];
    const [one, other] = [4, 6].map((family) =>
      systemNetwork.open(family as 4 | 6, (datagram, address) => got.push(`${address} ${datagram}`)),
    );
    if (one === undefined || other === undefined) return expect.fail('no socket');
    freed.push(() => [one, other].map((socket) => socket.close()));
    one.send(Buffer.alloc(70_000), '127.0.0.1', one.port);
    one.send(Buffer.from('x'), '::1', other.port);
    one.send(Buffer.from('x'), '240.0.0.1', 9);
    other.send(Buffer.from('x'), '2001:db8::1', 9);
    other.send(Buffer.from('x'), '::1', 0);
    one.send(Buffer.from('four'), '127.0.0.1', one.port);
    other.send(Buffer.from('six'), '::1', other.port);
    await eventually('both', () => got.length === 2);
    expect(got.sort()).toEqual(['127.0.0.1 four', '::1 six']);
    one.close();
    one.close();
    one.send(Buffer.from('late'), '127.0.0.1', 9);
  });
});

describe.each([true, false])('werift (controlling: %s)', (isControlling) => {
  it('finds an agent', async () => {
    const agent = side(!isControlling);
    const werift = new WeriftSide(agent);
    freed.push(() => werift.transport.stop());
    await werift.start(isControlling);
    await eventually('both to be connected', () => isConnected(agent));
    await eventually('werift', () => /connected|completed/.test(werift.transport.state));
    agent.agent.send(Buffer.from('to werift'));
    await werift.transport.connection.send(Buffer.from('to agent'));
    await eventually(
      'data',
      () => agent.received.includes('to agent') && werift.received.includes('to werift'),
    );
  });
});

describe('libwebrtc', () => {
  it.each([
    ['offers', false],
    ['answers', true],
  ] as const)('finds an agent when it %s, and again after a restart', async (does, isControlling) => {
    const agent = side(isControlling);
    const libwebrtc = new LibwebrtcSide(agent);
    freed.push(() => libwebrtc.peer.close());
    await libwebrtc[does]();
    await eventually('the agent', () => isConnected(agent));
    await eventually('libwebrtc', () => /connected|completed/.test(libwebrtc.peer.iceConnectionState));
    await eventually('its first flight', () =>
      agent.received.some((datagram) => datagram.charCodeAt(0) === 22),
    );
    const before = agent.agent.local;
    const { requestsReceived } = agent.agent.stats();
    await libwebrtc[does](true);
    expect(agent.agent.local).not.toEqual(before);
    await eventually('checks', () => agent.agent.stats().requestsReceived > requestsReceived);
    await eventually('completion', () => agent.agent.state === 'completed');
    expect(libwebrtc.peer.iceConnectionState).toMatch(/connected|completed/);
    expect(agent.states).not.toContain('disconnected');
  });
});
