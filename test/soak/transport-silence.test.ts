import { once } from 'node:events';
import { expect, it } from 'vitest';
import { IDLE_SECONDS } from '../../src/http/transport/transport.js';
import { frame, OPCODES } from '../http/transport/frames.js';
import { handshake, RawClient, request } from '../http/transport/raw-client.js';
import { newKey, overTransports } from '../http/transport/transport-server.js';

/** Longer than a connection that owes a request may be silent. */
const LONG_MS = 20_000;
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

overTransports((server) => {
  /** Sends a part four times a second until the other end closes. */
  const trickling = async (begin: string, part: string) => {
    const client = await RawClient.sending(server.port, begin);
    const timer = setInterval(() => client.send(part), 250);
    client.socket.on('close', () => clearInterval(timer));
    return client;
  };

  it('disconnects peers that are silent or never finish their headers', async () => {
    const silent = await RawClient.connect(server.port);
    const begun = await RawClient.sending(server.port, 'GET /echo HTTP/1.1\r\nHost: x\r\n');
    const garbage = await RawClient.sending(server.port, 'hello\r\n\r\n');
    const byByte = await trickling('GET /echo HTTP/1.1\r\nHost: x\r\nX-A: ', 'a');
    const byLine = await trickling('GET /echo HTTP/1.1\r\nHost: x\r\n', 'X-A: a\r\n');
    const byEmptyLine = await trickling('', '\r\n');
    const answered = await RawClient.sending(server.port, request('GET', '/echo'));
    expect((await answered.answer()).status).toBe(200);
    const key = newKey();
    const halfBody = await RawClient.sending(
      server.port,
      request('POST', `/body?k=${key}`, ['Content-Length: 10']),
    );
    halfBody.send('half');
    const all = { silent, begun, garbage, byByte, byLine, byEmptyLine, answered, halfBody };
    await Promise.all(
      Object.entries(all).map(async ([name, client]) => {
        await client.cut().catch((cause) => {
          throw new Error(`Expected the end of ${name}`, { cause });
        });
      }),
    );
    await server.event('gone', key);
    expect(server.of('gone', key)).toHaveLength(1);
  });

  it('leaves peers alone that wait for their response, or for more of it', async () => {
    const [heldKey, streamKey, socketKey, bodyKey] = [newKey(), newKey(), newKey(), newKey()];
    const held = await RawClient.sending(server.port, request('GET', `/answer?hold&k=${heldKey}`));
    const body = await RawClient.sending(server.port, request('POST', `/body?hold&k=${bodyKey}`, [], 'all'));
    const stream = await RawClient.sending(server.port, request('GET', `/stream?k=${streamKey}`));
    const socket = await RawClient.sending(server.port, handshake(`/ws/room?hold&echo&k=${socketKey}`));
    await server.event('upgrade', socketKey);
    for (const key of [heldKey, streamKey, bodyKey]) await server.event('asked', key);
    await server.tell('write', { key: streamKey, text: 'the first word' });
    await later(LONG_MS);
    for (const client of [held, body, stream, socket]) expect(client.isCut).toBe(false);
    await server.tell('answer', { key: heldKey, text: 'late' });
    expect((await held.answer()).body).toBe('late');
    await server.tell('answer', { key: bodyKey, text: 'late, too' });
    expect((await body.answer()).body).toBe('late, too');
    await server.tell('accept', { key: socketKey });
    expect((await socket.answer()).status).toBe(101);
    socket.send(frame('text', 'hello'));
    expect((await socket.message()).payload.toString()).toBe('hello');
    await server.tell('write', { key: streamKey, text: 'the last word' });
    while (!stream.received.includes('the last word')) await once(stream.socket, 'data');
    for (const key of [heldKey, streamKey, socketKey, bodyKey]) expect(server.of('gone', key)).toEqual([]);
  });

  it('closes the connection of a peer that answers no close frame, whatever else it does', async () => {
    const opened = async () => {
      const key = newKey();
      const client = await RawClient.webSocket(server.port, `/ws/room?k=${key}`);
      await server.event('open', key);
      return { key, client, gone: once(client.socket, 'close').catch(() => {}) };
    };
    const [sends, silent, deaf] = [await opened(), await opened(), await opened()];
    deaf.client.pause();
    await server.tell('send', { key: deaf.key, size: 4_000, untilFull: 100_000 });
    for (const { key } of [sends, silent, deaf]) {
      await server.tell('end', { key, code: 1001, reason: 'going away' });
    }
    // Their half stays open; one keeps sending until it is rejected.
    const timer = setInterval(() => sends.client.send(frame('text', 'and another thing')), 20);
    await sends.gone;
    clearInterval(timer);
    for (const { key } of [sends, silent, deaf]) {
      await server.event('closed', key);
      expect(server.of('closed', key)[0]?.code).toBeOneOf([1001, 1006]);
      expect(server.of('message', key)).toEqual([]);
    }
  });

  it('pings a silent peer, and treats it as dead if nothing is returned', async () => {
    const opened = async () => {
      const key = newKey();
      const client = await RawClient.webSocket(server.port, `/ws/room?echo&k=${key}`);
      await server.event('open', key);
      return { key, client };
    };
    const [alive, dead] = [await opened(), await opened()];
    let pings = 0;
    const answer = async () => {
      for (;;) {
        const { opcode, payload } = await alive.client.frame(2 * IDLE_SECONDS * 1_000);
        if (opcode !== OPCODES.ping) return payload.toString();
        pings += 1;
        alive.client.send(frame('pong', payload));
      }
    };
    const said = answer();
    said.catch(() => {});
    await dead.client.cut(3 * IDLE_SECONDS * 1_000);
    await server.event('closed', dead.key);
    expect(server.of('closed', dead.key)).toMatchObject([{ code: 1006 }]);
    expect(dead.client.received.length).toBeGreaterThan(0);
    await later(LONG_MS);
    alive.client.send(frame('text', 'here I am'));
    expect(await said).toBe('here I am');
    expect(pings).toBeGreaterThan(0);
  });
});
