import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { RawClient, request } from './raw-client.js';
import { newKey, overTransports } from './transport-server.js';

const sumOf = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
const bytesOf = (size: number) => Buffer.from(Array.from({ length: size }, (_, n) => (n * 7) & 0xff));
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

overTransports((server) => {
  const head = (key: string, size: number, wish = '') =>
    request('POST', `/body?k=${key}${wish}`, [`Content-Length: ${size}`]);
  /** Sends it, and waits until a handler has it. */
  const begun = async (bytes: string, key: string) => {
    const client = await RawClient.sending(server.port, bytes);
    await server.event('asked', key);
    return client;
  };

  it.each([0, 1, 1_000, 65_536, 65_537, 3_000_000])('hands out all of %d bytes', async (size) => {
    const bytes = bytesOf(size);
    const client = await RawClient.sending(server.port, head(newKey(), size));
    client.send(bytes);
    expect(JSON.parse((await client.answer()).body)).toEqual({ size, sum: sumOf(bytes) });
    // No byte of it was parsed as the next request.
    client.send(request('GET', '/echo'));
    expect((await client.answer()).status).toBe(200);
  });

  it('hands out an empty body once where there is none', async () => {
    const key = newKey();
    const client = await RawClient.sending(server.port, request('POST', `/body?k=${key}&chunks`));
    expect(JSON.parse((await client.answer()).body)).toEqual({ size: 0, sum: sumOf('') });
    await server.settled();
    expect(server.of('body', key)).toHaveLength(1);
  });

  it('takes one that comes byte by byte, with its head', async () => {
    const client = await RawClient.connect(server.port);
    const body = 'From=%2B15551234567&To=%2B15557654321';
    await client.trickle(request('POST', `/body?k=${newKey()}`, [], body));
    expect(JSON.parse((await client.answer()).body)).toEqual({ size: body.length, sum: sumOf(body) });
  });

  it('takes one in chunks', async () => {
    const body = `${chunk('hello')}${chunk(' ')}${chunk('world'.repeat(5_000))}0\r\n\r\n`;
    const whole = `hello ${'world'.repeat(5_000)}`;
    const client = await RawClient.sending(
      server.port,
      request('POST', `/body?k=${newKey()}`, ['Transfer-Encoding: chunked'], body),
    );
    expect(JSON.parse((await client.answer()).body)).toEqual({ size: whole.length, sum: sumOf(whole) });
    client.send(request('GET', '/echo'));
    expect((await client.answer()).status).toBe(200);
  });

  it('takes chunks byte by byte', async () => {
    const client = await RawClient.connect(server.port);
    const body = '5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n';
    await client.trickle(request('POST', `/body?k=${newKey()}`, ['Transfer-Encoding: chunked'], body));
    expect(JSON.parse((await client.answer()).body)).toEqual({ size: 6, sum: sumOf('hello!') });
  });

  it.each([
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6']],
    ['two lengths that are the same', ['Content-Length: 5', 'Content-Length: 5']],
    ['a list of lengths', ['Content-Length: 5, 5']],
    ['a length that is no number', ['Content-Length: 5x']],
    ['a negative length', ['Content-Length: -5']],
    ['a signed length', ['Content-Length: +5']],
    ['a length in hexadecimal', ['Content-Length: 0x5']],
    ['a length beyond all numbers', ['Content-Length: 99999999999999999999999']],
    ['a length and chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['chunks and a length', ['Transfer-Encoding: chunked', 'Content-Length: 5']],
    ['an encoding that is not known', ['Transfer-Encoding: gzip']],
    ['chunks within another encoding', ['Transfer-Encoding: chunked, gzip']],
    ['an encoding that hides itself', ['Transfer-Encoding: xchunked']],
    ['two encodings', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']],
  ])('a request with %s smuggles no second one', async (_, lines) => {
    const [key, smuggled] = [newKey(), newKey()];
    const hidden = request('GET', `/echo?k=${smuggled}`);
    const isChunked = lines.some((line) => line.startsWith('Transfer'));
    const body = `${isChunked ? `${chunk('hello')}0\r\n\r\n` : 'hello'}${hidden}`;
    const client = await RawClient.sending(server.port, request('POST', `/body?k=${key}`, lines) + body);
    // One who sends on before the answer may be cut without it.
    const answer = await client.answer().catch(() => undefined);
    if (answer !== undefined) expect(answer.status).toBe(400);
    await client.cut();
    await server.settled();
    expect(server.of('body', key)).toEqual([]);
    expect(server.of('asked', smuggled)).toEqual([]);
  });

  it('answers 400 to one of two lengths, and hangs up', async () => {
    const lines = ['Content-Length: 5', 'Content-Length: 6'];
    const client = await RawClient.sending(server.port, request('POST', '/body', lines));
    expect((await client.answer()).status).toBe(400);
    await client.cut();
  });

  it.each([
    ['no hexadecimal size', 'x\r\nhello\r\n0\r\n\r\n'],
    ['a size beyond all numbers', 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
    ['a negative size', '-5\r\nhello\r\n0\r\n\r\n'],
  ])('a chunk with %s ends the connection, and its body never comes whole', async (_, body) => {
    const [key, smuggled] = [newKey(), newKey()];
    const hidden = request('GET', `/echo?k=${smuggled}`);
    const client = await RawClient.sending(
      server.port,
      request('POST', `/body?k=${key}`, ['Transfer-Encoding: chunked'], body + hidden),
    );
    await client.cut();
    await server.settled();
    expect(server.of('body', key)).toEqual([]);
    expect(server.of('asked', smuggled)).toEqual([]);
  });

  it('lets a client go on that waits for 100, or answers it without', async () => {
    const key = newKey();
    const client = await begun(
      request('POST', `/body?k=${key}`, ['Content-Length: 5', 'Expect: 100-continue']),
      key,
    );
    // A client may wait for 100 Continue as long as it likes, but sends after a moment without it.
    client.send('hello');
    let answer = await client.answer();
    if (answer.status === 100) answer = await client.answer();
    expect(JSON.parse(answer.body)).toMatchObject({ size: 5 });
  });

  it('tells once that the client has gone in the middle of its body', async () => {
    for (const leave of ['end', 'reset'] as const) {
      const key = newKey();
      const client = await begun(head(key, 1_000, '&chunks'), key);
      client.send('x'.repeat(10));
      await server.event('chunk', key);
      client[leave]();
      await server.event('gone', key);
      await server.settled();
      expect(server.of('gone', key)).toHaveLength(1);
      expect(server.of('body', key)).toEqual([]);
    }
  });

  it('tells nobody that one has gone who has all of its answer', async () => {
    const key = newKey();
    const client = await begun(head(key, 5), key);
    client.send('hello');
    await client.answer();
    client.end();
    await client.cut();
    await server.settled();
    expect(server.of('gone', key)).toEqual([]);
  });

  it('answers before it has the body, and hangs up where it was told to', async () => {
    const key = newKey();
    const client = await begun(head(key, 10_000_000, '&unread&close'), key);
    expect(await client.answer()).toMatchObject({ status: 413, body: 'unread' });
    await client.cut();
  });

  it('continues after a body that nobody reads', async () => {
    const client = await RawClient.connect(server.port);
    for (const size of [0, 5, 200_000]) {
      client.send(head(newKey(), size, '&unread'));
      client.send(bytesOf(size));
      expect((await client.answer()).status).toBe(413);
    }
    client.send(request('GET', '/echo'));
    expect((await client.answer()).status).toBe(200);
  });

  it('hands out a body that comes while the answer waits', async () => {
    const key = newKey();
    const client = await begun(head(key, 4, '&hold'), key);
    client.send('abcd');
    expect(await server.event('body', key)).toMatchObject({ size: 4 });
    await server.tell('answer', { key, text: 'later' });
    expect((await client.answer()).body).toBe('later');
  });

  it('reads nothing while it is paused, and all of it afterwards', async () => {
    const key = newKey();
    const bytes = bytesOf(8_000_000);
    const client = await begun(head(key, bytes.length, '&pause&chunks'), key);
    client.send(bytes);
    const { size } = await server.event('paused', key);
    await server.settled();
    // No more than it had read when it was paused.
    const chunks = server.of('chunk', key);
    expect(chunks.at(-1)?.size).toBe(size);
    expect(client.socket.writableLength).toBeGreaterThan(0);
    await server.tell('resume', { key });
    expect(JSON.parse((await client.answer()).body)).toEqual({ size: bytes.length, sum: sumOf(bytes) });
  });

  it('a pause does not outlast its request', async () => {
    const key = newKey();
    const bytes = bytesOf(300_000);
    const client = await begun(head(key, bytes.length, '&pause&chunks'), key);
    client.send(bytes);
    await server.event('paused', key);
    await server.tell('resume', { key });
    await client.answer();
    client.send(request('GET', '/echo'));
    expect((await client.answer()).status).toBe(200);
  });

  it('tells that one has gone whose body is paused, as soon as it is read again', async () => {
    const key = newKey();
    const client = await begun(head(key, 8_000_000, '&pause&chunks'), key);
    client.send(bytesOf(400_000));
    await server.event('paused', key);
    client.reset();
    await server.tell('resume', { key });
    await server.event('gone', key);
    await server.settled();
    expect(server.of('gone', key)).toHaveLength(1);
  });
});
