import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { beforeAll, expect, it } from 'vitest';
import { freePort } from '../../support/port.js';
import { frame } from './frames.js';
import { RawClient, request } from './raw-client.js';
import { newKey, overTransports, TransportServer } from './transport-server.js';

function isBefore(version: string, major: number, minor: number): boolean {
  const [ours = 0, theirs = 0] = version.slice(1).split('.').map(Number);
  return ours < major || (ours === major && theirs < minor);
}

overTransports((server) => {
  let ports = 0;
  /** Another port of the same server. */
  const listening = async (wish: Readonly<Record<string, unknown>> = {}) => {
    ports += 1;
    const name = `port ${ports}`;
    const { port } = await server.tell('listen', { port: name, ...wish });
    return { name, port: port as number };
  };
  const isServed = async (client: RawClient) => {
    client.send(request('GET', '/echo'));
    return (await client.answer()).status === 200;
  };
  const echoes = async (client: RawClient, text: string) => {
    client.send(frame('text', text));
    return (await client.message()).payload.toString() === text;
  };
  const isRefused = async (port: number) => {
    const socket = connect(port, '127.0.0.1');
    const [error] = await Promise.race([once(socket, 'connect'), once(socket, 'error')]).catch((e) => [e]);
    socket.destroy();
    return error?.code === 'ECONNREFUSED';
  };

  it('listens on the port it is given, and on a free one for 0', async () => {
    const number = await freePort();
    expect(await listening({ number })).toMatchObject({ port: number });
    const [one, two] = [await listening(), await listening()];
    expect(new Set([one.port, two.port, 0]).size).toBe(3);
    for (const { port } of [one, two]) expect(await isServed(await RawClient.connect(port))).toBe(true);
  });

  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '0.0.0.0'],
    ['0.0.0.0', '0.0.0.0'],
  ])('says that a port is taken (%s, then %s)', async (first, second) => {
    const { port } = await listening({ host: first });
    const again = listening({ host: second, number: port });
    await expect(again).rejects.toMatchObject({
      code: 'GW_LISTEN_FAILED',
      message: expect.stringContaining(`${second}:${port}`),
    });
    const elsewhere = new TransportServer(server.name);
    await elsewhere.start();
    try {
      const theirs = elsewhere.tell('listen', { port: 'other', host: second, number: port });
      await expect(theirs).rejects.toMatchObject({ code: 'GW_LISTEN_FAILED' });
    } finally {
      await elsewhere.stop();
    }
    expect(await isServed(await RawClient.connect(port))).toBe(true);
  });

  it.each(['192.0.2.1', 'no.such.host.invalid'])('says that it cannot listen at %s', async (host) => {
    await expect(listening({ host })).rejects.toMatchObject({ code: 'GW_LISTEN_FAILED' });
  });

  it.each([
    ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1', '127.0.0.1'],
    ['::1', '::1', '::1'],
    ['::', '127.0.0.1', '127.0.0.1'],
    ['::', '::1', '::1'],
  ])('on %s it knows a client from %s as %s', async (host, from, peer) => {
    const { port } = await listening({ host });
    const client = await RawClient.sending(port, request('GET', '/echo'), { host: from });
    expect(JSON.parse((await client.answer()).body).peer).toBe(peer);
  });

  it('cuts all that is connected when it closes, and takes nobody any more', async () => {
    const { name, port } = await listening();
    const [idle, kept, asking] = [
      await RawClient.connect(port),
      await RawClient.connect(port),
      await RawClient.connect(port),
    ];
    await isServed(kept);
    const [key, socketKey] = [newKey(), newKey()];
    asking.send(request('GET', `/answer?hold&k=${key}`));
    await server.event('asked', key);
    const socket = await RawClient.webSocket(port, `/ws/room?k=${socketKey}`);
    await server.event('open', socketKey);
    await server.tell('close', { port: name });
    for (const client of [idle, kept, asking, socket]) await client.cut();
    await server.event('gone', key);
    await server.event('closed', socketKey);
    expect(server.of('closed', socketKey)).toMatchObject([{ code: 1006 }]);
    expect(server.of('gone', key)).toHaveLength(1);
    expect(await isRefused(port)).toBe(true);
  });

  it('may be closed twice, and left afterwards', async () => {
    const { name, port } = await listening();
    for (const op of ['close', 'close', 'leave', 'leave', 'close']) await server.tell(op, { port: name });
    expect(await isRefused(port)).toBe(true);
    const { port: other } = await listening();
    expect(await isServed(await RawClient.connect(other))).toBe(true);
  });

  it('leaves its port: nobody new comes, and what is connected goes on', async () => {
    const { name, port } = await listening();
    const [idle, kept, asking] = [
      await RawClient.connect(port),
      await RawClient.connect(port),
      await RawClient.connect(port),
    ];
    await isServed(kept);
    const key = newKey();
    asking.send(request('GET', `/answer?hold&k=${key}`));
    await server.event('asked', key);
    const socket = await RawClient.webSocket(port, '/ws/room?echo');
    await server.tell('leave', { port: name });
    expect(await isRefused(port)).toBe(true);
    expect(await isServed(idle)).toBe(true);
    expect(await isServed(kept)).toBe(true);
    expect(await isServed(kept)).toBe(true);
    await server.tell('answer', { key, text: 'later' });
    expect((await asking.answer()).body).toBe('later');
    expect(await echoes(socket, 'hello')).toBe(true);
    // Still a port: a WebSocket may start on an open connection.
    await server.tell('leave', { port: name });
    await server.tell('close', { port: name });
    for (const client of [idle, kept, asking, socket]) await client.cut();
  });

  it('shares its port, and leaves it to the other one, or says that this Node cannot', async () => {
    const number = await freePort();
    if (server.name === 'node' && isBefore(server.node, 22, 12)) {
      await expect(listening({ number, isShared: true })).rejects.toMatchObject({
        code: 'GW_LISTEN_FAILED',
        message: expect.stringContaining('Node 22.12'),
      });
      return;
    }
    const { name, port } = await listening({ number, isShared: true });
    const kept = await RawClient.webSocket(port, '/ws/room?echo');
    const other = new TransportServer(server.name);
    await other.start();
    try {
      await other.tell('listen', { port: 'shared', number: port, isShared: true });
      await server.tell('leave', { port: name });
      const key = newKey();
      for (let n = 0; n < 20; n++) {
        const client = await RawClient.sending(port, request('GET', `/echo?k=${key}`));
        expect((await client.answer()).status).toBe(200);
      }
      await other.settled();
      expect(other.of('asked', key)).toHaveLength(20);
      expect(await echoes(kept, 'still here')).toBe(true);
    } finally {
      await other.stop();
    }
  });

  it('gives its port to another one once it has left', async () => {
    const { name, port } = await listening({ number: await freePort() });
    const socket = await RawClient.webSocket(port, '/ws/room?echo');
    await server.tell('leave', { port: name });
    expect(await listening({ number: port })).toMatchObject({ port });
    expect(await isServed(await RawClient.connect(port))).toBe(true);
    expect(await echoes(socket, 'hello')).toBe(true);
  });

  it('while few descriptors are left, the oldest who only wait make room for the newest', async () => {
    const seats = 8;
    const { name, port } = await listening({ seats });
    const before = await RawClient.webSocket(port, '/ws/room?echo');
    await server.tell('crowded', { port: name, isCrowded: true });
    const idle: RawClient[] = [];
    for (let n = 0; n < 6 * seats; n++) {
      const client = await RawClient.connect(port);
      // Served, so it is known to be there.
      expect(await isServed(client)).toBe(true);
      idle.push(client);
    }
    await server.settled();
    const stayed = idle.filter(({ isCut }) => !isCut);
    expect(stayed.length).toBeGreaterThanOrEqual(seats);
    expect(stayed.length).toBeLessThanOrEqual(3 * seats);
    expect(stayed.slice(-seats)).toEqual(idle.slice(-seats));
    expect(await echoes(before, 'a call')).toBe(true);
    const during = await RawClient.webSocket(port, '/ws/room?echo');
    for (let n = 0; n < 6 * seats; n++) expect(await isServed(await RawClient.connect(port))).toBe(true);
    expect(await echoes(during, 'another call')).toBe(true);
    await server.tell('crowded', { port: name, isCrowded: false });
    const after: RawClient[] = [];
    for (let n = 0; n < 6 * seats; n++) after.push(await RawClient.connect(port));
    for (const client of after) expect(await isServed(client)).toBe(true);
    expect(await echoes(before, 'still')).toBe(true);
  });

  describeCertificates(server);
});

