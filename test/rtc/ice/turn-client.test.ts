import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { serverAddresses } from '../../../src/rtc/ice/ice-server.js';
import { StunAttribute, StunBuilder, StunClass, StunMethod } from '../../../src/rtc/ice/stun-message.js';
import { TurnClient, type TurnListener } from '../../../src/rtc/ice/turn-client.js';
import { VirtualClock } from '../../support/virtual-clock.js';
import { RELAYED, TurnServer } from './turn-server.js';
import { VirtualNetwork } from './virtual-network.js';

const { allocate, refresh, channelBind } = StunMethod;
const PEER = { address: '198.51.100.1', port: 7_000 };

let clock: VirtualClock;
let network: VirtualNetwork;
let server: TurnServer;

beforeEach(() => {
  clock = new VirtualClock();
  network = new VirtualNetwork(clock);
  server = new TurnServer(network);
});

/** A client, and what it told. */
async function open() {
  const told: string[] = [];
  const listener: TurnListener = {
    allocated: (_, { address, port }, mapped) => told.push(`allocated ${address}:${port} ${mapped?.address}`),
    ended: () => told.push('ended'),
    received: (_, datagram, address, port) => told.push(`${address}:${port} ${datagram.toString('latin1')}`),
  };
  const [address] = serverAddresses([server.server]);
  const client = new TurnClient(
    address ?? expect.fail(),
    network.machine('192.0.2.1'),
    clock,
    undefined,
    listener,
  );
  // The name is resolved.
  await Promise.resolve();
  await clock.pass(30);
  return { client, told };
}

const ALLOCATED = `allocated ${RELAYED.address}:${RELAYED.port} 192.0.2.1`;
const route = (client: TurnClient, port = PEER.port) =>
  client.route(PEER.address, port) ?? expect.fail('no route');

describe('an allocation', () => {
  it('is made with credentials, refreshed a minute before its end, and freed', async () => {
    const { client, told } = await open();
    expect([told, client.state]).toEqual([[ALLOCATED], 'allocated']);
    clock.advance(539_000);
    expect(server.log).toEqual([[allocate, undefined]]);
    clock.advance(2 * 540_000);
    expect(server.log.slice(1)).toEqual([
      [refresh, undefined],
      [refresh, undefined],
    ]);
    client.close();
    client.close();
    clock.advance(100);
    expect([server.log.length, server.lastLifetime]).toEqual([4, 0]);
    expect([network.open, clock.pending]).toEqual([1, 0]);
    expect(told).toEqual([ALLOCATED]);
  });

  it('is freed although its nonce is stale, and without an answer', async () => {
    const { client } = await open();
    server.nonce = 'second';
    client.close();
    clock.advance(100);
    expect([server.log.at(-1), server.lastLifetime]).toEqual([[refresh, undefined], 0]);
    expect(network.open).toBe(1);
    const other = await open();
    server.isSilent = true;
    other.client.close();
    clock.advance(1_100);
    expect([network.open, clock.pending]).toEqual([1, 0]);
  });

  it.each([
    [437, 'mismatch'],
    [486, 'quota'],
    [508, 'capacity'],
  ])('that is refused (%i, %s) is none', async (code) => {
    server.refusals.set(allocate, code);
    const { told, client } = await open();
    expect([told, client.state]).toEqual([['ended'], 'ended']);
    expect([network.open, clock.pending]).toEqual([1, 0]);
  });

  it('is not asked for again and again with credentials that are wrong', async () => {
    server.nonce = 'x';
    Object.defineProperty(server, 'server', {
      value: { ...server.server, credential: 'wrong' },
    });
    const { told } = await open();
    expect(told).toEqual(['ended']);
    expect(network.sent).toBe(4);
  });

  it('ends when its refresh is refused, or not answered', async () => {
    const refused = await open();
    server.refusals.set(refresh, 437);
    clock.advance(541_000);
    expect(refused.told).toEqual([ALLOCATED, 'ended']);
    const silent = await open();
    server.isSilent = true;
    clock.advance(540_000 + 30_000);
    expect(silent.told).toEqual([ALLOCATED]);
    clock.advance(10_000);
    expect(silent.told).toEqual([ALLOCATED, 'ended']);
    expect([network.open, clock.pending]).toEqual([1, 0]);
  });

  it('outlives nonces', async () => {
    const { told, client } = await open();
    for (let i = 0; i < 10; i++) {
      server.nonce = `nonce ${i}`;
      clock.advance(541_000);
    }
    expect([told, client.state, server.log.length]).toEqual([[ALLOCATED], 'allocated', 11]);
  });

  it('is only as long as the server says', async () => {
    server.lifetime = 60;
    await open();
    clock.advance(301_000);
    expect(server.log.length).toBe(1 + 10);
  });
});

