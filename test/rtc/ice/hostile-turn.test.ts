import { describe, expect, it } from 'vitest';
import { serverAddresses } from '../../../src/rtc/ice/ice-server.js';
import {
  StunAttribute,
  StunBuilder,
  StunClass,
  StunMessage,
  type StunMethod,
} from '../../../src/rtc/ice/stun-message.js';
import { TurnClient } from '../../../src/rtc/ice/turn-client.js';
import { VirtualClock } from '../../support/virtual-clock.js';
import { VirtualNetwork } from './virtual-network.js';

const ADDRESS = '203.0.113.1';

/** A client of a server that answers each request as told. @returns what the client told */
async function ask(answer: (response: StunBuilder) => StunBuilder): Promise<string[]> {
  const clock = new VirtualClock();
  const network = new VirtualNetwork(clock);
  const server = network.socket([ADDRESS], (datagram, address, port) => {
    const request = StunMessage.parse(datagram) ?? expect.fail('no request');
    const method = request.method as (typeof StunMethod)['allocate'];
    const response = new StunBuilder(StunClass.error, method, request.transaction);
    server.send(answer(response).finish(), address, port);
  });
  const urls = `turn:${ADDRESS}:${server.port}`;
  const [address = expect.fail()] = serverAddresses([{ urls, username: 'user', credential: 'secret' }]);
  const told: string[] = [];
  new TurnClient(address, network.machine('192.0.2.1'), clock, undefined, {
    allocated: () => told.push('allocated'),
    ended: () => told.push('ended'),
    received: () => {},
  });
  await Promise.resolve();
  await clock.pass(1_000);
  return told;
}

describe('a hostile TURN server', () => {
  it.each([
    ['a nonce', StunAttribute.nonce],
    ['a realm', StunAttribute.realm],
  ])('is given up if it demands %s that no request has room for', async (_, long) => {
    const told = await ask((response) =>
      response
        .addErrorCode(401, '')
        .add(StunAttribute.realm, long === StunAttribute.realm ? 'r'.repeat(65_490) : 'realm')
        .add(StunAttribute.nonce, long === StunAttribute.nonce ? 'n'.repeat(65_490) : 'nonce'),
    );
    expect(told).toEqual(['ended']);
  });

  it('is not asked by a username that no request has room for', () => {
    const named = (username: string) => () =>
      serverAddresses([{ urls: 'turn:example.com', username, credential: 'secret' }]);
    expect(named('u'.repeat(508))()).toHaveLength(1);
    expect(named('ü'.repeat(255))).toThrow(
      'Expected at most 508 bytes for the username for turn:example.com',
    );
  });
});
