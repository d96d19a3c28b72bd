import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createGateway } from '../../src/index.js';
import { Caller } from '../support/caller.js';
import { KEY } from '../support/leg.js';
import { freePort } from '../support/port.js';
import { Served } from '../support/served.js';

const others: Server[] = [];
afterEach(() => {
  for (const other of others.splice(0)) other.close();
});

describe('a port in use', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '0.0.0.0'],
  ])('by a gateway on %s makes another on %s exit with 1, and the first continues', async (one, two) => {
    const PORT = String(await freePort());
    const first = Served.start({ env: { HOST: one, PORT } });
    await first.listening();
    const second = Served.start({ env: { HOST: two, PORT } });
    expect(await second.exited).toEqual([1, null]);
    expect(second.output).toContain(
      `Expected a free address to listen on but received ${two}:${PORT}, which is taken or not ours`,
    );
    expect(second.output).not.toContain('"url"');
    for (let i = 0; i < 10; i++) {
      // One connection each: any that nobody accepts would fail.
      const answer = await fetch(`http://127.0.0.1:${PORT}/health`, { headers: { connection: 'close' } });
      expect(answer.status).toBe(200);
    }
  });

  it('by another program is reported as well', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    others.push(other);
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const served = Served.start({ env: { PORT: String(port) } });
    expect(await served.exited).toEqual([1, null]);
    expect(served.output).toContain(`127.0.0.1:${port}, which is taken or not ours`);
  });

  it('cannot be shared by gateways without a common registry', async () => {
    const served = Served.start({ env: { SHARE_PORT: 'on' } });
    expect(await served.exited).toEqual([1, null]);
    expect(served.output).toContain('Expected REDIS_URL for SHARE_PORT=on but received none');
    expect(() => createGateway({ sharePort: true, twilio: { validate: false } })).toThrow(
      'Expected redis for sharePort but received none',
    );
  });
});

it('a draining gateway closes each connection after its answer, so that the next request reaches another', async () => {
  const served = Served.start({ env: { CONTROL_API_KEY: KEY } });
  const url = await served.listening();
  const caller = await Caller.call(url);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (): Promise<IncomingMessage> => {
    const sent = request(`${url}/v1/calls`, { agent, headers: { authorization: `Bearer ${KEY}` } }).end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    await once(answer.resume(), 'end');
    return answer;
  };
  const before = await ask();
  expect(before.statusCode).toBe(200);
  expect(before.headers.connection).not.toBe('close');
  served.child.kill('SIGTERM');
  await served.says('draining');
  const after = await ask();
  expect([after.statusCode, after.headers.connection]).toEqual([200, 'close']);
  agent.destroy();
  caller.stop();
  expect(await served.exited).toEqual([0, null]);
});
