import { expect, it } from 'vitest';
import { eventually } from '../../support/time.js';
import { RawClient, request } from './raw-client.js';
import { newKey, overTransports } from './transport-server.js';

const STATUSES = [200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 410, 413, 415, 426, 500, 502, 503];
const MIB = 1024 * 1024;

overTransports((server) => {
  /** Sends a request to `/answer`, and waits until a handler has it. */
  const begun = async (wish: string, method = 'GET') => {
    const key = newKey();
    const client = await RawClient.sending(server.port, request(method, `/answer?k=${key}&${wish}`));
    await server.event('asked', key);
    return { key, client };
  };
  /** Whether the connection is good for another request. */
  const goesOn = async (client: RawClient) => {
    client.send(request('GET', '/echo'));
    return (await client.answer()).status === 200;
  };

  it.each(STATUSES)('sends %d with and without a body, and the connection goes on', async (status) => {
    const { client } = await begun(`status=${status}&size=25`);
    const answer = await client.answer();
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject({ 'x-one': 'a', 'x-two': 'b' });
    expect(answer.body).toBe(status === 204 ? '' : '0123456789012345678901234');
    client.send(request('GET', `/answer?status=${status}`));
    const empty = await client.answer();
    expect(empty).toMatchObject({ status, body: '' });
    // Without a length, it would extend to the end of the connection.
    expect(empty.headers['content-length']).toBe(status === 204 ? undefined : '0');
    expect(await goesOn(client)).toBe(true);
  });

  it.each([204, 304])('sends no body with %d, whatever it was given', async (status) => {
    const { client } = await begun(`status=${status}&size=10`);
    const answer = await client.answer();
    expect(answer.status).toBe(status);
    expect(answer.names).not.toContain('transfer-encoding');
    if (status === 204) expect(answer.names).not.toContain('content-length');
    expect(await goesOn(client)).toBe(true);
  });

  it('sends each header once, one length, and no chunks', async () => {
    const { client } = await begun('size=10');
    const { names } = await client.answer();
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(['x-one', 'x-two', 'content-length']));
    expect(names).not.toContain('transfer-encoding');
  });

  it.each([
    ['size=10', '10'],
    ['size=3000000', '3000000'],
    ['status=404&size=7', '7'],
    ['size=0', '0'],
  ])('tells a HEAD for %s the length, and sends nothing of it', async (wish, length) => {
    const { client } = await begun(wish, 'HEAD');
    const answer = await client.answer(true);
    expect(answer.headers['content-length']).toBe(length);
    expect(await goesOn(client)).toBe(true);
  });

  it.each(['size=10', 'status=404&size=10', 'status=503&size=0', 'size=1'])(
    'ends the connection behind a short answer where it is told to, and says so (%s)',
    async (wish) => {
      const { client } = await begun(`${wish}&close`);
      expect((await client.answer()).headers.connection?.toLowerCase()).toBe('close');
      await client.cut();
      expect(client.isReset).toBe(false);
      expect(client.received).toHaveLength(0);
    },
  );

  it.each([
    ['GET', 'status=204'],
    ['HEAD', 'size=10'],
    ['GET', 'size=2000000'],
  ])('tells a client that it is the last answer, who then goes (%s, %s)', async (method, wish) => {
    const { client, key } = await begun(`${wish}&close`, method);
    expect((await client.answer(method === 'HEAD')).headers.connection?.toLowerCase()).toBe('close');
    client.end();
    await client.cut();
    await server.settled();
    expect(client.received).toHaveLength(0);
    expect(server.of('gone', key)).toEqual([]);
  });

  it('answers at once and later', async () => {
    const { client } = await begun('wait=20&size=10');
    expect((await client.answer()).body).toBe('0123456789');
    expect(await goesOn(client)).toBe(true);
  });

  it('answers many at the same time, each its own', async () => {
    const clients = await Promise.all(
      Array.from({ length: 50 }, (_, n) => begun(`wait=${n % 7}&size=${1_000 + n}`)),
    );
    const sizes = await Promise.all(clients.map(async ({ client }) => (await client.answer()).body.length));
    expect(sizes).toEqual(clients.map((_, n) => 1_000 + n));
  });

  it.each([100_000, 5 * MIB])('sends all of %d bytes, and tells when they are taken', async (size) => {
    const { client, key } = await begun(`size=${size}`);
    const answer = await client.answer();
    expect(answer.body).toHaveLength(size);
    expect(answer.body.slice(-10)).toBe('0123456789'.repeat(2).slice(size % 10, (size % 10) + 10));
    const { isTaken } = await server.event('answered', key);
    if (!isTaken) await server.event('taken', key);
    expect(server.of('taken', key)).toHaveLength(isTaken ? 0 : 1);
    expect(server.of('gone', key)).toEqual([]);
    expect(await goesOn(client)).toBe(true);
  });

  it('says that a short answer is taken at once', async () => {
    const { client, key } = await begun('size=1000');
    await client.answer();
    expect(await server.event('answered', key)).toMatchObject({ isTaken: true });
    await server.settled();
    expect(server.of('taken', key)).toEqual([]);
  });

  it('says of a long one to a client that does not read that it waits, and when it was taken', async () => {
    const { client, key } = await begun(`hold&size=${MIB}`);
    client.pause();
    await server.tell('answer', { key, size: 32 * MIB });
    expect(await server.event('answered', key)).toMatchObject({ isTaken: false });
    await server.settled();
    expect(server.of('taken', key)).toEqual([]);
    client.resume();
    expect((await client.answer()).body).toHaveLength(32 * MIB);
    await server.event('taken', key);
    expect(server.of('taken', key)).toHaveLength(1);
    expect(await goesOn(client)).toBe(true);
  });

  it('sends all of a long one that is the last', async () => {
    const { client, key } = await begun('hold');
    client.pause();
    await server.tell('answer', { key, size: 16 * MIB, close: true });
    await server.settled();
    client.resume();
    expect((await client.answer()).body).toHaveLength(16 * MIB);
    await server.event('taken', key);
    client.end();
    await client.cut();
    await server.settled();
    expect(server.of('gone', key)).toEqual([]);
  });

  it.each(['reset', 'destroy'] as const)(
    'tells once that a client has gone in the middle of a long answer (%s)',
    async (leave) => {
      const { client, key } = await begun('hold');
      client.pause();
      await server.tell('answer', { key, size: 32 * MIB });
      expect(await server.event('answered', key)).toMatchObject({ isTaken: false });
      client[leave]();
      await server.event('gone', key);
      await server.settled();
      expect(server.of('gone', key)).toHaveLength(1);
      expect(server.of('taken', key)).toEqual([]);
    },
  );

  it('tells of one that closes its half in a long answer that it has gone, or has taken all', async () => {
    const { client, key } = await begun('hold');
    client.pause();
    await server.tell('answer', { key, size: 32 * MIB });
    client.end();
    await server.settled();
    const isGone = server.of('gone', key).length > 0;
    client.resume();
    const answer = await client.answer().catch(() => undefined);
    expect(answer?.body.length).toBe(isGone ? undefined : 32 * MIB);
    await server.event(isGone ? 'gone' : 'taken', key);
    await client.cut();
    await server.settled();
    expect(server.of('gone', key).length + server.of('taken', key).length).toBe(1);
  });

  it.each(['end', 'reset'] as const)(
    'tells once that a client has gone before its answer (%s)',
    async (leave) => {
      const { client, key } = await begun('hold');
      client[leave]();
      await server.event('gone', key);
      await client.cut();
      await server.settled();
      expect(server.of('gone', key)).toHaveLength(1);
    },
  );

  it('gives its answer to a client that has closed its half, where it is there at once', async () => {
    const client = await RawClient.connect(server.port);
    client.send(request('GET', '/answer?size=10'));
    client.end();
    expect((await client.answer()).body).toBe('0123456789');
    await client.cut();
  });

  it('may be answered in the turn in which the client leaves', async () => {
    const key = newKey();
    const client = await RawClient.connect(server.port);
    client.send(request('GET', `/answer?block=100&size=${4 * MIB}&k=${key}`));
    await server.event('asked', key);
    client.reset();
    await server.event('answered', key);
    await server.settled();
    // How much the client read is undefined; `check` fails if anything was thrown.
    const { isTaken } = server.of('answered', key)[0] as { isTaken?: boolean };
    if (!isTaken) await server.event('gone', key);
    expect(server.of('gone', key).length).toBeLessThanOrEqual(1);
  });

  it('sends the parts of an answer that goes on as they come', async () => {
    const key = newKey();
    const client = await RawClient.sending(server.port, request('GET', `/stream?k=${key}`));
    await server.event('asked', key);
    expect(await server.tell('write', { key, text: 'data: één\n\n' })).toMatchObject({ isTaken: true });
    const isHere = (text: string) => () => client.received.toString().includes(text);
    await eventually('the first part', isHere('data: één\n\n'));
    await server.tell('write', { key, text: 'data: two\n\n' });
    await eventually('the second part', isHere('data: two\n\n'));
    expect(client.received.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client.received.toString().toLowerCase()).toContain('content-type: text/plain\r\n');
    await server.tell('cut', { key });
    await client.cut();
    await server.settled();
    // Cut where it stands: it must not look as if it were whole.
    expect(client.received.toString()).not.toMatch(/\r\n0\r\n/);
    expect(server.of('gone', key).length).toBeLessThanOrEqual(1);
  });

  it('sends the head of an answer that goes on before there is any of it', async () => {
    const key = newKey();
    const client = await RawClient.sending(server.port, request('GET', `/stream?k=${key}`));
    await server.event('asked', key);
    await client.bytes(20);
    expect(client.received.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it('says where a client does not keep up, loses nothing, and tells when it takes more', async () => {
    const key = newKey();
    const client = await RawClient.sending(server.port, request('GET', `/stream?k=${key}`));
    await server.event('asked', key);
    await client.bytes(20);
    client.pause();
    const size = 10_000;
    // Until neither the network nor the kernel takes any more.
    let [written, fills] = [0, 0];
    while (server.of('writable', key).length === fills) {
      if (fills > 0) await server.event('writable', key, fills);
      written += (await server.tell('write', { key, size, untilFull: true })).written as number;
      fills += 1;
      await server.settled();
      if (server.of('writable', key).length < fills) break;
    }
    const told = server.of('writable', key).length;
    client.resume();
    await server.event('writable', key, told + 1);
    expect(await server.tell('write', { key, text: 'the end' })).toMatchObject({ isTaken: true });
    await eventually('the end', () => client.received.subarray(-50).includes('the end'));
    const digits = client.received
      .toString()
      .replace(/\r\n[0-9a-f]+\r\n/g, '')
      .match(/(?:0123456789)+the end/);
    expect(digits?.[0]).toHaveLength(written * size + 'the end'.length);
  });

  it.each(['end', 'reset'] as const)(
    'tells once that a client of an answer that goes on has gone (%s)',
    async (leave) => {
      const key = newKey();
      const client = await RawClient.sending(server.port, request('GET', `/stream?k=${key}`));
      await server.event('asked', key);
      await server.tell('write', { key, text: 'something' });
      client[leave]();
      await server.event('gone', key);
      await server.settled();
      expect(server.of('gone', key)).toHaveLength(1);
    },
  );

  it('cuts a connection where it stands, before an answer', async () => {
    const { client, key } = await begun('hold');
    await server.tell('cut', { key });
    await client.cut();
    expect(client.received).toHaveLength(0);
    await server.settled();
    expect(server.of('gone', key).length).toBeLessThanOrEqual(1);
  });
});