/** Https and wss, and their certificates. */
function describeCertificates(server: TransportServer): void {
  const files = (name: string) => ({ certFile: `${name}.pem`, keyFile: `${name}.key.pem` });
  const inside = (name: string) => {
    const { certFile, keyFile } = files(name);
    return { certFile: server.inside(certFile), keyFile: server.inside(keyFile) };
  };
  const make = (name: string) => {
    const { certFile, keyFile } = files(name);
    const to = ['-keyout', server.outside(keyFile), '-out', server.outside(certFile)];
    const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', ...kind, '-days', '2', ...subject, ...to], { stdio: 'ignore' });
  };
  const caOf = (name: string) => readFileSync(server.outside(files(name).certFile), 'utf8');
  /** The common name of the certificate that a new connection gets. */
  const nameAt = async (port: number, servername: string) => {
    const socket = connectSecurely({ port, host: '127.0.0.1', servername, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return subject.CN;
  };
  let listened = 0;
  const secure = async (name: string) => {
    listened += 1;
    const port = `secure ${listened}`;
    const { port: number } = await server.tell('listen', { port, tls: inside(name) });
    return { port, number: number as number };
  };

  beforeAll(() => {
    make('first');
    make('second');
  });

  it('serves https and wss', async () => {
    const { number } = await secure('first');
    const client = await RawClient.sending(number, request('POST', '/body', [], 'x'.repeat(100_000)), {
      ca: caOf('first'),
    });
    expect(JSON.parse((await client.answer()).body)).toMatchObject({ size: 100_000 });
    client.send(request('GET', '/answer?size=3000000'));
    expect((await client.answer()).body).toHaveLength(3_000_000);
    const socket = await RawClient.webSocket(number, '/ws/room?echo', [], { ca: caOf('first') });
    socket.send(frame('text', 'x'.repeat(200_000)));
    expect((await socket.message()).payload).toHaveLength(200_000);
  });

  it('cuts a secure peer that does not read at the same bound', async () => {
    const { number } = await secure('first');
    const key = newKey();
    const client = await RawClient.webSocket(number, `/ws/room?k=${key}`, [], { ca: caOf('first') });
    await server.event('open', key);
    client.pause();
    const { isSent } = await server.tell('send', { key, size: 10_000, untilDropped: true });
    expect(isSent).toBe(false);
    await server.event('closed', key);
    expect(server.of('closed', key)).toMatchObject([{ code: 1006 }]);
  });

  it('outlives what is no TLS, and a client that goes in the middle of its greeting', async () => {
    const { number } = await secure('first');
    const plain = await RawClient.sending(number, request('GET', '/echo'));
    await plain.cut();
    const greeting = await RawClient.sending(number, Buffer.from([0x16, 3, 1, 2, 0, 1, 0]));
    greeting.reset();
    expect(await nameAt(number, 'localhost')).toBe('first');
  });

  it('gives a renewed certificate to new connections, and those that are there keep theirs', async () => {
    const { certFile, keyFile } = files('live');
    make('live');
    const { port, number } = await secure('live');
    const ca = caOf('live');
    const socket = await RawClient.webSocket(number, '/ws/room?echo', [], { ca });
    const kept = await RawClient.sending(number, request('GET', '/echo'), { ca });
    await kept.answer();
    expect(await server.tell('renew', { port, tls: inside('live') })).toMatchObject({ isNew: false });
    copyFileSync(server.outside(files('second').certFile), server.outside(certFile));
    copyFileSync(server.outside(files('second').keyFile), server.outside(keyFile));
    expect(await server.tell('renew', { port, tls: inside('live') })).toMatchObject({ isNew: true });
    // Whatever name is asked for, and none.
    for (const name of ['localhost', 'other.example', '']) expect(await nameAt(number, name)).toBe('second');
    expect(await server.tell('renew', { port, tls: inside('live') })).toMatchObject({ isNew: false });
    kept.send(request('GET', '/echo'));
    expect((await kept.answer()).status).toBe(200);
    socket.send(frame('text', 'still here'));
    expect((await socket.message()).payload.toString()).toBe('still here');
    const key = newKey();
    const fresh = await RawClient.webSocket(number, `/ws/room?echo&k=${key}`, [], { ca: caOf('second') });
    fresh.send(frame('text', 'renewed'));
    expect((await fresh.message()).payload.toString()).toBe('renewed');
    await server.tell('close', { port });
    for (const client of [socket, kept, fresh]) await client.cut();
  });

  it.each([
    ['no file', () => ({ ...inside('first'), keyFile: server.inside('nowhere.pem') }), 'nowhere.pem'],
    ['no certificate', () => ({ ...inside('first'), certFile: server.inside('text.pem') }), 'text.pem'],
    ['no key', () => ({ ...inside('first'), keyFile: server.inside('text.pem') }), 'text.pem'],
    [
      "another one's key",
      () => ({ ...inside('first'), keyFile: inside('second').keyFile }),
      'second.key.pem',
    ],
  ])('says what is wrong with %s, and a renewal changes nothing then', async (_, wrong, file) => {
    writeFileSync(server.outside('text.pem'), 'nothing of the kind\n');
    const fails = { code: 'GW_TLS_FILE', message: expect.stringContaining(file) };
    await expect(server.tell('listen', { port: 'wrong', tls: wrong() })).rejects.toMatchObject(fails);
    const { port, number } = await secure('first');
    await expect(server.tell('renew', { port, tls: wrong() })).rejects.toMatchObject(fails);
    expect(await nameAt(number, 'localhost')).toBe('first');
  });
}
