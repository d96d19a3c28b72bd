import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { Account } from '../../bench/capacity/account.js';
import { BenchCertificate } from '../../bench/capacity/bench-certificate.js';
import { Generator, GeneratorProgram, type Order, wordsOf } from '../../bench/capacity/generator.js';
import { createGateway, type Gateway } from '../../src/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { needs } from '../support/needs.js';
import { eventually } from '../support/time.js';

/** Of the audio sent. */
const MOST_CHANGED = 0.15;

const speaksTls = needs(
  'libssl-dev and openssl',
  'apt-get install libssl-dev openssl',
  () => GeneratorProgram.speaksTls() && BenchCertificate.isPossible(),
);
const runs = needs('Linux and a compiler', 'apt-get install g++', () => GeneratorProgram.isPossible());

describe.runIf(runs)("the capacity bench's generator", () => {
  let program: GeneratorProgram;
  const running: (() => unknown)[] = [];
  beforeAll(() => {
    program = GeneratorProgram.compile([
      '-O1',
      '-g',
      '-fsanitize=address,undefined',
      '-fno-sanitize-recover=all',
    ]);
  }, 60_000);
  afterEach(async () => {
    for (const end of running.splice(0).reverse()) await end();
  });
  afterAll(() => program?.remove());

  async function start(phones: number, ciphers?: string): Promise<Generator> {
    const generator = await Generator.start(program, phones, undefined, ciphers);
    running.push(() => generator.kill());
    return generator;
  }

  async function openUdp(): Promise<Socket> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    running.push(() => socket.close());
    return socket;
  }

  async function freeUdpPort(): Promise<number> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    socket.close();
    await once(socket, 'close');
    return port;
  }

  async function startGateway(tls?: BenchCertificate): Promise<{ gateway: Gateway; account: Account }> {
    const gateway = createGateway({
      ...Account.gatewayOptions,
      ...(tls === undefined ? {} : { tls }),
      maxCpuPercent: 0,
      port: 0,
      logLevel: 'silent',
    });
    running.push(() => gateway.close());
    const { url } = await gateway.listen();
    return { gateway, account: new Account(url, tls && readFileSync(tls.certFile, 'utf8')) };
  }

  it('drives twenty calls and gets all their frames back', async () => {
    const { gateway, account } = await startGateway();
    const generator = await start(20);
    const placed = await account.placeMany(20, 200, (order) => generator.call(order));
    expect(placed).toMatchObject({ admitted: 20, busy: 0, errors: [] });
    expect(await generator.connected(20)).toMatchObject({ streaming: 20, failed: 0, lost: 0 });
    expect(await generator.settle()).toEqual({ lost: 0, quiet: true });
    await generator.hold();
    await pause(1_000);
    const report = await generator.endHold();
    const { sent, heldMs } = report;
    // Two frames of each call are the difference that the edges of the hold may make.
    expect(Math.abs(sent - 20 * (heldMs / 20))).toBeLessThanOrEqual(40);
    expect(report).toMatchObject({ received: sent - report.missing, discarded: 0 });
    // After hiccups of a busy machine the gateway puts in sound, or shortens words.
    expect(report.missing + report.unexpected).toBeLessThanOrEqual(MOST_CHANGED * sent);
    expect(report).toMatchObject({ streaming: 20, failed: 0, lost: 0, firstError: '' });
    expect(report.roundTrip.count).toBe(report.received);
    expect(report.lateness.count).toBe(sent);
    expect(report.roundTrip.p50Ms).toBeGreaterThan(0);
    expect(report.roundTrip.p50Ms).toBeLessThanOrEqual(report.roundTrip.p99Ms);
    expect(report.cpu).toBeGreaterThan(0);
    await generator.stop();
    await eventually('all calls to end', () => gateway.stats().activeCalls === 0);
    const { traffic } = gateway.stats();

    expect(traffic).toMatchObject({ badMessages: 0, slowMessages: 0 });
    expect(traffic.framesIn).toBeGreaterThanOrEqual(sent);
  });

  describe.runIf(speaksTls)('over TLS', () => {
    it.each([
      ['TLS_AES_128_GCM_SHA256', 'TLSv1.3 TLS_AES_128_GCM_SHA256'],
      ['TLS_CHACHA20_POLY1305_SHA256', 'TLSv1.3 TLS_CHACHA20_POLY1305_SHA256'],
      ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256'],
    ])('drives calls with %s and gets their frames back', async (ciphers, agreed) => {
      const certificate = new BenchCertificate();
      running.push(() => certificate.remove());
      const { gateway, account } = await startGateway(certificate);
      const generator = await start(5, ciphers);
      const placed = await account.placeMany(5, 100, (order) => generator.call(order));
      expect(placed).toMatchObject({ admitted: 5, busy: 0, errors: [] });
      expect(await generator.connected(5)).toMatchObject({
        streaming: 5,
        failed: 0,
        lost: 0,
        firstError: '',
      });
      expect(await generator.settle()).toEqual({ lost: 0, quiet: true });
      await generator.hold();
      await pause(500);
      const report = await generator.endHold();
      expect(report).toMatchObject({ tls: agreed, discarded: 0, streaming: 5, failed: 0, lost: 0 });
      expect(report.received).toBe(report.sent - report.missing);
      expect(report.missing + report.unexpected).toBeLessThanOrEqual(MOST_CHANGED * report.sent);
      await generator.stop();
      await eventually('all calls to end', () => gateway.stats().activeCalls === 0);
      expect(gateway.stats().traffic).toMatchObject({ badMessages: 0, slowMessages: 0 });
    });

    it('counts the calls to a server that speaks none, and says so', async () => {
      const { account } = await startGateway();
      const generator = await start(1);
      generator.call({ ...((await account.place()) as Order), isSecure: true });
      const progress = await generator.connected(1);
      expect(progress).toMatchObject({ streaming: 0, failed: 1, lost: 0 });
      expect(progress.firstError).toContain('TLS: wrong version number');
    });

    it('exits with the name of a cipher that there is not', async () => {
      const child = spawn(program.path, [program.audio, '1', 'TLS_NONE'], { stdio: 'ignore' });
      const [code] = await once(child, 'exit');
      expect(code).toBe(1);
    });
  });

  it('counts the calls whose signature is refused', async () => {
    const { account } = await startGateway();
    const generator = await start(4);
    generator.call((await account.place()) as Order);
    for (let i = 0; i < 3; i++) generator.call((await account.place('another token')) as Order);
    const progress = await generator.connected(4);
    expect(progress).toMatchObject({ streaming: 1, failed: 3, lost: 0 });
    expect(progress.firstError).toContain('403');
  });

  it('counts the calls that the server ends', async () => {
    const { gateway, account } = await startGateway();
    const generator = await start(3);
    await account.placeMany(3, 100, (order) => generator.call(order));
    await generator.connected(3);
    await gateway.close();
    await eventually('lost calls', () => generator.progress.lost === 3);
    expect(generator.progress).toMatchObject({ streaming: 0, failed: 0 });
    expect(generator.progress.firstError).toContain('closed by the server');
  });

  it("writes Twilio's messages, answers pings, and counts missing echoes", async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    running.push(() => server.close());
    await once(server, 'listening');
    const messages: Record<string, unknown>[] = [];
    const pongs: string[] = [];
    let closedWith = 0;
    server.on('connection', (socket) => {
      socket.on('message', (data) => messages.push(JSON.parse(String(data))));
      socket.on('pong', (data) => pongs.push(String(data)));
      socket.on('close', (code) => {
        closedWith = code;
      });
      socket.ping('are you there');
    });
    const generator = await start(1);
    generator.call({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      path: '/media',
      publicHost: 'gateway.invalid',
      signature: 'none',
      callSid: 'CA1',
      accountSid: 'AC1',
      streamSid: 'MZ1',
    });
    await generator.connected(1);
    await generator.hold();
    await pause(300);
    const report = await generator.endHold();
    expect(report.sent).toBeGreaterThan(10);
    expect(report).toMatchObject({ received: 0, missing: report.sent, streaming: 1 });
    await generator.stop();
    await eventually('a close', () => closedWith !== 0);
    expect(closedWith).toBe(1000);
    expect(pongs).toEqual(['are you there']);

    const [connected, begun, ...rest] = messages;
    const stop = rest.pop();
    expect(connected).toEqual({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
    const sids = { accountSid: 'AC1', callSid: 'CA1', streamSid: 'MZ1' };
    expect(begun).toEqual({
      event: 'start',
      sequenceNumber: '1',
      streamSid: 'MZ1',
      start: { ...sids, tracks: ['inbound'], mediaFormat, customParameters: {} },
    });
    const first = Number((rest[0] as { media: { timestamp: string } }).media.timestamp);
    expect(first).toBeLessThan(1_000);
    const payloads = wordsOf(AudioSource.speech());
    expect(payloads.length).toBeGreaterThan(200);
    expect(rest).toEqual(
      rest.map((_, i) => ({
        event: 'media',
        sequenceNumber: String(i + 2),
        media: {
          track: 'inbound',
          chunk: String(i + 1),
          timestamp: String(first + 20 * i),
          payload: payloads[i],
        },
        streamSid: 'MZ1',
      })),
    );
    expect(stop).toEqual({
      event: 'stop',
      sequenceNumber: String(rest.length + 2),
      streamSid: 'MZ1',
      stop: { accountSid: 'AC1', callSid: 'CA1' },
    });
  });

  it('echoes marks when they were played, and does not count silence as an echo', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    running.push(() => server.close());
    await once(server, 'listening');
    const marks: unknown[] = [];
    server.on('connection', (socket) => {
      const send = (message: object) => socket.send(JSON.stringify({ ...message, streamSid: 'MZ1' }));
      const say = (payload: string) =>
        socket.send(`{"event":"media","streamSid":"MZ1","media":{"payload":"${payload}"}}`);
      socket.on('message', (data) => {
        const { event, media, mark } = JSON.parse(String(data));
        if (event === 'mark') marks.push(mark.name);
        if (event !== 'media') return;
        say(AudioSource.silence().payloads[0] as string);
        say(media.payload);
        if (media.chunk === '3') send({ event: 'mark', mark: { name: 'three' } });
      });
    });
    const generator = await start(1);
    generator.call({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      path: '/media',
      publicHost: 'gateway.invalid',
      signature: 'none',
      callSid: 'CA1',
      accountSid: 'AC1',
      streamSid: 'MZ1',
    });
    await generator.connected(1);
    await generator.hold();
    await eventually('the mark', () => marks.length > 0);
    const report = await generator.endHold();
    expect(report).toMatchObject({ received: report.sent, missing: 0, unexpected: 0 });
    // Three frames and as many of silence before it.
    expect(report.sent).toBeGreaterThanOrEqual(6);
    expect(marks).toEqual(['three']);
  });

  it('speaks RTP through a media proxy, and takes what comes back for its echoes', async () => {
    const [forNear, forFar] = [await openUdp(), await openUdp()];
    const [near, far] = [await freeUdpPort(), await freeUdpPort()];
    const packets: Buffer[] = [];
    const senders = new Set<number>();
    forNear.on('message', (packet) => {
      packets.push(packet);
      forFar.send(packet, far, '127.0.0.1');
    });
    forFar.on('message', (packet) => {
      senders.add(packet.readUInt32BE(8));
      forNear.send(packet, near, '127.0.0.1');
    });
    const generator = await Generator.startRtp(program, 1);
    running.push(() => generator.kill());
    generator.callRtp({
      near,
      proxyForNear: forNear.address().port,
      far,
      proxyForFar: forFar.address().port,
    });
    expect(await generator.connected(1)).toMatchObject({ streaming: 1, failed: 0, firstError: '' });
    expect(await generator.settle()).toEqual({ lost: 0, quiet: true });
    await generator.hold();
    await pause(300);
    const report = await generator.endHold();
    expect(report).toMatchObject({ received: report.sent, missing: 0, discarded: 0, unexpected: 0 });
    expect(report.sent).toBeGreaterThan(10);
    await generator.stop();

    const words = wordsOf(AudioSource.speech());
    const sender = packets[0]?.readUInt32BE(8) as number;
    const header = (i: number) => {
      const bytes = Buffer.alloc(12);
      bytes[0] = 0x80;
      bytes.writeUInt16BE(i, 2);
      bytes.writeUInt32BE(160 * i, 4);
      bytes.writeUInt32BE(sender, 8);
      return bytes;
    };
    expect(packets).toEqual(
      packets.map((_, i) => Buffer.concat([header(i), Buffer.from(words[i] as string, 'base64')])),
    );
    expect(senders.size).toBe(1);
    expect(senders).not.toContain(sender);
  });

  it('counts a call whose RTP port is taken', async () => {
    const taken = (await openUdp()).address().port;
    const generator = await Generator.startRtp(program, 1);
    running.push(() => generator.kill());
    generator.callRtp({ near: taken, proxyForNear: taken, far: taken, proxyForFar: taken });
    const progress = await generator.connected(1);
    expect(progress).toMatchObject({
      streaming: 0,
      failed: 1,
      firstError: 'no socket: Address already in use',
    });
  });

  it('ends with its standard input', async () => {
    const child = spawn(program.path, [program.audio, '1'], { stdio: ['pipe', 'pipe', 'inherit'] });
    running.push(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    child.stdin.end();
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
  });
});
