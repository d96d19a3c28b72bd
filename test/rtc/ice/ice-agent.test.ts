import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { IceAgentOptions } from '../../../src/rtc/ice/ice-agent.js';
import { type IceCandidate, makeCandidate } from '../../../src/rtc/ice/ice-candidate.js';
import type { DatagramSocket } from '../../../src/rtc/ice/network.js';
import {
  StunAttribute,
  StunBuilder,
  StunClass,
  StunMessage,
  StunMethod,
} from '../../../src/rtc/ice/stun-message.js';
import { VirtualClock } from '../../support/virtual-clock.js';
import { AgentSide, introduce } from './agent-side.js';
import { TurnServer } from './turn-server.js';
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

  it('find each other over a network that loses a third of all datagrams', () => {
    const slowest: number[] = [];
    for (let seed = 1; seed <= 50; seed++) {
      network = new VirtualNetwork(clock);
      const random = randomOf(seed);
      network.loses = () => random() < 1 / 3;
      const { a, b } = pair();
      const begun = clock.now();
      for (let i = 0; i < 4_000 && !(isConnected(a) && isConnected(b)); i++) clock.advance(10);
      slowest.push(clock.now() - begun);
      for (const { agent } of [a, b]) agent.close();
    }
    slowest.sort((a, b) => a - b);
    if (process.env.TEST_LOG) console.log(slowest.join(' '));
    expect(slowest[25]).toBeLessThanOrEqual(1_000);
    expect(slowest.at(-1)).toBeLessThanOrEqual(20_000);
  });

  it.each([true, false])('that are both controlling (%s) settle who is', (isControlling) => {
    for (let i = 0; i < 20; i++) {
      const [a, b] = [side('192.0.2.1', { isControlling }), side('192.0.2.2', { isControlling })];
      introduce(a, b);
      clock.advance(200);
      expect([a.agent.state, b.agent.state]).toEqual(['completed', 'completed']);
      expect(a.agent.isControlling).toBe(!b.agent.isControlling);
    }
  });

  it('find each other when checks come before the description', () => {
    const [a, b] = [side('192.0.2.1', { isControlling: true }), side('192.0.2.2')];
    b.agent.gather();
    a.agent.gather();
    a.agent.setRemote({ ...b.agent.local, isLite: false });
    a.agent.addRemoteCandidate(b.candidates[0]);
    clock.advance(300);
    expect(b.states).toEqual([]);
    b.agent.setRemote({ ...a.agent.local, isLite: false });
    clock.advance(30);
    expect([a.agent.state, b.agent.state]).toEqual(['connected', 'connected']);
    expect(b.agent.stats().remote).toMatchObject({ type: 'prflx', address: '192.0.2.1' });
    // Told later, it is no longer only found.
    b.agent.addRemoteCandidate(a.candidates[0]);
    expect(b.agent.stats().remote?.type).toBe('host');
  });

  it('prefer the better of two ways when it is as fast, and do not wait for one that is closed', () => {
    const both = ['192.0.2.1', '2001:db8::1'];
    const other = ['192.0.2.2', '2001:db8::2'];
    const find = () => {
      const [a, b] = [side(both, { isControlling: true }), side(other)];
      introduce(a, b);
      clock.advance(70);
      return [a, b].map(({ agent }) => [agent.state, agent.stats().remote?.address]);
    };
    expect(find()).toEqual([
      ['completed', '192.0.2.2'],
      ['completed', '192.0.2.1'],
    ]);
    network.loses = (from) => from.startsWith('192');
    expect(find()).toEqual([
      ['completed', '2001:db8::2'],
      ['completed', '2001:db8::1'],
    ]);
  });

  it('check at a pace', () => {
    const a = side('192.0.2.1', { isControlling: true });
    a.agent.gather();
    a.agent.setRemote({ ...side('192.0.2.2').agent.local, isLite: false });
    for (let i = 1; i <= 40; i++) a.agent.addRemoteCandidate(hostOf(`192.0.2.${i + 100}`));
    expect(network.sent).toBe(4);
    clock.advance(101);
    expect(network.sent).toBe(4 + 5 * 4);
  });

  it('free everything', () => {
    const { a, b } = pair();
    clock.advance(1_000);
    for (const { agent } of [a, b]) {
      agent.close();
      agent.close();
      agent.gather();
      agent.setRemote({ ufrag: 'late', pwd: 'late', isLite: false });
      agent.addRemoteCandidate(hostOf('192.0.2.9'));
      agent.restart();
    }
    clock.advance(10);
    expect([network.open, clock.pending]).toEqual([0, 0]);
    expect(a.agent.send(Buffer.from('x'))).toBe(false);
    expect(a.states).toEqual(['checking', 'connected', 'completed', 'closed']);
  });
});

