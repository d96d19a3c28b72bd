import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { isNetwork, Strangers } from '../../src/http/strangers.js';
import { PUBLIC_URL, postForm, sign, upgradeStatus, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { KEY, TestLeg } from '../support/leg.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** A raw connection that keeps what it receives. */
class Raw {
  text = '';
  isClosed = false;
  /** Whether all filler was sent. */
  isTaken = false;
  private readonly socket;

  constructor(url: string) {
    this.socket = connect(Number(new URL(url).port), '127.0.0.1');
    this.socket.on('data', (data) => {
      this.text += data.toString('latin1');
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
    });
  }

  send(text: string): this {
    this.socket.write(text);
    return this;
  }

  /** Sends filler as a body. */
  fill(bytes: Uint8Array): this {
    this.socket.write(bytes, (error) => {
      this.isTaken = !error;
    });
    return this;
  }

  get statuses(): string[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => String(status));
  }

  close(): void {
    this.socket.destroy();
  }
}

const ask = (method: string, path: string, ...headers: string[]) =>
  `${[`${method} ${path} HTTP/1.1`, 'host: x', ...headers].join('\r\n')}\r\n\r\n`;

describe('a connection', () => {
  it.each([
    ['figures', ask('GET', '/metrics')],
    ['nothing known', ask('GET', '/none')],
    ['control without its key', ask('GET', '/v1/calls')],
    ['a forged webhook', `${ask('POST', '/twilio/voice', 'content-length: 3')}abc`],
    [
      'a forged media socket',
      ask('GET', '/twilio/media/a/b', 'upgrade: websocket', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='),
    ],
    [
      'a raw leg without its key',
      ask('GET', '/v1/rooms/a/leg', 'upgrade: websocket', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='),
    ],
  ])('that asks for %s 5,000 times at once has at most one handled, and is closed', async (_, one) => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const raw = new Raw(url).send(one.repeat(5_000));
    await eventually('the end', () => raw.isClosed);
    expect(raw.statuses.length).toBeLessThanOrEqual(1);
  });

  it('is closed after a rejection', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    for (const [one, status] of [
      [ask('GET', '/none'), '404'],
      [ask('GET', '/v1/calls'), '401'],
      [ask('PUT', '/health'), '405'],
      [`${ask('POST', '/twilio/voice', 'content-length: 3')}abc`, '415'],
      [ask('GET', '/metrics'), '200'],
      [ask('GET', '/health'), '200'],
    ] as const) {
      const raw = new Raw(url).send(one);
      await eventually('an answer', () => raw.statuses.length === 1);
      expect([raw.statuses, raw.text.toLowerCase()]).toEqual([
        [status],
        expect.stringContaining('connection: close'),
      ]);
      raw.close();
    }
  });

  it('of an authenticated client stays open', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const one = ask('GET', '/v1/calls', `authorization: Bearer ${KEY}`);
    const raw = new Raw(url).send(one);
    await eventually('an answer', () => raw.statuses.length === 1);
    raw.send(one);
    await eventually('another one', () => raw.statuses.length === 2);
    expect(raw.isClosed).toBe(false);
    raw.close();
  });

  it('with two lengths, or one that is no number, is rejected: a proxy may believe the other', async () => {
    const { url } = await startGateway();
    for (const lengths of [['3', '3'], ['3', '5'], ['+3'], ['3, 3']]) {
      const raw = new Raw(url);
      raw.send(`${ask('POST', '/twilio/voice', ...lengths.map((length) => `content-length: ${length}`))}abc`);
      await eventually('an answer', () => raw.statuses.length === 1);
      expect([lengths, raw.statuses]).toEqual([lengths, ['400']]);
      raw.close();
    }
  });

  it('with two lengths becomes no WebSocket', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const headers = [
      `authorization: Bearer ${KEY}`,
      ...['upgrade: websocket', 'connection: upgrade', 'sec-websocket-version: 13'],
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      ...['content-length: 0', 'content-length: 0'],
    ];
    const raw = new Raw(url).send(ask('GET', '/v1/rooms/desk/leg', ...headers));
    await eventually('an answer', () => raw.statuses.length === 1);
    expect(raw.statuses).toEqual(['400']);
    raw.close();
    // It is still there.
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  it('may bring 15 KB of cookies', async () => {
    const { url } = await startGateway();
    const answer = await fetch(`${url}/health`, { headers: { cookie: 'a'.repeat(15_000) } });
    expect(answer.status).toBe(200);
    const more = await fetch(`${url}/health`, { headers: { cookie: 'a'.repeat(17_000) } });
    expect(more.status).toBe(431);
  });
});

