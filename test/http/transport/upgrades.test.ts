import { once } from 'node:events';
import { expect, it } from 'vitest';
import WebSocket from 'ws';
import { eventually } from '../../support/time.js';
import { closeFrame, frame } from './frames.js';
import { acceptOf, handshake, RawClient, request } from './raw-client.js';
import { newKey, overTransports } from './transport-server.js';

/** The one of RFC 6455 section 1.3, and what it is answered. */
const [KEY, ACCEPT] = ['dGhlIHNhbXBsZSBub25jZQ==', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='];

const early = () => Buffer.concat([0, 1, 2].map((n) => frame('text', `early ${n}`)));

overTransports((server) => {
  const url = (path: string) => `ws://127.0.0.1:${server.port}${path}`;
  const asks = (path: string, headers: readonly string[] = []) =>
    RawClient.sending(server.port, handshake(path, KEY, headers));
  const echoes = async (client: RawClient, text: string) => {
    client.send(frame('text', text));
    expect((await client.message()).payload.toString()).toBe(text);
  };

  it('shakes hands as RFC 6455 says', async () => {
    expect(acceptOf(KEY)).toBe(ACCEPT);
    const key = newKey();
    const client = await asks(`/ws/a%20room?echo&k=${key}`);
    const { status, headers, names } = await client.answer();
    expect(status).toBe(101);
    expect(headers.upgrade?.toLowerCase()).toBe('websocket');
    expect(headers.connection?.toLowerCase()).toBe('upgrade');
    expect(headers['sec-websocket-accept']).toBe(ACCEPT);
    expect(names).not.toContain('content-length');
    expect(names).not.toContain('transfer-encoding');
    expect(await server.event('upgrade', key)).toMatchObject({ parameter: 'a%20room', path: '/ws/a%20room' });
    await echoes(client, 'hello');
    expect(server.of('open', key)).toHaveLength(1);
    client.send(closeFrame(1000));
    expect(await client.closeCode()).toBe(1000);
    await server.event('closed', key);
    // Who has its socket has its answer.
    expect(server.of('gone', key)).toEqual([]);
  });

  it('speaks with a client of the shelf', async () => {
    const key = newKey();
    const client = new WebSocket(url(`/ws/room?echo&k=${key}`));
    await once(client, 'open');
    client.send('hello');
    const [message, isBinary] = await once(client, 'message');
    expect([String(message), isBinary]).toEqual(['hello', false]);
    client.close(4001, 'done');
    expect((await once(client, 'close'))[0]).toBe(4001);
    expect(await server.event('closed', key)).toMatchObject({ code: 4001 });
  });

  it('takes no extension, whatever is offered', async () => {
    const client = await asks('/ws/room?echo', [
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame',
    ]);
    const { status, names } = await client.answer();
    expect(status).toBe(101);
    expect(names).not.toContain('sec-websocket-extensions');
    await echoes(client, 'a'.repeat(1_000));
  });

  it('names the protocol that was chosen, and none where none was', async () => {
    const offer = ['Sec-WebSocket-Protocol: one, two'];
    const key = newKey();
    const chosen = await (await asks(`/ws/room?protocol=two&k=${key}`, offer)).answer();
    expect(chosen).toMatchObject({ status: 101, headers: { 'sec-websocket-protocol': 'two' } });
    expect(await server.event('upgrade', key)).toMatchObject({ protocol: 'one, two' });
    const none = await (await asks('/ws/room', offer)).answer();
    expect(none.status).toBe(101);
    expect(none.names).not.toContain('sec-websocket-protocol');
    const unasked = await (await asks('/ws/room')).answer();
    expect(unasked.names).not.toContain('sec-websocket-protocol');
  });

  it('hands over a request without "Upgrade", so that whoever takes it can say what lacks', async () => {
    for (const lacking of ['Upgrade:', 'Connection:']) {
      const key = newKey();
      const client = await asks(`/ws/room?status=426&k=${key}`, [lacking]);
      expect((await client.answer()).status).toBe(426);
      expect(await server.event('upgrade', key)).toMatchObject({
        upgrade: lacking === 'Upgrade:' ? '' : 'websocket',
      });
    }
  });

  it.each([
    ['no key', ['Sec-WebSocket-Key:']],
    ['an empty key', ['Sec-WebSocket-Key: ']],
    ['a key that is too short', ['Sec-WebSocket-Key: abc']],
    ['a key that is too long', [`Sec-WebSocket-Key: ${KEY}${KEY}`]],
    ['version 8', ['Sec-WebSocket-Version: 8']],
  ])('opens no socket to a request with %s, and answers it', async (_, headers) => {
    const key = newKey();
    const client = await asks(`/ws/room?k=${key}`, headers);
    const { status } = await client.answer();
    expect(status).not.toBe(101);
    expect(server.of('open', key)).toEqual([]);
  });

  it.each([
    ['no version, which a proxy has dropped', ['Sec-WebSocket-Version:']],
    ['protocols that are none', ['Sec-WebSocket-Protocol: one,,two']],
    ['a protocol twice', ['Sec-WebSocket-Protocol: one, one']],
    ['an empty list of protocols', ['Sec-WebSocket-Protocol: ']],
  ])('opens a socket to a request with %s: whoever accepts has seen it', async (_, headers) => {
    const client = await asks('/ws/room?echo', headers);
    const { status, names } = await client.answer();
    expect([status, names.includes('sec-websocket-protocol')]).toEqual([101, false]);
    await echoes(client, 'hello');
  });

  it('opens none over HTTP/1.0', async () => {
    const key = newKey();
    const asked = handshake(`/ws/room?k=${key}`).replace('HTTP/1.1', 'HTTP/1.0');
    expect((await (await RawClient.sending(server.port, asked)).answer()).status).toBe(505);
    expect(server.of('upgrade', key)).toEqual([]);
  });

  it.each([
    ['speaks', early()],
    ['goes', undefined],
  ])(
    'has nobody accepted who %s in the turn before: it opens, or it is told to have gone',
    async (_, frames) => {
      const key = newKey();
      const client = await RawClient.connect(server.port);
      client.send(Buffer.concat([Buffer.from(handshake(`/ws/room?k=${key}`)), frames ?? Buffer.alloc(0)]));
      if (frames === undefined) client.reset();
      await server.settled();
      expect(server.of('accepted', key)).toHaveLength(server.of('open', key).length);
    },
  );

  it.each(['POST', 'PUT', 'HEAD'])('gives a %s to the ordinary handlers', async (method) => {
    const key = newKey();
    const asked = handshake(`/ws/room?k=${key}`, KEY).replace('GET', method);
    const client = await RawClient.sending(server.port, asked);
    expect((await client.answer(method === 'HEAD')).status).toBe(200);
    expect(await server.event('asked', key)).toMatchObject({ handler: 'no socket' });
  });

  it('gives a path without a socket route to the ordinary handlers', async () => {
    const client = await asks('/echo');
    const { status, body } = await client.answer();
    expect([status, JSON.parse(body).handler]).toEqual([200, 'get']);
  });

  it('takes no body for frames', async () => {
    const key = newKey();
    const asked = handshake(`/ws/room?echo&k=${key}`, KEY, ['Content-Length: 11']);
    const client = await RawClient.connect(server.port);
    client.send(Buffer.concat([Buffer.from(asked), frame('text', 'hello')]));
    await client.answer().catch(() => {});
    await server.settled();
    expect(server.of('message', key)).toEqual([]);
  });

  it('accepts later', async () => {
    const key = newKey();
    const client = await asks(`/ws/room?hold&echo&k=${key}`, ['Sec-WebSocket-Protocol: one']);
    await server.event('upgrade', key);
    await server.settled();
    expect(client.received).toHaveLength(0);
    await server.tell('accept', { key, protocol: 'one' });
    expect(await client.answer()).toMatchObject({
      status: 101,
      headers: { 'sec-websocket-protocol': 'one' },
    });
    await echoes(client, 'hello');
  });

  it('accepts many later, each with its own socket', async () => {
    const keys = Array.from({ length: 40 }, newKey);
    const clients = await Promise.all(keys.map((key) => asks(`/ws/room?hold&echo&k=${key}`)));
    for (const key of keys) await server.event('upgrade', key);
    for (const key of [...keys].reverse()) await server.tell('accept', { key });
    for (const [n, client] of clients.entries()) {
      expect((await client.answer()).status).toBe(101);
      await echoes(client, `socket ${n}`);
    }
  });

  it.each([
    ['with its handshake', (ask: string, frames: Buffer) => [Buffer.concat([Buffer.from(ask), frames])]],
    ['right after it', (ask: string, frames: Buffer) => [ask, frames]],
  ])('cuts a client that sends frames %s, before it is let in', async (_, parts) => {
    const key = newKey();
    const client = await RawClient.connect(server.port);
    await client.trickle(parts(handshake(`/ws/room?hold&echo&k=${key}`), early()));
    await server.event('upgrade', key);
    await client.cut();
    await server.event('gone', key);
    expect(server.of('gone', key)).toHaveLength(1);
    expect(server.of('message', key)).toEqual([]);
  });

  it('loses no frame of a client that does not wait long enough, or cuts it', async () => {
    const key = newKey();
    const client = await RawClient.sending(server.port, handshake(`/ws/room?echo&k=${key}`));
    client.send(early());
    client.send(frame('text', 'last'));
    await eventually('messages or the end', () => client.isCut || server.of('message', key).length >= 4);
    const texts = server.of('message', key).map(({ text }) => text);
    expect(texts).toEqual(client.isCut ? [] : ['early 0', 'early 1', 'early 2', 'last']);
  });

  it.each(['end', 'reset'] as const)(
    'tells once that one has gone before it was accepted (%s)',
    async (leave) => {
      const key = newKey();
      const client = await asks(`/ws/room?hold&k=${key}`);
      await server.event('upgrade', key);
      client[leave]();
      await server.event('gone', key);
      await client.cut();
      await server.settled();
      expect(server.of('gone', key)).toHaveLength(1);
      expect(server.of('open', key)).toEqual([]);
      expect(server.of('closed', key)).toEqual([]);
    },
  );

  it('may accept one in the turn in which it leaves: it opens and closes, or neither', async () => {
    const key = newKey();
    const client = await asks(`/ws/room?block=100&k=${key}`);
    await server.event('upgrade', key);
    client.reset();
    await server.settled();
    if (server.of('open', key).length > 0) await server.event('closed', key);
    expect(server.of('closed', key)).toHaveLength(server.of('open', key).length);
    expect(server.of('open', key).length + server.of('gone', key).length).toBe(1);
  });

  it.each([400, 401, 403, 404, 409, 410, 426, 500, 503])('refuses with %d', async (status) => {
    const key = newKey();
    const client = await asks(`/ws/room?status=${status}&k=${key}`);
    expect(await client.answer()).toMatchObject({ status, body: 'no' });
    await client.cut();
    expect(client.isReset).toBe(false);
    await server.settled();
    expect(server.of('open', key)).toEqual([]);
    expect(server.of('gone', key)).toEqual([]);
  });

  it('refuses later', async () => {
    const key = newKey();
    const client = await asks(`/ws/room?hold&k=${key}`);
    await server.event('upgrade', key);
    await server.tell('answer', { key, status: 503, text: 'not now' });
    expect(await client.answer()).toMatchObject({ status: 503, body: 'not now' });
    await server.settled();
    expect(server.of('gone', key)).toEqual([]);
  });

  it('takes a socket on a connection that had answers before', async () => {
    const client = await RawClient.sending(server.port, request('GET', '/echo'));
    await client.answer();
    client.send(request('POST', '/body', [], 'x'.repeat(100)));
    await client.answer();
    client.send(handshake('/ws/room?echo', KEY));
    expect((await client.answer()).status).toBe(101);
    await echoes(client, 'hello');
  });

  it.each(['upgrade', 'open', 'message', 'closed'])(
    'a throw at %s takes no other socket down',
    async (at) => {
      const other = await RawClient.webSocket(server.port, '/ws/room?echo');
      const key = newKey();
      const client = await asks(`/ws/room?throws=${at}&k=${key}`);
      await server.event('upgrade', key);
      if (at !== 'upgrade') {
        await client.answer().catch(() => {});
        client.send(frame('text', 'hello'));
        client.send(closeFrame(1000));
        await client.closeCode();
        await server.event('closed', key);
        await server.settled();
        expect(server.of('closed', key)).toHaveLength(1);
        expect(server.of('failed', key)).toHaveLength(1);
      } else await client.cut();
      await echoes(other, 'still here');
    },
  );
});