/** A controlling peer at some addresses that answers every check, and checks and nominates as it is told. */
function peer(agent: AgentSide, ...addresses: string[]) {
  const pwd = 'p'.repeat(22);
  const sockets = addresses.map((own) => {
    const socket = network.socket([own], (datagram, address, port) => {
      const request = StunMessage.parse(datagram);
      if (request?.class_ !== StunClass.request) return;
      const response = new StunBuilder(StunClass.success, StunMethod.binding, request.transaction)
        .addXorAddress(StunAttribute.xorMappedAddress, { address, port })
        .finish(pwd);
      peer.answerFrom(socket).send(response, address, port);
    });
    return socket;
  });
  const peer = {
    answerFrom: (socket: DatagramSocket) => socket,
    sockets,
    nominate(i: number) {
      const request = new StunBuilder(StunClass.request, StunMethod.binding)
        .add(StunAttribute.username, `${agent.agent.local.ufrag}:peer`)
        .addUint32(StunAttribute.priority, 1)
        .addUint64(StunAttribute.iceControlling, 0n)
        .add(StunAttribute.useCandidate)
        .finish(agent.agent.local.pwd);
      const to = agent.candidates.find((c) => c?.address.includes(':') === addresses[i]?.includes(':'));
      sockets[i]?.send(request, to?.address ?? '', to?.port ?? 0);
      clock.advance(50);
      return agent.agent.stats().remote?.address;
    },
  };
  agent.agent.gather();
  agent.agent.setRemote({ ufrag: 'peer', pwd, isLite: false });
  for (const [i, { port }] of sockets.entries()) {
    agent.agent.addRemoteCandidate(makeCandidate('host', { address: addresses[i] ?? '', port }, 65_535 - i));
  }
  return peer;
}

describe('a controlled agent', () => {
  it('follows to the best pair of those that are nominated at once, and later to any', () => {
    const a = side(['192.0.2.1', '2001:db8::1']);
    const { nominate } = peer(a, '192.0.2.2', '2001:db8::2');
    clock.advance(1_000);
    expect(a.agent.state).toBe('checking');
    expect(nominate(1)).toBe('2001:db8::2');
    expect(nominate(0)).toBe('192.0.2.2');
    expect(nominate(1)).toBe('192.0.2.2');
    clock.advance(3_000);
    expect(nominate(1)).toBe('2001:db8::2');
    clock.advance(10_000);
    expect(a.agent.state).toBe('connected');
  });

  it('takes no answer from another address than it asked', () => {
    const a = side('192.0.2.1');
    const other = network.socket(['192.0.2.2'], () => {});
    const { nominate } = peer(a, '192.0.2.2');
    expect(nominate(0)).toBe('192.0.2.2');
    const b = side('192.0.2.1');
    const lying = peer(b, '192.0.2.2');
    lying.answerFrom = () => other;
    expect(lying.nominate(0)).toBeUndefined();
    expect(b.agent.state).toBe('checking');
  });
});

describe('a lite agent', () => {
  it('is found by one that then controls', () => {
    const a = side('192.0.2.1');
    const requests: StunMessage[] = [];
    const lite = network.socket(['192.0.2.2'], (datagram, address, port) => {
      const request = StunMessage.parse(Buffer.from(datagram)) ?? expect.fail('no message');
      expect(request.isAuthentic('p'.repeat(22))).toBe(true);
      requests.push(request);
      const response = new StunBuilder(StunClass.success, StunMethod.binding, request.transaction);
      response.addXorAddress(StunAttribute.xorMappedAddress, { address, port });
      lite.send(response.finish('p'.repeat(22)), address, port);
    });
    a.agent.gather();
    a.agent.setRemote({ ufrag: 'lite', pwd: 'p'.repeat(22), isLite: true });
    a.agent.addRemoteCandidate({ ...hostOf('192.0.2.2'), port: lite.port });
    clock.advance(20);
    expect([a.agent.state, a.agent.isControlling]).toEqual(['connected', true]);
    expect(requests.map((request) => request.has(StunAttribute.useCandidate))).toEqual([false, true]);
    expect(requests[0]?.textOf(StunAttribute.username)).toBe(`lite:${a.agent.local.ufrag}`);
    clock.advance(60_000);
    expect(a.agent.state).toBe('connected');
    // One each 2 to 3 seconds.
    expect(requests.length).toBeGreaterThanOrEqual(2 + 20);
    expect(requests.length).toBeLessThanOrEqual(2 + 30);
  });
});