describe('a channel', () => {
  it('is bound by its first datagram, and carries those that waited in their order', async () => {
    const { client, told } = await open();
    const way = route(client);
    expect(route(client)).toBe(way);
    for (const text of ['a', 'bc', 'def', 'ghij', 'lost']) way.send(Buffer.from(text));
    clock.advance(20);
    way.send(Buffer.from('later'));
    clock.advance(20);
    expect(server.log.slice(1)).toEqual([[channelBind, undefined]]);
    expect(server.data).toEqual(['4000 a', '4000 bc', '4000 def', '4000 ghij', '4000 later']);
    server.relay(0x4000, 'answer');
    server.relay(0x4001, 'of nobody');
    clock.advance(10);
    expect(told.slice(1)).toEqual([`${PEER.address}:${PEER.port} answer`]);
  });

  it('is kept while it is used', async () => {
    const { client } = await open();
    const way = route(client);
    for (let i = 0; i < 100; i++) {
      way.send(Buffer.from('x'));
      clock.advance(10_000);
    }
    const binds = () => server.log.filter(([method]) => method === channelBind).length;
    expect(binds()).toBe(1 + 4);
    clock.advance(1_000_000);
    expect(binds()).toBe(1 + 5);
    way.send(Buffer.from('again'));
    clock.advance(20);
    expect([binds(), server.data.at(-1)]).toEqual([7, '4000 again']);
  });

  it('that is refused carries nothing; one that is not answered is asked for again', async () => {
    const { client } = await open();
    server.refusals.set(channelBind, 403);
    const refused = route(client, 1);
    for (let i = 0; i < 3; i++) {
      refused.send(Buffer.from('x'));
      clock.advance(50);
    }
    expect([server.data, server.log.length]).toEqual([[], 2]);
    server.isSilent = true;
    const slow = route(client, 2);
    slow.send(Buffer.from('x'));
    clock.advance(41_000);
    server.isSilent = false;
    slow.send(Buffer.from('y'));
    clock.advance(50);
    expect(server.data).toEqual(['4001 y']);
  });

  it('is one of at most 256', async () => {
    const { client } = await open();
    for (let port = 1; port <= 256; port++) route(client, port);
    expect(client.route(PEER.address, 257)).toBeUndefined();
    expect(client.route(PEER.address, 256)).toBeDefined();
  });

  it('loses what is too long', async () => {
    const { client } = await open();
    const way = route(client);
    way.send(Buffer.alloc(2_049));
    way.send(Buffer.alloc(2_048));
    clock.advance(50);
    expect(server.data.map((text) => text.length)).toEqual([5 + 2_048]);
  });
});

describe('a server', () => {
  it('may tell of data without a channel', async () => {
    const { told } = await open();
    const indication = (builder: StunBuilder) => server.tell(builder.finish());
    const data = () => new StunBuilder(StunClass.indication, StunMethod.data);
    indication(data().addXorAddress(StunAttribute.xorPeerAddress, PEER).add(StunAttribute.data, 'hello'));
    indication(data().addXorAddress(StunAttribute.xorPeerAddress, PEER));
    indication(data().add(StunAttribute.data, 'of nobody'));
    clock.advance(10);
    expect(told.slice(1)).toEqual([`${PEER.address}:${PEER.port} hello`]);
  });

  it('is not believed without its signature', async () => {
    const { client } = await open();
    server.isForged = true;
    route(client).send(Buffer.from('x'));
    clock.advance(1_000);
    expect(server.data).toEqual([]);
    server.isForged = false;
    clock.advance(1_000);
    expect(server.data).toEqual(['4000 x']);
  });

  it('may send garbage', async () => {
    const { client, told } = await open();
    route(client).send(Buffer.from('x'));
    const garbage = fc.uint8Array({ maxLength: 64 }).map((bytes) => {
      if (bytes.length > 0) bytes[0] = (bytes[0] as number) & 0x4f;
      return bytes;
    });
    fc.assert(
      fc.property(garbage, (datagram) => {
        server.tell(datagram);
        clock.advance(10);
      }),
      { numRuns: 500 },
    );
    expect(client.state).toBe('allocated');
    expect(told.slice(1).every((text) => text.startsWith(`${PEER.address}:`))).toBe(true);
  });
});
