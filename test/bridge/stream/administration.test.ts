import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Administration, type AdministrationOptions } from '../../../src/bridge/stream/administration.js';
import { GatewayError } from '../../../src/errors.js';
import { StreamApp } from '../../support/stream/app.js';
import { FakeMediaHost } from '../../support/stream/fake-media-host.js';
import { StreamRest } from '../../support/stream/rest.js';
import { verifyToken } from '../../support/stream/token.js';
import { clock, eventually, sleep, virtualTime } from '../../support/time.js';

const time = virtualTime();

const USER = { id: 'phone-1' };
const ROOM = { type: 'default', id: 'room' };

let rest: StreamRest;
/** Why requests were repeated. */
let retries: string[];

beforeAll(async () => {
  rest = await StreamRest.start(new FakeMediaHost(new StreamApp('double-key', 'double-secret'), clock));
});

afterAll(() => rest.close());

beforeEach(() => {
  retries = [];
});

function administration(options: Partial<AdministrationOptions> = {}): Administration {
  const onRetry = (reason: string) => retries.push(reason);
  return new Administration({
    ...rest.keys,
    tokenSeconds: 3_600,
    clock,
    onRetry,
    ...options,
  });
}

/** How often the double was asked for a route, from here on. */
function counting(route: string): () => number {
  const before = rest.requests(route);
  return () => rest.requests(route) - before;
}

const UPSERT = 'POST /api/v2/users';