describe('a restart', () => {
  /** Sends a datagram both ways each 20 ms; counts what is lost. */
  function chatter(a: AgentSide, b: AgentSide) {
    let sent = 0;
    const timer = clock.every(20, () => {
      sent += 1;
      for (const { agent } of [a, b]) expect(agent.send(Buffer.from([128, sent]))).toBe(true);
    });
    return () => {
      clock.cancel(timer);
      clock.advance(100);
      return [sent - a.received.length, sent - b.received.length];
    };
  }

  it.each(['controlling', 'controlled'])('of the %s side loses nothing', (who) => {
    const { a, b } = pair();
    clock.advance(100);
    const lost = chatter(a, b);
    for (let i = 0; i < 5; i++) {
      const [restarting, other] = who === 'controlling' ? [a, b] : [b, a];
      const before = [a.agent.local, b.agent.local];
      const local = restarting.agent.restart();
      expect(restarting.agent.local).toBe(local);
      restarting.agent.gather();
      clock.advance(500);
      other.agent.setRemote({ ...local, isLite: false });
      // As an answer does: the other side's restart has begun already.
      expect(other.agent.restart()).toBe(other.agent.local);
      other.agent.gather();
      clock.advance(500);
      restarting.agent.setRemote({ ...other.agent.local, isLite: false });
      for (const [from, to] of [[a, b] as const, [b, a] as const]) {
        for (const candidate of from.candidates.slice(-2)) to.agent.addRemoteCandidate(candidate);
      }
      clock.advance(500);
      expect(a.agent.local).not.toEqual(before[0]);
      expect(b.agent.local).not.toEqual(before[1]);
    }
    expect(lost()).toEqual([0, 0]);
    expect([a.agent.state, b.agent.state]).toEqual(['completed', 'completed']);
    for (const { states } of [a, b])
      expect(new Set(states)).toEqual(new Set(['checking', 'connected', 'completed']));
    expect(network.open).toBe(2);
  });

  it('that the other side never answers changes nothing', () => {
    const { a, b } = pair();
    clock.advance(100);
    const lost = chatter(a, b);
    a.agent.restart();
    a.agent.gather();
    clock.advance(120_000);
    a.agent.restart();
    a.agent.gather();
    clock.advance(120_000);
    expect(lost()).toEqual([0, 0]);
    expect([a.agent.state, b.agent.state]).toEqual(['completed', 'completed']);
  });

  it('finds another way after all have failed', () => {
    const { a, b } = pair();
    clock.advance(100);
    network.loses = () => true;
    clock.advance(31_000);
    expect([a.agent.state, b.agent.state]).toEqual(['failed', 'failed']);
    expect(a.agent.send(Buffer.from('x'))).toBe(false);
    network.loses = () => false;
    clock.advance(60_000);
    expect([a.agent.state, b.agent.state]).toEqual(['failed', 'failed']);
    a.agent.restart();
    b.agent.restart();
    introduce(a, b);
    clock.advance(100);
    expect([a.agent.state, b.agent.state]).toEqual(['completed', 'completed']);
  });

  it('is not made by the same credentials', () => {
    const { a, b } = pair();
    clock.advance(100);
    const { local } = a.agent;
    a.agent.setRemote({ ...b.agent.local, isLite: false });
    a.agent.gather();
    expect(a.agent.local).toBe(local);
    expect(a.candidates).toHaveLength(2);
  });
});

