import { expect, it } from 'vitest';
import { MAX_HEADER_BYTES } from '../../../src/http/transport/transport.js';
import { handshake, type RawAnswer, RawClient, request } from './raw-client.js';
import { newKey, overTransports } from './transport-server.js';

/** What a route of the server says of its request. */
interface Seen {
  readonly handler: string;
  readonly method: string;
  readonly path: string;
  readonly query: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly all: readonly (readonly [name: string, value: string])[];
  readonly lines: Readonly<Record<string, readonly string[]>>;
  readonly parameters: readonly string[];
  readonly peer: string;
}

const seenIn = ({ body }: RawAnswer) => JSON.parse(body) as Seen;

overTransports((server) => {
  const ask = async (bytes: string | Buffer, isBodiless = false) => {
    const client = await RawClient.sending(server.port, bytes);
    return client.answer(isBodiless);
  };
  const see = async (...asked: Parameters<typeof request>) => seenIn(await ask(request(...asked)));
  /** Sends a malformed request; returns the status of the response, after which the connection ends. */
  const refused = async (bytes: string | Buffer) => {
    const client = await RawClient.sending(server.port, bytes);
    const { status } = await client.answer();
    await client.cut();
    return status;
  };

  it('says which one it is, and what it is made of', () => {
    expect(server.origin).not.toBe('');
  });

  it('hands out method, path and query as they were sent', async () => {
    expect(await see('GET', '/echo?a=1&b=%20x?y')).toMatchObject({
      handler: 'get',
      method: 'get',
      path: '/echo',
      query: 'a=1&b=%20x?y',
      peer: '127.0.0.1',
    });
    expect(await see('GET', '/echo')).toMatchObject({ query: null });
    expect(await see('GET', '/echo?')).toMatchObject({ query: '' });
    expect(await see('GET', '/a%2Fb/../c//d')).toMatchObject({ handler: 'rest', path: '/a%2Fb/../c//d' });
  });

  it.each([
    ['GET', 'get'],
    ['POST', 'post'],
    ['DELETE', 'del'],
    ['OPTIONS', 'options'],
    ['PUT', 'put'],
    ['PATCH', 'patch'],
    ['PROPFIND', 'any'],
    ['PURGE', 'any'],
  ])('gives %s to its handler, or to the one for any', async (method, handler) => {
    const seen = await see(method, '/echo');
    expect(seen).toMatchObject({ handler, method: method.toLowerCase() });
  });

  it('gives HEAD to its own handler, and sends the length alone', async () => {
    const key = newKey();
    const client = await RawClient.sending(server.port, request('HEAD', `/echo?k=${key}`));
    const answer = await client.answer(true);
    expect(answer.status).toBe(200);
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(100);
    expect(await server.event('asked', key)).toMatchObject({ handler: 'head', method: 'head' });
    // Whatever came after the head would stand before the next answer.
    client.send(request('GET', '/echo'));
    expect(seenIn(await client.answer()).handler).toBe('get');
  });

  it('takes a path that has no handler for a method to the last route', async () => {
    expect(await see('POST', '/only-get')).toMatchObject({ handler: 'rest', path: '/only-get' });
    expect(await see('GET', '/only-get')).toMatchObject({ handler: 'get' });
  });

  it.each([
    ['/order/fixed', 'fixed', []],
    ['/order/fixe', 'parameter', ['fixe']],
    ['/order/fixedly', 'parameter', ['fixedly']],
    ['/order/one/two', 'two parameters', ['one', 'two']],
    ['/order/fixed/two', 'fixed and parameter', ['two']],
    ['/order/a%20b%2Fc/%7e', 'two parameters', ['a%20b%2Fc', '%7e']],
    ['/order/fixed/two/three', 'rest', []],
    ['/order', 'rest', []],
    ['/', 'rest', []],
  ])('leads %s to %s', async (path, handler, parameters) => {
    const seen = await see('GET', path);
    expect(seen).toMatchObject({ handler, path });
    expect(seen.parameters.slice(0, parameters.length)).toEqual(parameters);
  });

  it('finds a header in any case, and all lines of one that came more than once', async () => {
    const names = 'x-one,x-forwarded-for,x-none,x-empty';
    const lines = [
      'X-ONE: Some Value ',
      'X-Forwarded-For: 1.1.1.1, 2.2.2.2',
      'x-forwarded-for: 3.3.3.3',
      'X-Empty:',
    ];
    const seen = await see('GET', `/echo?h=${names}`, lines);
    expect(seen.headers['x-one']).toBe('Some Value');
    expect(seen.lines['x-one']).toEqual(['Some Value']);
    expect(seen.lines['x-forwarded-for']).toEqual(['1.1.1.1, 2.2.2.2', '3.3.3.3']);
    expect(seen.headers['x-forwarded-for']).toMatch(/^1\.1\.1\.1, 2\.2\.2\.2|3\.3\.3\.3$/);
    expect(seen.all).toEqual([
      ['host', 'localhost'],
      ['x-one', 'Some Value'],
      ['x-forwarded-for', '1.1.1.1, 2.2.2.2'],
      ['x-forwarded-for', '3.3.3.3'],
      ['x-empty', ''],
    ]);
    expect(seen.headers['x-none']).toBe('');
    expect(seen.lines['x-none']).toEqual([]);
    expect(seen.headers['x-empty']).toBe('');
  });

  it('keeps all lines of headers of which HTTP knows one', async () => {
    const names = 'authorization,host,content-type,user-agent';
    const lines = ['Authorization: one', 'Authorization: two', 'User-Agent: a', 'User-Agent: b'];
    const seen = await see('GET', `/echo?h=${names}`, lines);
    expect(seen.lines).toMatchObject({ authorization: ['one', 'two'], 'user-agent': ['a', 'b'] });
    expect(seen.lines.authorization).toContain(seen.headers.authorization);
  });

  it('takes a request that comes byte by byte', async () => {
    const client = await RawClient.connect(server.port);
    await client.trickle(request('GET', '/echo?slow=1&h=x-a', ['X-A: b']));
    expect(seenIn(await client.answer())).toMatchObject({ query: 'slow=1&h=x-a', headers: { 'x-a': 'b' } });
  });

  it('serves one request after the other on a connection', async () => {
    const client = await RawClient.connect(server.port);
    for (let n = 0; n < 20; n++) {
      client.send(request('POST', `/echo?n=${n}`, [], 'x'.repeat(n)));
      expect(seenIn(await client.answer()).query).toBe(`n=${n}`);
    }
    expect(client.isCut).toBe(false);
  });

  it('answers requests that come in one piece in their order, or cuts the client', async () => {
    const client = await RawClient.connect(server.port);
    client.send([0, 1, 2].map((n) => request('GET', `/echo?n=${n}`)).join(''));
    for (const n of [0, 1, 2]) {
      const answer = await client.answer().catch(() => undefined);
      if (answer === undefined) break;
      expect(seenIn(answer).query).toBe(`n=${n}`);
    }
  });

  it('cuts a client that sends its next request before it has its answer', async () => {
    const [first, second] = [newKey(), newKey()];
    const client = await RawClient.sending(server.port, request('GET', `/answer?hold&k=${first}`));
    await server.event('asked', first);
    client.send(request('GET', `/answer?hold&k=${second}`));
    await client.cut();
    await server.event('gone', first);
    await server.settled();
    expect(server.of('gone', first)).toHaveLength(1);
    expect(server.of('asked', second).length).toBe(server.of('gone', second).length);
  });

  it.each(['/ws/room?echo', '/echo'])(
    'cuts one that asks for a WebSocket at %s before it has its answer',
    async (path) => {
      const key = newKey();
      const client = await RawClient.connect(server.port);
      client.send(request('GET', `/answer?hold&k=${key}`) + handshake(path));
      await server.event('asked', key);
      await client.cut();
      await server.event('gone', key);
      expect(client.received).toHaveLength(0);
    },
  );

  it('cuts one that sends two requests in one piece, too', async () => {
    const [first, second] = [newKey(), newKey()];
    const both = request('GET', `/answer?hold&k=${first}`) + request('GET', `/answer?hold&k=${second}`);
    const client = await RawClient.sending(server.port, both);
    await client.cut();
    await server.event('gone', first);
    await server.settled();
    expect(server.of('gone', first)).toHaveLength(1);
    expect(server.of('asked', second).length).toBe(server.of('gone', second).length);
  });

  it('takes as many bytes of headers as cookies may need', async () => {
    const head = request('GET', '/echo?h=cookie', ['Cookie: ']);
    const cookie = 'c'.repeat(MAX_HEADER_BYTES - head.length - 512);
    const seen = await see('GET', '/echo?h=cookie', [`Cookie: ${cookie}`]);
    expect(seen.headers.cookie).toBe(cookie);
  });

  it('takes a hundred headers', async () => {
    const lines = Array.from({ length: 90 }, (_, n) => `X-Header-${n}: ${n}`);
    expect((await see('GET', '/echo?h=x-header-89', lines)).headers['x-header-89']).toBe('89');
  });

  it.each([
    ['a header', (size: number) => request('GET', '/echo', [`Cookie: ${'c'.repeat(size)}`])],
    ['a path', (size: number) => request('GET', `/${'p'.repeat(size)}`)],
    [
      'many headers',
      (size: number) => request('GET', '/echo', Array(size >> 5).fill(`X-Some: ${'v'.repeat(24)}`)),
    ],
    [
      'a header without end',
      (size: number) => `GET /echo HTTP/1.1\r\nHost: x\r\nCookie: ${'c'.repeat(size)}`,
    ],
  ])('answers 431 to %s beyond the bound', async (_, make) => {
    expect(await refused(make(1.5 * MAX_HEADER_BYTES))).toBe(431);
  });

  it.each([
    ['a line without a colon', 'GET /echo HTTP/1.1\r\nHost: x\r\nwhat is this\r\n\r\n'],
    ['a space before a colon', 'GET /echo HTTP/1.1\r\nHost: x\r\nX-A : b\r\n\r\n'],
    ['a folded header', 'GET /echo HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c: d\r\n\r\n'],
    ['a NUL in a header', 'GET /echo HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n'],
    ['no Host', 'GET /echo HTTP/1.1\r\nX-A: b\r\n\r\n'],
  ])('answers 400 to %s, and hangs up', async (_, bytes) => {
    expect(await refused(bytes)).toBe(400);
  });

  it.each([
    ['a TLS greeting', Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0, 0x0d, 0x0a, 0x0d, 0x0a])],
    ['another version', 'GET /echo HTTP/3.7\r\nHost: x\r\n\r\n'],
    ['garbage', '\0\0garbage\r\n\r\n'],
  ])('answers 400 to %s, or 505 where it is taken for a version, and hangs up', async (_, bytes) => {
    expect(await refused(bytes)).toBeOneOf([400, 505]);
  });

  // A silent one is cut after some ten seconds, see test/soak.
  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['no version', 'GET /echo?k=KEY\r\nHost: x\r\n\r\n'],
    ['a bare CR in a header', 'GET /echo?k=KEY HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n'],
  ])('answers 400 to %s, or waits for the rest until that client is a silent one', async (_, bytes) => {
    const key = newKey();
    const client = await RawClient.sending(server.port, bytes.replace('KEY', key));
    await server.settled();
    if (client.received.length > 0) expect((await client.answer()).status).toBeOneOf([400, 505]);
    expect(server.of('asked', key)).toEqual([]);
  });

  it('answers what came before garbage', async () => {
    const client = await RawClient.connect(server.port);
    client.send(request('GET', '/echo?n=1'));
    expect(seenIn(await client.answer()).query).toBe('n=1');
    client.send('\0\0garbage\r\n\r\n');
    expect((await client.answer()).status).toBeOneOf([400, 505]);
    await client.cut();
  });

  it.each([
    ['an absolute URL', 'GET http://other.example/echo?a=1 HTTP/1.1'],
    ['an absolute URL of TLS', 'GET https://other.example/echo?a=1 HTTP/1.1'],
    ['HTTP/1.0', 'GET /echo?a=1 HTTP/1.0'],
    ['CONNECT', 'CONNECT other.example:443 HTTP/1.1'],
    ['a method that nobody knows', 'GETS /echo HTTP/1.1'],
    ['a method in lower case', 'get /echo HTTP/1.1'],
  ])('leads %s where it should, or refuses it', async (_, line) => {
    const client = await RawClient.sending(server.port, `${line}\r\nHost: x\r\n\r\n`);
    const answer = await client.answer().catch(() => undefined);
    if (answer?.status === 200) expect(seenIn(answer)).toMatchObject({ path: '/echo' });
    else if (answer !== undefined) expect(answer.status).toBeOneOf([400, 404, 405, 501, 505]);
    await server.settled();
  });

  it('gives a POST that offers h2c its ordinary answer', async () => {
    const offer = [
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk',
    ];
    const key = newKey();
    const client = await RawClient.sending(server.port, request('POST', `/body?k=${key}`, offer, '{"a":1}'));
    expect(JSON.parse((await client.answer()).body)).toMatchObject({ size: 7 });
    expect(server.of('gone', key)).toEqual([]);
    const other = await RawClient.sending(server.port, request('GET', '/echo', offer));
    expect(seenIn(await other.answer()).handler).toBe('get');
  });

  it('hangs up after its answer where the client wants no more', async () => {
    const client = await RawClient.sending(server.port, request('GET', '/echo', ['Connection: close']));
    expect((await client.answer()).status).toBe(200);
    await client.cut();
  });

  it('a handler that throws ends its own connection and no other', async () => {
    const other = await RawClient.sending(server.port, request('GET', '/echo'));
    await other.answer();
    const key = newKey();
    const client = await RawClient.sending(server.port, request('GET', `/throws?k=${key}`));
    await server.event('asked', key);
    const { status } = await client.answer().catch(() => ({ status: 0 }));
    expect([0, 500]).toContain(status);
    other.send(request('GET', '/echo'));
    expect((await other.answer()).status).toBe(200);
  });
});
