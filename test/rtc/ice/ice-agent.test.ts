import { beforeEach, describe, expect, it } from 'vitest';
import type { IceAgentOptions } from '../../../src/rtc/ice/ice-agent.js';
import { VirtualClock } from '../../support/virtual-clock.js';
import { AgentSide, introduce } from './agent-side.js';
import { VirtualNetwork } from './virtual-network.js';

let clock: VirtualClock;
let network: VirtualNetwork;

beforeEach(() => {
  clock = new VirtualClock();
  network = new VirtualNetwork(clock);
});

function side(address: string | readonly string[], options: Partial<IceAgentOptions> = {}): AgentSide {
  const machine = network.machine(...[address].flat());
  return new AgentSide({ isControlling: false, clock, network: machine, ...options });
}

/** Two agents of machines of their own, introduced to each other. */
function pair(options: Partial<IceAgentOptions> = {}) {
  const a = side('192.0.2.1', { isControlling: true, ...options });
  const b = side('192.0.2.2');
  introduce(a, b);
  return { a, b };
}

describe('two agents', () => {
  it('find each other in three round trips, and complete', () => {
    const { a, b } = pair();
    clock.advance(3 * 2 * network.delayMs);
    expect([a.states, b.states]).toEqual([
      ['checking', 'connected', 'completed'],
      ['checking', 'connected', 'completed'],
    ]);
    expect(a.agent.send(Buffer.from('hello'))).toBe(true);
    expect(b.agent.send(Buffer.from('there'))).toBe(true);
    clock.advance(10);
    expect([a.received, b.received]).toEqual([['there'], ['hello']]);
    expect(a.agent.stats()).toMatchObject({
      bytesSent: 5,
      bytesReceived: 5,
      roundTripMs: 2 * network.delayMs,
      local: { type: 'host', address: '192.0.2.1' },
      remote: { type: 'host', address: '192.0.2.2' },
    });
  });

  it('free everything', () => {
    const { a, b } = pair();
    clock.advance(1_000);
    for (const { agent } of [a, b]) {
      agent.close();
      agent.close();
    }
    clock.advance(10);
    expect([network.open, clock.pending]).toEqual([0, 0]);
    expect(a.agent.send(Buffer.from('x'))).toBe(false);
    expect(a.states.at(-1)).toBe('closed');
  });
});