describe('consent', () => {
  it('is lost after five seconds without an answer, and returns with one', () => {
    const { a, b } = pair();
    clock.advance(10_000);
    network.loses = () => true;
    const begun = clock.now();
    for (let i = 0; i < 1_000 && a.agent.state === 'completed'; i++) clock.advance(10);
    // The last answer is at most one interval old.
    expect(clock.now() - begun).toBeGreaterThanOrEqual(5_000 - 3_100);
    expect(clock.now() - begun).toBeLessThanOrEqual(5_010);
    expect(a.agent.state).toBe('disconnected');
    clock.advance(15_000);
    expect(a.agent.send(Buffer.from('still'))).toBe(true);
    network.loses = () => false;
    clock.advance(1_700);
    expect([a.agent.state, b.agent.state]).toEqual(['completed', 'completed']);
    network.loses = () => true;
    clock.advance(30_010);
    expect([a.agent.state, b.agent.state]).toEqual(['failed', 'failed']);
    clock.advance(60_000);
    expect(a.states).toEqual([
      ...['checking', 'connected', 'completed'],
      ...['disconnected', 'connected', 'completed'],
      ...['disconnected', 'failed'],
    ]);
  });

  it('is lost when only one direction is closed, for the side that gets no answer and for the other', () => {
    const { a, b } = pair();
    clock.advance(1_000);
    network.loses = (from) => from === '192.0.2.1';
    clock.advance(6_000);
    expect([a.agent.state, b.agent.state]).toEqual(['disconnected', 'disconnected']);
  });

  it('is not lost by a stall of this process', () => {
    const { a } = pair();
    clock.advance(1_000);
    clock.stall(60_000);
    clock.advance(1_000);
    expect(a.states).toEqual(['checking', 'connected', 'completed']);
  });

  it('moves to another pair when one is silent', () => {
    const a = side(['192.0.2.1', '2001:db8::1'], { isControlling: true });
    const b = side(['192.0.2.2', '2001:db8::2']);
    introduce(a, b);
    clock.advance(5_000);
    network.loses = (from) => from.startsWith('192');
    clock.advance(6_000);
    for (const { agent } of [a, b]) {
      expect([agent.state, agent.stats().remote?.address.slice(0, 8)]).toEqual(['completed', '2001:db8']);
    }
  });

  it('fails when nobody answers from the beginning', () => {
    network.loses = () => true;
    const { a } = pair();
    clock.advance(29_000);
    expect(a.states).toEqual(['checking']);
    clock.advance(2_000);
    expect(a.states).toEqual(['checking', 'failed']);
    const { sent } = network;
    clock.advance(60_000);
    expect(network.sent).toBe(sent);
    // Each 500 ms, and a few at first.
    expect(a.agent.stats().requestsSent).toBeLessThan(65);
  });
});

