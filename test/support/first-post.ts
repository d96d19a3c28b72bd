import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../src/clock.js';
import { WebhookSender } from '../../src/webhooks/sender.js';

let first: Promise<void> | undefined;

/** Posts once in real time, so that undici's compilation for its first response takes no virtual time. */
export function firstPost(): Promise<void> {
  first ??= post();
  return first;
}

async function post(): Promise<void> {
  const server = http.createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const sender = new WebhookSender({ url, secrets: ['x'.repeat(16)], connections: 1, clock: systemClock });
  await sender.post({ id: 'first', body: '' }, 60_000);
  sender.close();
  server.close();
}
