import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { systemNetwork } from '../../../src/rtc/ice/network.js';
import { openTurnTransport } from '../../../src/rtc/ice/turn-transport.js';
import { eventually } from '../../support/time.js';
import { VirtualClock } from '../../support/virtual-clock.js';

/** TCP connections of this process. */
const connections = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

it('a TURN server that reads nothing cannot keep a connection that is closed', async () => {
  const accepted: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) =>
    accepted.push(socket.on('error', () => {})),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const address = {
    kind: 'turn',
    host: '127.0.0.1',
    port,
    transport: 'tcp',
    username: '',
    credential: '',
  } as const;
  const clock = new VirtualClock();
  let isOpen = false;
  const transport = openTurnTransport(address, systemNetwork, clock, undefined, {
    opened: () => {
      isOpen = true;
    },
    received: () => {},
    lost: () => {},
  });
  await eventually('the connection', () => isOpen && accepted.length === 1);
  expect(connections()).toBe(2);
  // More than both kernels' buffers hold: what is behind waits in this process.
  const message = new Uint8Array(2_000);
  for (let i = 0; i < 10_000; i++) transport.send(message);
  transport.close();
  await new Promise(setImmediate);
  expect(connections()).toBe(2);
  clock.advance(1_000);
  await eventually('its end', () => connections() === 1);
  expect(clock.pending).toBe(0);
  for (const socket of accepted) socket.destroy();
  server.close();
});
