import { once } from 'node:events';
import { createServer, type ServerOptions } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, it } from 'vitest';
import { NodeFront } from '../../../src/http/transport/node/front.js';
import { createLog } from '../../../src/telemetry/log.js';
import { clock, eventually, virtualTime } from '../../support/time.js';

virtualTime();

it('waits for half a minute for the body of an upgrade that is none', async () => {
  const told: string[] = [];
  const front = new NodeFront({
    clock,
    log: createLog('silent'),
    addRoutes: (routes) =>
      routes.on('post', '/body', (_, reply) => {
        reply.onGone(() => told.push('gone'));
        reply.onData((chunk, isLast) => told.push(`${chunk.length}${isLast ? ', all' : ''}`));
      }),
  });
  // Node 22 and later would not hand it over by itself.
  const options: ServerOptions & { shouldUpgradeCallback: () => boolean } = {
    shouldUpgradeCallback: () => true,
  };
  const server = createServer(options).on('upgrade', (message, connection, head) =>
    front.upgrade(message, connection, head),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const lines = [
    'POST /body HTTP/1.1',
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: h2c',
    'Content-Length: 3',
  ];
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  socket.write('a');
  await eventually('a byte', () => told.length === 1);
  await clock.sleep(29_000);
  expect([told, socket.closed]).toEqual([['1'], false]);
  await eventually('the end', () => told.length === 2);
  expect(told).toEqual(['1', 'gone']);
  front.close();
  server.close();
});
