import { expect, it } from 'vitest';
import { closeFrame, frame, OPCODES } from './frames.js';
import { RawClient } from './raw-client.js';
import { newKey, overTransports } from './transport-server.js';

overTransports((server) => {
  const opened = async (wish = 'echo') => {
    const key = newKey();
    const client = await RawClient.webSocket(server.port, `/ws/room?${wish}&k=${key}`);
    await server.event('open', key);
    return { key, client };
  };
  const isClosedOnce = async (key: string, ...codes: number[]) => {
    await server.event('closed', key);
    await server.settled();
    expect(server.of('closed', key)).toHaveLength(1);
    expect(codes).toContain(server.of('closed', key)[0]?.code);
    // Whoever still holds the socket: nothing is sent, nothing waits, nothing throws.
    expect(server.of('afterwards', key)).toMatchObject([{ isSent: false, buffered: 0 }]);
    expect(server.of('gone', key)).toEqual([]);
  };

  it.each([1000, 1001, 1008, 1009, 1011, 1012, 1013, 3000, 4000, 4999])(
    'closes with %d and a reason',
    async (code) => {
      const { client, key } = await opened();
      await server.tell('end', { key, code, reason: `the reason ${code}` });
      const { opcode, payload } = await client.message();
      expect(opcode).toBe(OPCODES.close);
      expect(payload.readUInt16BE(0)).toBe(code);
      expect(payload.subarray(2).toString()).toBe(`the reason ${code}`);
      client.send(closeFrame(code));
      await client.cut();
      client.end();
      await isClosedOnce(key, code);
    },
  );

  it.each([
    ['', 0],
    ['x'.repeat(123), 123],
    ['x'.repeat(124), 123],
    ['é'.repeat(100), 122],
    ['📞'.repeat(100), 120],
    [`x${'€'.repeat(100)}`, 121],
  ])('cuts the reason %s at %d bytes', async (reason, length) => {
    const { client, key } = await opened();
    await server.tell('end', { key, code: 1000, reason });
    const { payload } = await client.message();
    expect(payload).toHaveLength(2 + length);
    expect(reason.startsWith(payload.subarray(2).toString())).toBe(true);
    client.send(closeFrame(1000));
    await client.cut();
  });

  it('sends what was sent before it closes, all of it', async () => {
    const { client, key } = await opened();
    client.pause();
    const { sent } = await server.tell('send', { key, size: 4_000, untilFull: 100_000 });
    await server.tell('end', { key, code: 1000 });
    client.resume();
    for (let n = 0; n < (sent as number); n++) {
      expect(Number((await client.message()).payload.subarray(0, 8))).toBe(n);
    }
    expect((await client.message()).opcode).toBe(OPCODES.close);
    client.send(closeFrame(1000));
    await client.cut();
    await isClosedOnce(key, 1000);
  });

  it('sends and hears no more messages once it has closed', async () => {
    const { client, key } = await opened();
    const { isSent, buffered } = await server.tell('end', { key, code: 1000, send: 'too late' });
    expect([isSent, buffered]).toEqual([false, 0]);
    client.send(frame('text', 'I have not heard yet'));
    client.send(closeFrame(1000));
    expect((await client.message()).opcode).toBe(OPCODES.close);
    await client.cut();
    expect(client.received).toHaveLength(0);
    await isClosedOnce(key, 1000);
    expect(server.of('message', key)).toEqual([]);
  });

  it('closes once, however often it is told to', async () => {
    const { client, key } = await opened();
    await server.tell('end', { key, code: 4001, reason: 'first' });
    await server.tell('end', { key, code: 4002, reason: 'second' });
    expect((await client.message()).payload.readUInt16BE(0)).toBe(4001);
    client.send(closeFrame(4001));
    await client.cut();
    expect(client.received).toHaveLength(0);
    await isClosedOnce(key, 4001);
  });

  it.each([1012, 1013, 1014, 3000, 3999])(
    'answers a peer that closed with %d, and may take it for one without a code',
    async (code) => {
      const { client, key } = await opened();
      client.send(closeFrame(code));
      const { opcode, payload } = await client.message();
      expect(opcode).toBe(OPCODES.close);
      if (payload.length > 0) expect(payload.readUInt16BE(0)).toBe(code);
      await client.cut();
      await isClosedOnce(key, code, 1005, 1006);
    },
  );

  it.each([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 4000, 4999])(
    'tells that the peer closed with %d, and answers it',
    async (code) => {
      const { client, key } = await opened();
      client.send(closeFrame(code, 'a reason'));
      const { opcode, payload } = await client.message();
      expect(opcode).toBe(OPCODES.close);
      expect(payload.readUInt16BE(0)).toBe(code);
      await client.cut();
      await isClosedOnce(key, code);
    },
  );

  it('tells 1005 of a peer that closed without a code, and answers it without one', async () => {
    const { client, key } = await opened();
    client.send(frame('close'));
    const { opcode, payload } = await client.message();
    expect(opcode).toBe(OPCODES.close);
    // 1005 itself must never be sent.
    if (payload.length > 0) expect(payload.readUInt16BE(0)).toBe(1000);
    await client.cut();
    await isClosedOnce(key, 1005);
  });

  it('hears nothing that comes after a close frame', async () => {
    const { client, key } = await opened();
    client.send(Buffer.concat([frame('text', 'before'), closeFrame(1000), frame('text', 'after')]));
    await client.cut();
    await isClosedOnce(key, 1000);
    expect(server.of('message', key)).toMatchObject([{ text: 'before' }]);
  });

  it.each(['end', 'reset', 'destroy'] as const)(
    'tells 1006 of a peer that goes without a word (%s)',
    async (leave) => {
      const { client, key } = await opened();
      client[leave]();
      await client.cut();
      await isClosedOnce(key, 1006);
    },
  );

  it('tells 1006 of one that goes in the middle of a message', async () => {
    const { client, key } = await opened();
    client.send(frame('text', 'the beginning', { isFinal: false }));
    client.send(frame('continuation', 'x'.repeat(100)).subarray(0, 50));
    client.end();
    await client.cut();
    await isClosedOnce(key, 1006);
    expect(server.of('message', key)).toEqual([]);
  });

  it('hears what a peer sent before it went', async () => {
    const { client, key } = await opened('');
    client.send(Buffer.concat(Array.from({ length: 100 }, (_, n) => frame('text', `${n}`))));
    client.end();
    await isClosedOnce(key, 1006);
    expect(server.of('message', key).map(({ text }) => text)).toEqual(
      Array.from({ length: 100 }, (_, n) => `${n}`),
    );
  });

  it('closes once where both ends close at the same time', async () => {
    const { client, key } = await opened();
    const blocked = server.tell('block', { ms: 50 });
    const ended = server.tell('end', { key, code: 4002, reason: 'ours' });
    client.send(closeFrame(4001, 'theirs'));
    await Promise.all([blocked, ended]);
    await client.cut();
    await isClosedOnce(key, 4001, 4002);
  });

  it('may send to one that has gone and of whom nothing was told yet', async () => {
    const { client, key } = await opened();
    const blocked = server.tell('block', { ms: 50 });
    const sent = server.tell('send', { key, size: 1_000, times: 100 });
    const ended = server.tell('end', { key, code: 1000 });
    client.reset();
    await Promise.all([blocked, sent, ended]);
    await isClosedOnce(key, 1000, 1006);
  });
});
