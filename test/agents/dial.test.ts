import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import type { AgentCall, AgentHandler } from '../../src/agents/index.js';
import { AudioSource, type SimulatedPhone, writeWav } from '../../src/simulator/index.js';
import {
  APOLOGY,
  bytesOf,
  CALL,
  closers,
  heardDb,
  isHearing,
  LEVEL,
  SECRET,
  saysTone,
  serve,
  serveRaw,
  serveSocket,
  startWithAgent,
} from '../support/agent.js';
import { tone, usualAmplitude } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** A caller hears an apology at most so long after the agent is gone. */
const APOLOGY_MS = 5_000;

describe('a gateway with an agent', () => {
  it('dials it for each call; both hear each other, and marks say how much was heard', async () => {
    const calls: AgentCall[] = [];
    const heard: Int16Array[] = [];
    const server = await serve((call) => {
      calls.push(call);
      call.on('audio', (pcm) => heard.push(pcm.slice()));
      saysTone()(call);
    });
    const { gateway, place } = await startWithAgent(server.url);
    const phone = await place(AudioSource.tone(1_000));
    await eventually('speech', () => isHearing(phone));
    await sleep(1_500);
    const [call] = calls as [AgentCall];
    expect(calls).toHaveLength(1);
    expect(call.facts).toEqual({
      callId: gateway.calls.listActive()[0]?.callId,
      callSid: phone.callSid,
      accountSid: expect.stringMatching(/^AC/),
      direction: 'inbound',
      from: CALL.from,
      to: CALL.to,
      room: `call:${call.facts?.callId}`,
      startedAt: gateway.calls.listActive()[0]?.startedAt.toISOString(),
      connection: 1,
    });
    expect(heard.length).toBeGreaterThan(50);
    expect(new Set(heard.map(({ length }) => length))).toEqual(new Set([call.rate / 50]));
    const last = new Int16Array(16_000 / 5);
    for (const [i, frame] of heard.slice(-10).entries()) last.set(frame, i * frame.length);
    expect(usualAmplitude(1_000, 16_000, last)).toBeGreaterThan(1_000);
    expect(call.sentMs).toBe(1_000);
    expect(await call.mark('said')).toEqual({ place: 'heard', playedMs: 1_000 });
    phone.hangUp();
    await eventually('the end', () => call.isClosed);
    expect((await phone.ended).said).toEqual([]);
  });

  it('signs the facts and traces the connection, in headers that any agent can check', async () => {
    const requests: IncomingHttpHeaders[] = [];
    const http = createHttpServer();
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket, { headers }) => {
      requests.push(headers);
      if (requests.length === 1) socket.close(1011);
    });
    const url = await serveRaw(http);
    const { place } = await startWithAgent(url, {
      agents: { secret: SECRET },
      prepareCall: () => ({ agent: { to: url, parameters: { team: 'Größe' } } }),
    });
    await place();
    await eventually('two connections', () => requests.length === 2);
    const parts = requests.map((headers) => {
      const call = headers['trunkline-call'] as string;
      expect(call).toMatch(/^[\x20-\x7e]+$/);
      const signed = headers as Record<string, string>;
      const facts = new Webhook(Buffer.from(SECRET).toString('base64')).verify(call, signed);
      expect(facts).toMatchObject({ parameters: { team: 'Größe' } });
      expect(headers['sec-websocket-protocol']).toBe('trunkline.leg');
      expect(headers['sec-websocket-extensions']).toBeUndefined();
      const trace = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(headers.traceparent as string);
      return {
        connection: (facts as { connection: number }).connection,
        trace: trace?.[1],
        span: trace?.[2],
      };
    });
    expect(parts.map(({ connection }) => connection)).toEqual([1, 2]);
    expect(parts[0]?.trace).toBe(parts[1]?.trace);
    expect(parts[0]?.span).not.toBe(parts[1]?.span);
  });

  it('connects no agent that checks another secret: the caller hears the apology at once', async () => {
    const server = await serve(() => {}, { secret: `another-${SECRET}` });
    const { place } = await startWithAgent(server.url, { agents: { secret: SECRET } });
    const phone = await place();
    const began = clock.now();
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    expect(clock.now() - began).toBeLessThan(1_000);
    expect(server.calls).toBe(0);
  });

  it('plays ringback until the agent is there, and keeps what the caller says meanwhile', async () => {
    const handler: AgentHandler = (call) => {
      call.on('audio', (pcm) => heard.push(pcm.slice()));
      saysTone()(call);
    };
    const heard: Int16Array[] = [];
    // Its port is known, but nobody listens for 1.5 s.
    const { port } = await serve(() => {}).then(async (server) => {
      await server.close();
      return server;
    });
    const { place } = await startWithAgent(`ws://127.0.0.1:${port}`);
    const phone = await place(AudioSource.tone(1_000));
    const began = clock.now();
    await sleep(1_500);
    expect(isHearing(phone)).toBe(true);
    await serve(handler, { port });
    await eventually('the agent', () => heard.length > 0);
    // It is dialled again and again, after pauses of random lengths.
    const at = clock.now() - began;
    // At once: what was said before.
    expect(heard.length * 20).toBeGreaterThan(1_000);
    await sleep(2_000);
    const begins = heard.findIndex((frame) => frame.some((sample) => Math.abs(sample) > 2_000));
    expect(begins).toBeLessThan(10);
    expect(heardDb(phone, 440, 700, 1_300)).toBeGreaterThan(-20);
    expect(heardDb(phone, 700, at + 400, at + 800)).toBeGreaterThan(-3);
    expect(heardDb(phone, 440, at + 400, at + 800)).toBeLessThan(-30);
  });

  it.each(['silence', 'ringback'])(
    '%s is what a caller hears until then, if a decision says so',
    async (ring) => {
      const url = await serveRaw(createServer());
      const { place } = await startWithAgent(undefined, {
        prepareCall: () => ({ agent: { to: url, ring } }),
      });
      const phone = await place();
      await sleep(1_500);
      expect(isHearing(phone)).toBe(ring === 'ringback');
    },
  );

  it('plays a file until the agent is there, or ringback if there is no such file', async () => {
    const playDir = mkdtempSync(join(tmpdir(), 'trunkline-ring-'));
    closers.push(() => rmSync(playDir, { recursive: true }));
    writeWav(join(playDir, 'ring.wav'), tone(1_500, 8_000, 8_000, LEVEL));
    const url = await serveRaw(createServer());
    for (const [file, hz] of [
      ['ring.wav', 1_500],
      ['none.wav', 440],
    ] as const) {
      const { place } = await startWithAgent(url, { playDir, agents: { ring: file } });
      const phone = await place();
      await sleep(1_500);
      expect(heardDb(phone, hz, 900, 1_300), file).toBeGreaterThan(-20);
    }
  });

  it('keeps the newest three seconds for an agent that comes late, and says how much it dropped', async () => {
    let atOnce = 0;
    const dropped: number[] = [];
    let tries = 0;
    const answer: AgentHandler = async (call) => {
      tries += 1;
      // The first try takes too long, the second almost.
      if (tries === 1) await new Promise(() => {});
      call.on('dropped', ({ of, ms }) => of === 'heard' && dropped.push(ms));
      await clock.sleep(1_500);
      const until = clock.now() + 15;
      call.on('audio', () => {
        if (clock.now() < until) atOnce += 20;
      });
    };
    const { place } = await startWithAgent('desk', { agents: { handlers: { desk: answer } } });
    const phone = await place(AudioSource.tone(1_000));
    await eventually('the agent', () => atOnce > 0);
    await sleep(500);
    expect(atOnce).toBeGreaterThanOrEqual(3_000);
    expect(atOnce).toBeLessThanOrEqual(3_040);
    expect(dropped).toHaveLength(1);
    expect(dropped[0]).toBeGreaterThan(300);
    expect(dropped[0]).toBeLessThan(1_500);
    await phone.hangUp();
  });

  it('keeps the first words of an agent that speaks before the phone is answered', async () => {
    const server = await serve((call) => call.send(tone(700, call.sendRate, call.sendRate, LEVEL)));
    const { twilio, gateway } = await startWithAgent(server.url);
    const answered: SimulatedPhone[] = [];
    twilio.once('answered', (phone) => answered.push(phone));
    await gateway.placeCall({ to: '+15554445555' });
    await eventually('the answer', () => answered.length > 0);
    await sleep(1_500);
    expect(server.calls).toBe(1);
    expect(answered[0]?.report()?.playout.playedMs ?? 0).toBeGreaterThanOrEqual(1_000);
  });
});