async function errorOf(work: Promise<unknown>): Promise<GatewayError> {
  const error = await work.then(
    () => expect.fail('Expected an error but received success'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GatewayError);
  expect((error as Error).message).toMatch(
    /^(Expected .+ but received |Stream (rejected|rejects|gave no answer to) )/,
  );
  // Nor in what it was caused by.
  const { message, stack, cause } = error as GatewayError;
  expect(`${message} ${stack} ${JSON.stringify(cause)} ${String(cause)}`).not.toContain(rest.apiSecret);
  return error as GatewayError;
}

describe('prepare', () => {
  it('creates the call as the gateway’s own user, and changes no user of which only the id is given', async () => {
    await administration().prepare(USER, { type: 'audio_room', id: 'prepare-1' });
    const call = rest.calls.get('audio_room:prepare-1');
    expect(call).toBeDefined();
    expect(JSON.stringify(rest.user('trunkline'))).toContain('Trunkline');
    expect(rest.user('phone-1')).toBeUndefined();
  });

  it('creates a user with its name and custom data', async () => {
    const custom = { city: 'LONDON', nested: { a: [1] } };
    await administration().prepare({ id: 'phone-2', name: 'Ada', custom }, ROOM);
    expect(rest.user('phone-2')).toMatchObject({ name: 'Ada', custom });
    await administration().prepare({ id: 'phone-2', custom: { floor: 3 } }, ROOM);
    expect(rest.user('phone-2')).toMatchObject({ name: 'Ada', custom: { ...custom, floor: 3 } });
  });

  it('does not change a call that exists', async () => {
    const name = { type: 'default', id: 'prepare-3' };
    await administration().prepare(USER, name);
    const call = rest.calls.get('default:prepare-3');
    await administration().prepare({ id: 'phone-3', name: 'Bea' }, name);
    expect(rest.calls.get('default:prepare-3')).toBe(call);
  });

  it('creates the gateway’s user once for all calls', async () => {
    const upserts = counting(UPSERT);
    const stream = administration();
    await Promise.all(
      Array.from({ length: 5 }, (_, i) => stream.prepare(USER, { ...ROOM, id: `once-${i}` })),
    );
    await stream.prepare(USER, ROOM);
    expect(upserts()).toBe(1);
  });

  it('creates it again if that failed', async () => {
    const stream = administration();
    rest.failNext({ path: '/users', status: 400 });
    expect((await errorOf(stream.prepare(USER, ROOM))).code).toBe('GW_STREAM_REFUSED');
    await stream.prepare(USER, ROOM);
  });
});

describe('retries if', () => {
  it('Stream is busy (429), after the time it asks for', async () => {
    const upserts = counting(UPSERT);
    rest.failNext({ path: '/users', status: 429 });
    const begun = time.now();
    await administration().open();
    // The double wants one to two seconds.
    expect(time.now() - begun).toBeGreaterThanOrEqual(1_000);
    expect(time.now() - begun).toBeLessThan(3_000);
    expect(upserts()).toBe(2);
    expect(retries).toEqual([expect.stringMatching(/^the gateway user: /)]);
  });

  it.each([500, 502, 503, 504, 408])('it fails (%i)', async (status) => {
    const upserts = counting(UPSERT);
    rest.failNext({ path: '/users', status });
    await administration().open();
    expect(upserts()).toBe(2);
    expect(retries).toHaveLength(1);
  });

  it('it does not respond', async () => {
    let requests = 0;
    // Hangs up twice without a word, and then does what the double says.
    const proxy = createServer((request, response) => {
      requests += 1;
      if (requests <= 2) {
        request.socket.destroy();
        return;
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"users":{},"duration":"0ms"}');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = proxy.address() as AddressInfo;
      await administration({ baseUrl: `http://127.0.0.1:${port}` }).open();
      expect(requests).toBe(3);
      expect(retries).toHaveLength(2);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});

describe('gives up with an error if', () => {
  it('Stream is unreachable', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    let asked = 0;
    const stream = administration({
      baseUrl: `http://127.0.0.1:${port}`,
      onRetry: () => {
        asked += 1;
      },
    });
    const error = await errorOf(stream.open());
    expect(error).toMatchObject({ code: 'GW_STREAM_UNAVAILABLE', status: 503 });
    expect(error.message).toContain('no answer');
    expect(asked).toBe(4);
  });

  it('Stream keeps failing', async () => {
    const name = { type: 'default', id: 'out-of-order' };
    rest.failNext({ path: '/call/default/out-of-order', status: 503, times: 99 });
    const error = await errorOf(administration({ onRetry: () => {} }).prepare(USER, name));
    expect(error).toMatchObject({ code: 'GW_STREAM_UNAVAILABLE', status: 503 });
    expect(error.message).toContain('status 503');
  });

  it('Stream is busy for longer than a caller waits: five seconds, then the next attempt', async () => {
    const inAnHour = { 'x-ratelimit-reset': String(Math.ceil(time.date().getTime() / 1000) + 3_600) };
    rest.failNext({ path: '/call/default/busy', status: 429, headers: inAnHour });
    const begun = time.now();
    await administration({ onRetry: () => {} }).prepare(USER, { type: 'default', id: 'busy' });
    expect(time.now() - begun).toBeGreaterThanOrEqual(5_000);
    expect(time.now() - begun).toBeLessThan(6_500);
  });
});

describe('retries a rejected request once only', () => {
  it.each([401, 403, 404])('%i', async (status) => {
    const stream = administration();
    await stream.open();
    const creates = counting('POST /api/v2/video/call/:type/:id');
    rest.failNext({ path: '/video/call/', status });
    await stream.prepare(USER, { type: 'default', id: `refused-once-${status}` });
    expect(creates()).toBe(2);
    expect(retries).toHaveLength(1);
    rest.failNext({ path: '/video/call/', status, times: 2, message: 'planned refusal' });
    const error = await errorOf(stream.prepare(USER, { type: 'default', id: `refused-${status}` }));
    expect(error).toMatchObject({ code: 'GW_STREAM_REFUSED', status });
    expect(error.message).toContain('planned refusal');
    expect(creates()).toBe(4);
    expect(retries).toHaveLength(2);
  });
});

describe('does not retry a permanent rejection', () => {
  it.each([400, 409, 413])('%i', async (status) => {
    const stream = administration();
    await stream.open();
    const creates = counting('POST /api/v2/video/call/:type/:id');
    rest.failNext({ path: '/video/call/', status, message: 'planned refusal' });
    const error = await errorOf(stream.prepare(USER, { type: 'default', id: 'refused' }));
    expect(error).toMatchObject({ code: 'GW_STREAM_REFUSED', status });
    expect(error.message).toContain(`status ${status}`);
    expect(error.message).toContain('planned refusal');
    expect(creates()).toBe(1);
    expect(retries).toEqual([]);
  });

  it('such as a call type that does not exist', async () => {
    const error = await errorOf(administration().prepare(USER, { type: 'no-such-type', id: 'room' }));
    expect(error).toMatchObject({ code: 'GW_STREAM_REFUSED', status: 404 });
    expect(error.message).toContain('no-such-type');
  });

  it('such as an invalid user id', async () => {
    const error = await errorOf(administration().prepare({ id: 'sip:ada@x', name: 'Ada' }, ROOM));
    expect(error).toMatchObject({ code: 'GW_STREAM_REFUSED', status: 400 });
  });
});

describe('is cancelled when the caller leaves', () => {
  it('while it waits for a busy Stream', async () => {
    const stream = administration();
    await stream.open();
    const gone = new AbortController();
    rest.failNext({ path: '/call/default/gone', status: 429, times: 99 });
    const creates = counting('POST /api/v2/video/call/:type/:id');
    const preparing = stream.prepare(USER, { type: 'default', id: 'gone' }, gone.signal);
    preparing.catch(() => {});
    await eventually('the first refusal', () => retries.length === 1);
    const begun = time.now();
    gone.abort();
    await expect(preparing).rejects.toBeDefined();
    // It would have waited a second or two, four times.
    expect(time.now() - begun).toBeLessThan(500);
    const asked = creates();
    await sleep(10_000);
    expect(creates()).toBe(asked);
    expect(asked).toBeLessThanOrEqual(2);
  });

  it('while it waits for a response', async () => {
    let requests = 0;
    const server = createServer((request) => {
      requests += 1;
      // No answer comes, and then never will.
      clock.after(200, () => request.socket.destroy());
      gone.abort();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const gone = new AbortController();
    try {
      const { port } = server.address() as AddressInfo;
      const stream = administration({ baseUrl: `http://127.0.0.1:${port}` });
      // Introduced already, as for every call but the first.
      (stream as unknown as { known: Promise<unknown> }).known = Promise.resolve();
      await expect(stream.prepare(USER, ROOM, gone.signal)).rejects.toBeDefined();
      expect(requests).toBe(1);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('before it has started', async () => {
    const stream = administration();
    await stream.open();
    const creates = counting('POST /api/v2/video/call/:type/:id');
    await expect(stream.prepare(USER, ROOM, AbortSignal.abort())).rejects.toBeDefined();
    expect(creates()).toBe(0);
  });
});

describe('a user token', () => {
  it('names its user, start and expiry, and is signed with the secret', async () => {
    const now = Math.floor(time.date().getTime() / 1000);
    const token = await administration({ tokenSeconds: 120 }).token('phone-1');
    const claims = verifyToken(token, rest.apiSecret, now);
    expect(Object.keys(claims).sort()).toEqual(['exp', 'iat', 'user_id']);
    expect(claims.user_id).toBe('phone-1');
    // Set back a little, for clocks that differ.
    expect(claims.iat).toBeLessThan(now);
    expect(claims.iat).toBeGreaterThanOrEqual(now - 10);
    expect((claims.exp as number) - now).toBeGreaterThanOrEqual(120);
    expect((claims.exp as number) - now).toBeLessThanOrEqual(125);
    expect(() => verifyToken(token, 'another-secret')).toThrow('signature');
    expect(() => verifyToken(token, rest.apiSecret, now + 130)).toThrow('expired');
    expect(JSON.stringify(claims)).not.toContain(rest.apiSecret);
  });

  it('is made without a request', async () => {
    const token = await administration({ baseUrl: 'http://127.0.0.1:1' }).token('phone-1');
    expect(verifyToken(token, rest.apiSecret).user_id).toBe('phone-1');
  });
});

describe('keys', () => {
  it('that are valid open the bridge', async () => {
    await administration().open();
  });

  it.each([
    ['API key', { apiKey: 'another-key' }],
    ['secret', { apiSecret: 'another-secret' }],
  ])('are reported as invalid: %s', async (_, wrong) => {
    const upserts = counting(UPSERT);
    const error = await errorOf(administration(wrong).open());
    expect(error).toMatchObject({ code: 'GW_STREAM_KEYS', status: 401 });
    expect(error.message).toContain('STREAM_API_KEY and STREAM_API_SECRET');
    expect(error.message).not.toContain('another-secret');
    // Keys that were never accepted are wrong: the start fails at once.
    expect(upserts()).toBe(1);
    expect(retries).toHaveLength(0);
  });

  it('are not blamed for a failing Stream', async () => {
    rest.failNext({ path: '/users', status: 400 });
    expect((await errorOf(administration().open())).code).toBe('GW_STREAM_REFUSED');
  });
});

describe('a custom event', () => {
  it('is sent as the user', async () => {
    const events = counting('POST /api/v2/video/call/:type/:id/event');
    const stream = administration();
    await stream.prepare({ ...USER, name: 'Phone' }, ROOM);
    await stream.sendEvent(ROOM, USER.id, { type: 'phone.digit', digit: '5', phone: USER.id });
    expect(events()).toBe(1);
  });

  it('that is too large for Stream is rejected, and not retried', async () => {
    const stream = administration();
    await stream.prepare({ ...USER, name: 'Phone' }, ROOM);
    const events = counting('POST /api/v2/video/call/:type/:id/event');
    const error = await errorOf(
      stream.sendEvent(ROOM, USER.id, { type: 'phone.digit', text: 'x'.repeat(6_000) }),
    );
    expect(error).toMatchObject({ code: 'GW_STREAM_REFUSED', status: 400 });
    expect(error.message).toContain('5KB');
    expect(events()).toBe(1);
  });

  it('to an unknown call is rejected', async () => {
    const error = await errorOf(
      administration().sendEvent({ type: 'default', id: 'nowhere' }, USER.id, { type: 'phone.digit' }),
    );
    expect(error).toMatchObject({ code: 'GW_STREAM_REFUSED', status: 404 });
  });
});