describe('a stranger', () => {
  it('over its share waits for a second or two; authenticated clients do not', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const timed = async (path: string, headers: Record<string, string> = {}) => {
      const begun = clock.now();
      const { status } = await fetch(url + path, { headers });
      return { status, ms: clock.now() - begun };
    };
    const all = await Promise.all(Array.from({ length: 150 }, () => timed('/none')));
    const late = all.filter(({ ms }) => ms >= 1_000);
    expect(all.every(({ status }) => status === 404)).toBe(true);
    expect(late.length).toBeGreaterThan(0);
    expect(late.length).toBeLessThanOrEqual(50);
    const [stranger, probe, operator, carrier] = await Promise.all([
      Promise.all(Array.from({ length: 200 }, () => timed('/none'))),
      timed('/ready'),
      timed('/v1/calls', { authorization: `Bearer ${KEY}` }),
      postForm(url, '/twilio/voice', voiceParameters()),
    ]);
    expect(Math.max(...stranger.map(({ ms }) => ms))).toBeGreaterThanOrEqual(1_000);
    expect([probe.status, operator.status, carrier.status]).toEqual([200, 200, 200]);
    // A proxy would consider a node dead that delays /ready.
    expect(Math.max(probe.ms, operator.ms)).toBeLessThan(500);
    await sleep(4_000);
    expect((await timed('/none')).ms).toBeLessThan(500);
  });

  it('is identified by the last line of X-Forwarded-For that its proxy adds', async () => {
    const { url } = await startGateway();
    const timed = async (i: number) => {
      const begun = clock.now();
      const lines = [`x-forwarded-for: 192.0.2.${i}`, 'x-forwarded-for: 198.51.100.1'];
      const raw = new Raw(url).send(ask('GET', '/none', ...lines));
      await eventually('an answer', () => raw.statuses.length === 1, 10_000);
      return clock.now() - begun;
    };
    const times = await Promise.all(Array.from({ length: 150 }, (_, i) => timed(i)));
    expect(times.filter((ms) => ms >= 1_000).length).toBeGreaterThanOrEqual(20);
  });

  it('is nobody with a valid key or signature, even if the socket is rejected', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const timed = async (path: string, headers: Record<string, string>) => {
      const begun = clock.now();
      const { status } = await upgradeStatus(url.replace(/^http/, 'ws') + path, headers);
      return { status, isAtOnce: clock.now() - begun < 900 };
    };
    const media = '/twilio/media/nobody/token';
    const strangers = Promise.all(Array.from({ length: 150 }, () => timed('/v1/rooms/a/leg', {})));
    const known = await Promise.all(
      Array.from({ length: 150 }, (_, i) =>
        i % 2 === 0
          ? timed(media, { 'x-twilio-signature': sign(`${PUBLIC_URL.replace(/^http/, 'ws')}${media}`) })
          : timed('/v1/rooms/a/leg?rate=1', { authorization: `Bearer ${KEY}` }),
      ),
    );
    expect(new Set(known.map(({ status }) => status))).toEqual(new Set([404, 400]));
    expect(known.filter(({ isAtOnce }) => !isAtOnce)).toEqual([]);
    expect((await strangers).filter(({ isAtOnce }) => !isAtOnce).length).toBeGreaterThanOrEqual(20);
  });

  it('that waits is not read meanwhile, whatever body it sends', async () => {
    const { url } = await startGateway();
    const body = Buffer.alloc(24 * 1024 * 1024);
    const raws = Array.from({ length: 130 }, () =>
      new Raw(url).send(ask('POST', '/none', `content-length: ${2 ** 40}`)).fill(body),
    );
    await eventually('all answers', () => raws.every(({ isClosed }) => isClosed));
    expect(raws.filter(({ isTaken }) => isTaken)).toHaveLength(0);
    expect(await (await fetch(`${url}/metrics`)).text()).not.toContain('trunkline_answers_held_total 0\n');
  });

  it('has a larger share of its own for health checks', async () => {
    const { url } = await startGateway();
    const status = async (path: string) => (await fetch(url + path)).status;
    expect(new Set(await Promise.all(Array.from({ length: 150 }, () => status('/health'))))).toEqual(
      new Set([200]),
    );
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('trunkline_answers_held_total 0');
    expect(share(new Strangers(undefined, 500), [203, 0, 113, 1])).toBe(1_000);
  });

  /** As Node writes it: IPv4 mapped into IPv6. */
  const textOf = (peer: number[]) => {
    if (peer.length === 4) return peer.join('.');
    const words = Array.from({ length: 8 }, (_, i) =>
      Buffer.from(peer)
        .readUInt16BE(2 * i)
        .toString(16),
    );
    return words[5] === 'ffff' ? `::ffff:${peer.slice(12).join('.')}` : words.join(':');
  };

  const share = (strangers: Strangers, peer: number[], forwarded = '', now = 0) => {
    let count = 0;
    while (count < 5_000 && strangers.admit(textOf(peer), forwarded, now)) count += 1;
    return count;
  };

  it('has a share of its own, even behind a trusted proxy', () => {
    const strangers = new Strangers();
    const [one, other] = [share(strangers, [203, 0, 113, 1]), share(strangers, [203, 0, 113, 2])];
    expect([one, other, share(strangers, [203, 0, 113, 1])]).toEqual([one, one, 0]);
    const proxy = [10, 0, 0, 7];
    expect(share(strangers, proxy, '198.51.100.1')).toBe(one);
    // Forging the header is no help: the last address is the one the proxy saw.
    expect(share(strangers, proxy, '192.0.2.9, 198.51.100.1')).toBe(0);
    expect(share(strangers, proxy, '198.51.100.1, 10.0.0.8')).toBe(0);
    expect(share(strangers, proxy, '198.51.100.2:1234')).toBe(one);
    expect(share(strangers, proxy, 'unknown')).toBe(one);
    expect(share(strangers, [203, 0, 113, 1], '198.51.100.77')).toBe(0);
  });

  it('has a share of its own behind a proxy on a Unix socket', () => {
    const strangers = new Strangers();
    for (let i = 0; i < 1_000; i++) strangers.admit('', '198.51.100.1', 0);
    expect([strangers.admit('', '198.51.100.1', 0), strangers.admit('', '198.51.100.2', 0)]).toEqual([
      false,
      true,
    ]);
  });

  it('cannot hide in a long list of proxies', () => {
    const strangers = new Strangers();
    const proxies = Array.from({ length: 1_500 }, () => '10.0.0.9').join(', ');
    const one = share(strangers, [10, 0, 0, 7], `198.51.100.1, ${proxies}`);
    expect(one).toBeGreaterThan(0);
    expect(share(strangers, [10, 0, 0, 7], `198.51.100.2, ${proxies}`)).toBe(0);
  });

  it('is an IPv6 network of 64 bits, or an IPv4 address however it is written', () => {
    const strangers = new Strangers();
    const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 1];
    const one = share(strangers, mapped);
    expect(share(strangers, [203, 0, 113, 1])).toBe(0);
    const v6 = (...tail: number[]) => [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...tail];
    expect(share(strangers, v6(0, 1))).toBe(one);
    expect(share(strangers, v6(0, 2))).toBe(0);
    expect(share(strangers, [10, 0, 0, 7], '2001:db8:0:1::9')).toBe(0);
    expect(share(strangers, [10, 0, 0, 7], '[2001:db8:0:2::9]:443')).toBe(one);
  });

  it('is identified by X-Forwarded-For only behind a trusted proxy', () => {
    const strangers = new Strangers(['192.0.2.0/24']);
    const one = share(strangers, [192, 0, 2, 1], '198.51.100.1');
    expect(share(strangers, [10, 0, 0, 1], '198.51.100.2')).toBe(one);
    expect(share(strangers, [10, 0, 0, 1], '198.51.100.3')).toBe(0);
    expect([isNetwork('10.0.0.0/8'), isNetwork('::1'), isNetwork('10.0.0.0/33'), isNetwork('here')]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('costs bounded memory, however many addresses ask', () => {
    const strangers = new Strangers();
    const one = share(strangers, [203, 0, 113, 1]);
    for (let i = 0; i < 10_000; i++) strangers.admit(`20.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, '', 0);
    expect(share(strangers, [203, 0, 113, 1])).toBe(one);
  });
});

describe('a known path', () => {
  it('answers HEAD as GET, without the body', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    for (const path of ['/health', '/ready', '/metrics', '/dashboard']) {
      const raw = new Raw(url).send(ask('HEAD', path));
      await eventually('an answer', () => raw.statuses.length === 1);
      expect([path, raw.statuses]).toEqual([path, ['200']]);
      expect(Number(/content-length: (\d+)/i.exec(raw.text)?.[1])).toBeGreaterThan(10);
      expect(raw.text.endsWith('\r\n\r\n')).toBe(true);
    }
    const headers = { authorization: `Bearer ${KEY}` };
    const events = await fetch(`${url}/v1/events`, { method: 'HEAD', headers });
    expect([events.status, events.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  });

  it('lists its methods: 405 with Allow, and OPTIONS', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const headers = { authorization: `Bearer ${KEY}` };
    for (const [path, allow] of [
      ['/health', 'OPTIONS, GET, HEAD'],
      ['/twilio/voice', 'OPTIONS, POST'],
      ['/v1/calls/abc', 'OPTIONS, GET, HEAD, DELETE'],
    ] as const) {
      const other = await fetch(url + path, { method: 'PUT', headers });
      expect([other.status, other.headers.get('allow')]).toEqual([405, allow]);
      expect(await other.json()).toMatchObject({ error: { code: 'GW_METHOD_NOT_ALLOWED' } });
      const options = await fetch(url + path, { method: 'OPTIONS', headers });
      expect([options.status, options.headers.get('allow')]).toEqual([204, allow]);
    }
    // Without the key, nobody learns which paths exist.
    expect((await fetch(`${url}/v1/calls`, { method: 'PUT' })).status).toBe(401);
  });
});

describe('operators', () => {
  it('may have a port of their own: the other then answers carriers only', async () => {
    const { url, operationsUrl } = await startGateway({ controlApiKey: KEY, operationsPort: 0 });
    const headers = { authorization: `Bearer ${KEY}` };
    for (const path of ['/health', '/ready', '/metrics', '/dashboard', '/v1/calls']) {
      const [carriers, operators] = await Promise.all([
        fetch(url + path, { headers }),
        fetch(operationsUrl + path, { headers }),
      ]);
      expect([path, carriers.status, operators.status]).toEqual([path, 404, 200]);
    }
    const webhook = (to: string) => postForm(to, '/twilio/voice', voiceParameters());
    expect([(await webhook(url)).status, (await webhook(operationsUrl)).status]).toEqual([200, 404]);
    const leg = await TestLeg.join(operationsUrl, 'desk');
    leg.close();
  });

  it('read /metrics with its key if it has one', async () => {
    const key = 'a key for the figures';
    const { url } = await startGateway({ metricsApiKey: key });
    const status = async (authorization?: string) =>
      (await fetch(`${url}/metrics`, { headers: authorization === undefined ? {} : { authorization } }))
        .status;
    expect([await status(), await status('Bearer another'), await status(`Bearer ${key}`)]).toEqual([
      401, 401, 200,
    ]);
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  it('share one page of metrics a second, however many ask', async () => {
    const { url } = await startGateway();
    const read = async () => (await fetch(`${url}/metrics`)).text();
    const [first, second] = await Promise.all([read(), read()]);
    expect(second).toBe(first);
    await sleep(1_000);
    // CPU time at least has increased.
    expect(await read()).not.toBe(first);
  });
});