describe('a caller whose agent is not there hears an apology within five seconds', () => {
  const hung = () => serveRaw(createServer());
  const refusing = (status: number) =>
    serveRaw(
      createHttpServer().on('upgrade', (_, socket) => {
        socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      }),
    );
  const nobody = async () => {
    const server = await serve(() => {});
    await server.close();
    return server.url;
  };
  it.each([
    ['nobody listens', nobody],
    ['it accepts the connection and says nothing', hung],
    ['it answers 500', () => refusing(500)],
    ['it answers 403', () => refusing(403)],
    ['it speaks another protocol', () => serveRaw(createServer((socket) => socket.end('SSH-2.0\r\n')))],
    ['it closes every connection', async () => (await serve((call) => call.close(1011))).url],
    [
      'it sends garbage',
      () =>
        serveSocket((socket) => {
          for (let i = 0; i < 60; i++) socket.send('garbage');
        }),
    ],
  ])('%s', async (_, make) => {
    const { place, gateway } = await startWithAgent(await make());
    const phone = await place();
    const began = clock.now();
    const outcome = await phone.ended;
    expect(outcome.said).toEqual([APOLOGY.say]);
    expect(clock.now() - began).toBeLessThan(APOLOGY_MS);
    await eventually('nothing left', () => gateway.stats().activeCalls === 0);
  });

  it.each<[string, (socket: WebSocket) => void]>([
    ['it crashes', (socket) => socket.terminate()],
    ['it no longer reads', (socket) => socket.pause()],
    [
      'it floods',
      (socket) => {
        for (let i = 0; i < 20_000; i++) socket.send('{}');
      },
    ],
  ])('%s in the middle of a call', async (_, fault) => {
    const agents: WebSocket[] = [];
    const url = await serveSocket((socket) => {
      agents.push(socket);
      // Whoever has failed once fails at once.
      if (agents.length > 1) fault(socket);
      else socket.send(bytesOf(tone(700, 16_000, 25 * 16_000, LEVEL)));
    });
    const { place } = await startWithAgent(url);
    const healthy = await startWithAgent((await serve(saysTone(25_000))).url);
    const bystander = await healthy.place();
    const phone = await place();
    await eventually('speech', () => isHearing(phone) && isHearing(bystander));
    await sleep(3_000);
    const began = clock.now();
    fault(agents[0] as WebSocket);
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    expect(clock.now() - began).toBeLessThan(APOLOGY_MS);
    expect(isHearing(bystander)).toBe(true);
  });
});

describe('costs no other call', () => {
  it.each<[string, AgentHandler]>([
    [
      'throws at what it hears',
      (call) =>
        void call.on('audio', () => {
          throw new Error('planted');
        }),
    ],
    [
      'throws at a mark',
      async (call) => {
        call.on('mark', () => {
          throw new Error('planted');
        });
        call.send(tone(700, call.sendRate, call.sendRate, LEVEL));
        void call.mark('said');
      },
    ],
    [
      'rejects in a listener',
      (call) =>
        void call.on('answered', async () => {
          await clock.sleep(500);
          throw new Error('planted');
        }),
    ],
  ])('a function in this process that %s', async (_, faulty) => {
    const agents = { handlers: { faulty, healthy: saysTone(25_000) } };
    let agent = 'healthy';
    const { place } = await startWithAgent(undefined, { agents, prepareCall: () => ({ agent }) });
    const bystander = await place(AudioSource.tone(1_000));
    agent = 'faulty';
    const phone = await place(AudioSource.tone(1_000));
    await sleep(3_000);
    expect(isHearing(bystander)).toBe(true);
    await phone.hangUp();
    await bystander.hangUp();
  });
});