describe('a stranger', () => {
  /** A socket of nobody, and whatever it gets. */
  function stranger() {
    const got: Buffer[] = [];
    const socket = network.socket(['198.51.100.1'], (datagram) => got.push(datagram));
    return { socket, got };
  }

  it('changes nothing and gets nothing, whatever it sends', () => {
    const { a, b } = pair();
    clock.advance(1_000);
    const { socket, got } = stranger();
    const port = a.candidates[0]?.port ?? 0;
    const valid = () =>
      new StunBuilder(StunClass.request, StunMethod.binding)
        .add(StunAttribute.username, `${a.agent.local.ufrag}:${b.agent.local.ufrag}`)
        .addUint32(StunAttribute.priority, 1)
        .addUint64(StunAttribute.iceControlled, 2n ** 64n - 1n)
        .add(StunAttribute.useCandidate);
    const kinds = fc.oneof(
      fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      fc.string().map((key) => valid().finish(key)),
      fc.constant(0).map(() => valid().finish()),
      fc
        .constantFrom(...Object.values(StunClass))
        .map((kind) => new StunBuilder(kind, StunMethod.binding).finish('k')),
      fc.tuple(fc.nat(200), fc.nat(255)).map(([at, value]) => {
        // Signed by one who knows, then changed.
        const datagram = valid().finish(a.agent.local.pwd, false);
        const where = at % datagram.length;
        datagram[where] = value === datagram[where] ? value ^ 1 : value;
        return datagram;
      }),
    );
    fc.assert(
      fc.property(kinds, (datagram) => {
        socket.send(datagram, '192.0.2.1', port);
        clock.advance(10);
      }),
      { numRuns: 1_000 },
    );
    expect([a.received, got]).toEqual([[], []]);
    expect(a.agent.isControlling).toBe(true);
    expect(a.states).toEqual(['checking', 'connected', 'completed']);
    expect(a.agent.stats().remote?.address).toBe('192.0.2.2');
  });

  it('that forges answers connects nobody', () => {
    const a = side('192.0.2.1', { isControlling: true });
    const socket = network.socket(['192.0.2.2'], (datagram, address, port) => {
      const request = StunMessage.parse(Buffer.from(datagram)) ?? expect.fail('no message');
      for (const kind of [StunClass.success, StunClass.error]) {
        const response = new StunBuilder(kind, StunMethod.binding, request.transaction);
        response.addXorAddress(StunAttribute.xorMappedAddress, { address, port }).addErrorCode(487, '');
        for (const key of [undefined, 'guessed']) socket.send(response.finish(key), address, port);
      }
      socket.send(Buffer.from('data'), address, port);
    });
    a.agent.gather();
    a.agent.setRemote({ ufrag: 'ufrag', pwd: 'p'.repeat(22), isLite: false });
    a.agent.addRemoteCandidate({ ...hostOf('192.0.2.2'), port: socket.port });
    clock.advance(1_000);
    expect([a.states, a.agent.isControlling, a.received]).toEqual([['checking'], true, []]);
    expect(a.agent.stats().responsesReceived).toBe(0);
  });

  it('with credentials is told what it lacks', () => {
    const { a, b } = pair();
    clock.advance(1_000);
    const { socket, got } = stranger();
    const username = `${a.agent.local.ufrag}:${b.agent.local.ufrag}`;
    const request = () =>
      new StunBuilder(StunClass.request, StunMethod.binding).add(StunAttribute.username, username);
    const port = a.candidates[0]?.port ?? 0;
    socket.send(request().add(0x7ffe).finish(a.agent.local.pwd), '192.0.2.1', port);
    socket.send(request().finish(a.agent.local.pwd), '192.0.2.1', port);
    clock.advance(10);
    const answers = got.map((datagram) => StunMessage.parse(datagram));
    expect(answers.map((answer) => answer?.errorCode)).toEqual([420, 400]);
    expect(answers[0]?.bytesOf(StunAttribute.unknownAttributes)?.toString('hex')).toBe('7ffe');
  });

  it('with credentials makes no more than twenty pairs', () => {
    const { a, b } = pair();
    clock.advance(1_000);
    network.sent = 0;
    for (let i = 0; i < 200; i++) {
      const { socket } = stranger();
      const request = new StunBuilder(StunClass.request, StunMethod.binding)
        .add(StunAttribute.username, `${b.agent.local.ufrag}:${a.agent.local.ufrag}`)
        .addUint32(StunAttribute.priority, 1)
        .add(StunAttribute.useCandidate)
        .finish(b.agent.local.pwd);
      socket.send(request, '192.0.2.2', b.candidates[0]?.port ?? 0);
    }
    clock.advance(10);
    expect(b.agent.stats().requestsReceived).toBeGreaterThanOrEqual(200);
    clock.advance(60_000);
    // Requests and their answers, at most ten checks for each pair, and the consent of two agents.
    expect(network.sent).toBeLessThanOrEqual(2 * 200 + 20 * 10 + 2 * 2 * 30);
    expect(b.agent.stats().remote?.address).toBe('192.0.2.1');
  });
});

describe('candidates of the other side', () => {
  it('that cannot be used are ignored, and so are those beyond the fortieth', () => {
    const a = side(['192.0.2.1', '2001:db8::1'], { isControlling: true });
    a.agent.gather();
    a.agent.setRemote({ ufrag: 'ufrag', pwd: 'p'.repeat(22), isLite: false });
    for (const change of [
      { address: '0c6cd9e0.local' },
      { address: 'example.org' },
      { address: '255.255.255.255' },
      { address: 'fe80::1' },
      { transport: 'tcp' },
      { component: 2 },
      { port: 0 },
    ]) {
      a.agent.addRemoteCandidate({ ...hostOf('192.0.2.2'), ...change });
    }
    clock.advance(1_000);
    expect(network.sent).toBe(0);
    const seen = new Set<string>();
    network.loses = (_, to) => seen.add(to) !== undefined;
    for (let i = 0; i < 1_000; i++) {
      a.agent.addRemoteCandidate(hostOf(i % 2 === 0 ? `10.0.${i >> 8}.${i & 255}` : `2001:db8::${i}`));
    }
    clock.advance(5_000);
    expect(seen.size).toBe(40);
  });

  it.each(['ufrag', 'pwd'])('need a %s of 1 to 256 characters', (name) => {
    const { agent } = side('192.0.2.1');
    for (const text of ['', 'x'.repeat(257), 5 as unknown as string]) {
      const parameters = { ufrag: 'ufrag', pwd: 'pwd', isLite: false, [name]: text };
      expect(() => agent.setRemote(parameters)).toThrow(
        'Expected 1 to 256 characters for ICE credentials but received',
      );
    }
  });
});

