import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { MAX_UNSENT_BYTES } from '../../../src/http/transport/transport.js';
import { closeFrame, frame, OPCODES } from './frames.js';
import { RawClient } from './raw-client.js';
import { newKey, overTransports } from './transport-server.js';

const MIB = 1024 * 1024;
const sumOf = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
/** A message that was sent to fill a socket: its number stands first. */
const numberOf = (payload: Buffer) => Number(payload.subarray(0, 8).toString());

overTransports((server) => {
  const opened = async (wish = 'echo', path = '/ws/room') => {
    const key = newKey();
    const client = await RawClient.webSocket(server.port, `${path}?${wish}&k=${key}`);
    await server.event('open', key);
    return { key, client };
  };
  /** The peer gets one of those codes or none, and no message came of it. */
  const isEnded = async ({ client, key }: { client: RawClient; key: string }, codes: readonly number[]) => {
    const code = await client.closeCode();
    if (code !== undefined) expect(codes).toContain(code);
    await server.event('closed', key);
    await server.settled();
    expect(server.of('closed', key)).toHaveLength(1);
    expect(server.of('closed', key)[0]?.code).toBeOneOf([1005, 1006]);
  };
  /** What the server has heard of it until now. */
  const heard = async (key: string) => {
    await server.settled();
    return server.of('message', key);
  };

  it.each([0, 1, 125, 126, 127, 65_535, 65_536, MIB])(
    'echoes %d bytes, as text and as bytes',
    async (size) => {
      const { client, key } = await opened();
      const bytes = Buffer.alloc(size, 'some text. ');
      for (const kind of ['text', 'binary'] as const) {
        client.send(frame(kind, bytes));
        const { opcode, isFinal, reserved, isMasked, payload } = await client.message();
        expect({ opcode, isFinal, reserved, isMasked }).toEqual({
          opcode: OPCODES[kind],
          isFinal: true,
          reserved: 0,
          isMasked: false,
        });
        expect(payload.equals(bytes)).toBe(true);
      }
      expect(await heard(key)).toMatchObject([
        { isBinary: false, size, digest: sumOf(bytes) },
        { isBinary: true, size, digest: sumOf(bytes) },
      ]);
    },
  );

  it('keeps the order of messages that come in one piece, and byte by byte', async () => {
    const { client, key } = await opened();
    const texts = Array.from({ length: 200 }, (_, n) => `${n} 📞 ${'x'.repeat(n)}`);
    client.send(Buffer.concat(texts.map((text) => frame('text', text))));
    for (const text of texts) expect((await client.message()).payload.toString()).toBe(text);
    const bytes = frame('text', 'ein Wört');
    await client.trickle(Array.from(bytes, (byte) => Buffer.from([byte])));
    expect((await client.message()).payload.toString()).toBe('ein Wört');
    expect(await heard(key)).toHaveLength(201);
  });

  it('puts fragments together, and answers a ping between them at once', async () => {
    const { client, key } = await opened();
    const bytes = Buffer.from('tëxt');
    client.send(frame('text', bytes.subarray(0, 2), { isFinal: false }));
    client.send(frame('ping', 'are you there'));
    expect(await client.frame()).toMatchObject({
      opcode: OPCODES.pong,
      payload: Buffer.from('are you there'),
    });
    // In the middle of a character.
    client.send(frame('continuation', bytes.subarray(2, 3), { isFinal: false }));
    client.send(frame('continuation', '', { isFinal: false }));
    client.send(frame('pong', 'nobody asked'));
    client.send(frame('continuation', bytes.subarray(3)));
    expect((await client.message()).payload.toString()).toBe('tëxt');
    expect(await heard(key)).toMatchObject([{ text: 'tëxt', isBinary: false }]);
  });

  it('puts bytes in fragments together as bytes', async () => {
    const { client, key } = await opened();
    client.send(frame('binary', Buffer.from([0xff, 0]), { isFinal: false }));
    client.send(frame('continuation', Buffer.from([0xfe])));
    expect((await client.message()).payload).toEqual(Buffer.from([0xff, 0, 0xfe]));
    expect(await heard(key)).toMatchObject([{ isBinary: true, size: 3 }]);
  });

  it('takes thousands of fragments of a byte each', async () => {
    const { client } = await opened();
    const count = 5_000;
    const parts = [frame('text', 'a', { isFinal: false })];
    for (let n = 2; n < count; n++) parts.push(frame('continuation', 'b', { isFinal: false }));
    parts.push(frame('continuation', 'c'));
    client.send(Buffer.concat(parts));
    expect((await client.message()).payload.toString()).toBe(`a${'b'.repeat(count - 2)}c`);
  });

  it.each([0, 1, 125])('answers a ping of %d bytes with the same', async (size) => {
    const { client } = await opened();
    const payload = Buffer.alloc(size, 'ping');
    client.send(frame('ping', payload));
    expect(await client.frame()).toMatchObject({ opcode: OPCODES.pong, payload });
  });

  it('answers pings in their order, among messages', async () => {
    const { client } = await opened();
    client.send(
      Buffer.concat([frame('ping', '1'), frame('text', '2'), frame('ping', '3'), frame('text', '4')]),
    );
    const got: string[] = [];
    for (let n = 0; n < 4; n++) got.push((await client.frame()).payload.toString());
    expect(got).toEqual(['1', '2', '3', '4']);
  });

  it('lets a pong be that nobody asked for', async () => {
    const { client, key } = await opened();
    client.send(Buffer.concat([frame('pong'), frame('pong', 'unasked'), frame('text', 'hello')]));
    expect((await client.message()).payload.toString()).toBe('hello');
    expect(await heard(key)).toHaveLength(1);
  });

  it.each([
    ['a byte that never stands in UTF-8', [frame('text', Buffer.from([0x61, 0xff]))]],
    ['half a character', [frame('text', Buffer.from([0xc3]))]],
    ['a surrogate', [frame('text', Buffer.from([0xed, 0xa0, 0x80]))]],
    ['an overlong character', [frame('text', Buffer.from([0xc0, 0xaf]))]],
    ['a character beyond Unicode', [frame('text', Buffer.from([0xf4, 0x90, 0x80, 0x80]))]],
    [
      'half a character at the end of its fragments',
      [frame('text', 'a', { isFinal: false }), frame('continuation', Buffer.from([0xc3]))],
    ],
  ])('ends a socket that sends %s as text', async (_, frames) => {
    const socket = await opened();
    socket.client.send(Buffer.concat(frames));
    await isEnded(socket, [1007]);
    expect(await heard(socket.key)).toEqual([]);
  });

  it.each([
    ['the first reserved bit', [frame('text', 'hello', { reserved: 4 })]],
    ['the second reserved bit', [frame('text', 'hello', { reserved: 2 })]],
    ['the third reserved bit', [frame('binary', 'hello', { reserved: 1 })]],
    ['a reserved bit in a ping', [frame('ping', 'hello', { reserved: 4 })]],
    ['an opcode for data that nobody knows', [frame(3, 'hello')]],
    ['an opcode for control that nobody knows', [frame(11, 'hello')]],
    ['a ping in fragments', [frame('ping', 'hello', { isFinal: false })]],
    ['a close in fragments', [frame('close', '', { isFinal: false })]],
    ['a ping of more than 125 bytes', [frame('ping', 'x'.repeat(126))]],
    ['a continuation of nothing', [frame('continuation', 'hello')]],
    ['a message within another', [frame('text', 'a', { isFinal: false }), frame('text', 'b')]],
    ['a close frame of one byte', [frame('close', 'x')]],
    ['a close frame with no text in its reason', [closeFrame(1000, Buffer.from([0xff]))]],
    ['the close code 0', [closeFrame(0)]],
    ['the close code 999', [closeFrame(999)]],
    ['the close code 1004', [closeFrame(1004)]],
    ['the close code 1005', [closeFrame(1005)]],
    ['the close code 1006', [closeFrame(1006)]],
    ['the close code 1015', [closeFrame(1015)]],
    ['the close code 1016', [closeFrame(1016)]],
    ['the close code 2999', [closeFrame(2999)]],
    ['the close code 5000', [closeFrame(5000)]],
    ['the close code 65535', [closeFrame(65_535)]],
  ])('ends a socket that sends %s', async (_, frames) => {
    const socket = await opened();
    socket.client.send(Buffer.concat(frames));
    await isEnded(socket, [1002, 1007]);
    expect(await heard(socket.key)).toEqual([]);
  });

  it('never takes a frame without a mask for what it says', async () => {
    const { client, key } = await opened();
    client.send(Buffer.concat(Array(3).fill(frame('text', 'hello there', { isMasked: false }))));
    client.end();
    await server.event('closed', key);
    expect((await heard(key)).map(({ text }) => text)).not.toContain('hello there');
    await client.cut();
  });

  it('takes a message of as many bytes as it may have, and ends a socket with one more', async () => {
    const fits = await opened('echo', '/small/room');
    fits.client.send(frame('text', 'x'.repeat(1_000)));
    expect((await fits.client.message()).payload).toHaveLength(1_000);
    fits.client.send(frame('text', 'x'.repeat(1_001)));
    await isEnded(fits, [1009]);
    expect(await heard(fits.key)).toHaveLength(1);
  });

  it('ends it as well where the fragments are too large together', async () => {
    const socket = await opened('echo', '/small/room');
    socket.client.send(frame('text', 'x'.repeat(600), { isFinal: false }));
    socket.client.send(frame('continuation', 'x'.repeat(300), { isFinal: false }));
    socket.client.send(frame('continuation', 'x'.repeat(101)));
    await isEnded(socket, [1009]);
    expect(await heard(socket.key)).toEqual([]);
  });

  it.each([
    ['too large', Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff])],
    ['beyond all numbers', Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
  ])('ends one that only announces a message that is %s', async (_, head) => {
    const socket = await opened();
    socket.client.send(Buffer.concat([head, Buffer.alloc(100)]));
    await isEnded(socket, [1002, 1009]);
  });

  it('takes message upon message that are as large as they may be', async () => {
    const { client, key } = await opened('');
    const message = frame('binary', Buffer.alloc(MIB, 'x'));
    for (let n = 0; n < 8; n++) client.send(message);
    await server.event('message', key, 8);
    expect(client.isCut).toBe(false);
  });

  it('sends text, bytes and samples, which are only lent', async () => {
    const { client, key } = await opened();
    expect(await server.tell('send', { key, text: 'tëxt 📞' })).toMatchObject({ isSent: true });
    expect(await client.message()).toMatchObject({ opcode: OPCODES.text, payload: Buffer.from('tëxt 📞') });
    expect(await server.tell('send', { key, text: '' })).toMatchObject({ isSent: true });
    expect(await client.message()).toMatchObject({ opcode: OPCODES.text, payload: Buffer.alloc(0) });
    await server.tell('send', { key, size: 300, isBinary: true });
    expect(await client.message()).toMatchObject({ opcode: OPCODES.binary });
    const values = [-32_768, -1, 0, 1, 32_767, 258];
    await server.tell('samples', { key, values });
    const { opcode, payload } = await client.message();
    expect(opcode).toBe(OPCODES.binary);
    expect(values.map((_, n) => payload.readInt16LE(2 * n))).toEqual(values);
    expect(payload).toHaveLength(2 * values.length);
  });

  it('sends many messages in one turn, in their order, and nothing waits afterwards', async () => {
    const { client, key } = await opened();
    await server.tell('send', { key, size: 160, times: 500 });
    for (let n = 0; n < 500; n++) expect(numberOf((await client.message()).payload)).toBe(n);
    await server.settled();
    expect(await server.tell('buffered', { key })).toMatchObject({ buffered: 0 });
  });

  it('says how much a peer has not read, tells when it has, and loses nothing', async () => {
    const { client, key } = await opened();
    client.pause();
    const filled = await server.tell('send', { key, size: 4_000, untilFull: MAX_UNSENT_BYTES / 2 });
    const [sent, buffered] = [filled.sent as number, filled.buffered as number];
    expect(buffered).toBeLessThan(MAX_UNSENT_BYTES / 2 + 5_000);
    await server.settled();
    expect(server.of('drained', key)).toEqual([]);
    client.resume();
    for (let n = 0; n < sent; n++) expect(numberOf((await client.message()).payload)).toBe(n);
    await server.event('drained', key);
    expect(server.of('drained', key).at(-1)).toMatchObject({ buffered: 0 });
    expect(await server.tell('send', { key, size: 10, from: sent })).toMatchObject({
      isSent: true,
      buffered: 0,
    });
    expect(numberOf((await client.message()).payload)).toBe(sent);
  });

  it('still hears a peer that does not read', async () => {
    const { client, key } = await opened('');
    client.pause();
    await server.tell('send', { key, size: 4_000, untilFull: MAX_UNSENT_BYTES / 2 });
    client.send(frame('text', 'I do not read'));
    expect(await server.event('message', key)).toMatchObject({ text: 'I do not read' });
  });

  it('cuts a peer that does not read at the bound, and says so to whoever sends', async () => {
    const { client, key } = await opened();
    const other = await opened();
    client.pause();
    const size = 10_000;
    const { isSent, buffered } = await server.tell('send', { key, size, untilDropped: true });
    expect(isSent).toBe(false);
    expect(buffered as number).toBeLessThan(MAX_UNSENT_BYTES + 2 * size);
    await server.event('closed', key);
    expect(server.of('closed', key)).toMatchObject([{ code: 1006 }]);
    expect(await server.tell('send', { key, size })).toMatchObject({ isSent: false, buffered: 0 });
    client.resume();
    await client.cut();
    await server.settled();
    expect(server.of('closed', key)).toHaveLength(1);
    other.client.send(frame('text', 'I do'));
    expect((await other.client.message()).payload.toString()).toBe('I do');
  });

  it('cuts one at the message after the one that was too much', async () => {
    const { client, key } = await opened();
    client.pause();
    await server.tell('send', { key, size: 4_000, untilFull: MAX_UNSENT_BYTES / 2 });
    await server.tell('send', { key, size: MAX_UNSENT_BYTES });
    expect(await server.tell('send', { key, size: 1_000 })).toMatchObject({ isSent: false });
    await server.event('closed', key);
  });

  it('cuts one that pings without end and does not read what it is answered', async () => {
    const { client, key } = await opened();
    client.pause();
    const pings = Buffer.concat(Array(2_000).fill(frame('ping', 'x'.repeat(125))));
    const flood = async () => {
      while (!client.socket.destroyed && server.of('closed', key).length === 0) {
        await new Promise((resolve) => client.socket.write(pings, resolve));
      }
    };
    void flood();
    await server.event('closed', key);
    expect(server.of('closed', key)).toMatchObject([{ code: 1006 }]);
  });
});