describe('a STUN server', () => {
  const SERVER = [{ urls: 'stun:203.0.113.1:10000' }];

  it('shows the address behind a NAT', async () => {
    const server = network.socket(['203.0.113.1'], (datagram, address, port) => {
      const { transaction } = StunMessage.parse(datagram) ?? expect.fail('no message');
      const response = new StunBuilder(StunClass.success, StunMethod.binding, transaction);
      response.addXorAddress(StunAttribute.xorMappedAddress, { address: '198.51.100.7', port: 77 });
      server.send(response.finish(), address, port);
    });
    expect(server.port).toBe(10_000);
    let asked = 0;
    network.loses = (_, to) => to === '203.0.113.1' && asked++ === 0;
    const a = side('192.0.2.1', { servers: SERVER });
    a.agent.gather();
    expect([a.agent.gatheringState, a.candidates.map((c) => c?.type)]).toEqual(['gathering', ['host']]);
    await clock.pass(520);
    expect(a.agent.gatheringState).toBe('complete');
    expect(a.candidates[1]).toMatchObject({
      type: 'srflx',
      address: '198.51.100.7',
      port: 77,
      relatedAddress: '192.0.2.1',
      relatedPort: a.candidates[0]?.port,
    });
    expect(a.candidates[2]).toBeUndefined();
    expect(a.candidates).toHaveLength(3);
  });

  it('that does not answer, or has no address, is not waited for', async () => {
    const a = side('192.0.2.1', { servers: SERVER });
    const resolve = () => Promise.reject(new Error('no such name'));
    const b = side('192.0.2.1', { servers: SERVER, network: { ...network.machine('192.0.2.1'), resolve } });
    a.agent.gather();
    b.agent.gather();
    await clock.pass(100);
    expect(b.candidates.map((c) => c?.type)).toEqual(['host', undefined]);
    await clock.pass(9_800);
    expect(a.agent.gatheringState).toBe('gathering');
    await clock.pass(200);
    expect(a.candidates.map((c) => c?.type)).toEqual(['host', undefined]);
  });
});

describe('a relay', () => {
  it('that is not needed is freed soon, and asked for again by a restart', async () => {
    const server = new TurnServer(network);
    const a = side('192.0.2.1', { isControlling: true, servers: [server.server] });
    const b = side('192.0.2.2');
    for (let i = 1; i <= 2; i++) {
      introduce(a, b);
      await clock.pass(100);
      expect([a.agent.state, b.agent.state]).toEqual(['completed', 'completed']);
      expect(a.agent.stats().local?.type).toBe('host');
      expect(a.candidates.map((c) => c?.type).slice(-3)).toEqual(['host', 'relay', undefined]);
      expect(network.open).toBe(4);
      await clock.pass(3_000);
      expect([server.lastLifetime, network.open]).toEqual([0, 3]);
      expect(server.log.length).toBe(2 * i);
      a.agent.restart();
      b.agent.restart();
    }
  });

  it('that does not answer is not waited for', async () => {
    const server = new TurnServer(network);
    server.isSilent = true;
    const a = side('192.0.2.1', { relayOnly: true, servers: [server.server] });
    a.agent.gather();
    await clock.pass(9_900);
    expect(a.candidates).toEqual([]);
    await clock.pass(200);
    expect([a.candidates, network.open, clock.pending]).toEqual([[undefined], 1, 0]);
  });
});

describe('whoever hears of an agent', () => {
  it.each(['candidate', 'state', 'data'] as const)('may close it by its first %s', async (event) => {
    const server = new TurnServer(network);
    const [a, b] = [side('192.0.2.1', { isControlling: true, servers: [server.server] }), side('192.0.2.2')];
    const told: string[] = [];
    a[event] = () => {
      told.push(event);
      if (a.agent.state !== 'closed') a.agent.close();
    };
    introduce(a, b);
    await clock.pass(100);
    b.agent.send(Buffer.from('x'));
    await clock.pass(2_000);
    b.agent.close();
    await clock.pass(10);
    // What it is told of state is that it is closed.
    expect(told).toEqual(event === 'state' ? [event, event] : [event]);
    expect([a.agent.state, network.open, clock.pending]).toEqual(['closed', 1, 0]);
  });
});

const isConnected = ({ agent }: AgentSide) => agent.state === 'connected' || agent.state === 'completed';

function hostOf(address: string): IceCandidate {
  return makeCandidate('host', { address, port: 9_999 }, 65_535);
}

/** Numbers from 0 to 1 that are the same each time. */
function randomOf(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
