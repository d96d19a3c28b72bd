import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import type { AgentCall, AgentHandler } from '../../src/agents/agent-call.js';
import type { ConnectionListener } from '../../src/agents/agent-endpoint.js';
import { AgentLink } from '../../src/agents/agent-link.js';
import { transferTool } from '../../src/agents/call-tools.js';
import { WebSocketAgent } from '../../src/agents/websocket-agent.js';
import { checkDecision } from '../../src/calls/decision-check.js';
import type { RawLeg } from '../../src/legs/raw-leg.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import {
  bytesOf,
  CALL,
  closers,
  heardDb,
  isHearing,
  LEVEL,
  serveRaw,
  serveSocket,
  startWithAgent,
} from '../support/agent.js';
import { tone } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

/** Source: RFC 6455, section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

virtualTime();

describe('an agent that misbehaves', () => {
  it('is understood after a reconnect although its first connection broke off within a sample', async () => {
    const sockets: WebSocket[] = [];
    const url = await serveSocket((socket) => {
      sockets.push(socket);
      const speech = bytesOf(tone(700, 16_000, 16_000, LEVEL));
      if (sockets.length > 1) socket.send(speech);
      else socket.send(speech.subarray(0, 16_001), () => socket.terminate());
    });
    const { place } = await startWithAgent(url);
    const phone = await place();
    await eventually('speech after the reconnect', () => sockets.length === 2 && isHearing(phone), 5_000);
    await sleep(2_500);
    // Samples put together from halves of two others are noise, in which the tone is faint.
    expect(heardDb(phone, 700, 1_000, 1_300)).toBeGreaterThan(-1);
    await phone.hangUp();
  });
});

it('names of callers go into the request whole, with quotes, lines and emoji, and are not cut within a character', async () => {
  const headers: string[] = [];
  const http = createServer().on('upgrade', (request, socket) => {
    headers.push(String(request.headers['trunkline-call']));
    socket.end('HTTP/1.1 404 no\r\n\r\n');
  });
  const { twilio } = await startWithAgent(await serveRaw(http));
  for (const CallerName of ['"Zoë"\r\nx-evil: 1 🚲', `x${'🚲'.repeat(80)}`]) {
    const phone = twilio.placeCall({ ...CALL, parameters: { CallerName } });
    await phone.ended;
  }
  const names = headers.map((header) => JSON.parse(header).callerName);
  expect(headers.join('')).toMatch(/^[\x20-\x7e]+$/);
  expect(names).toEqual(['"Zoë"\r\nx-evil: 1 🚲', `x${'🚲'.repeat(63)}`]);
});

it('parameters are limited as the header carries them', () => {
  const decide = (text: string) => () =>
    checkDecision({ agent: { to: 'wss://agent.example.com', parameters: { text } } });
  expect(decide('電'.repeat(300))).not.toThrow();
  expect(decide('電'.repeat(400))).toThrow();
  expect(decide('x'.repeat(2_100))).toThrow();
});

it('a fault of the gateway in handling a message ends this call only', async () => {
  const leg = {
    ...{ phones: [], readyMessage: () => '', beginConnection() {}, close() {} },
    handleMessage: () => {
      throw new Error('a fault of ours');
    },
  } as unknown as RawLeg;
  let listener: ConnectionListener | undefined;
  const connection = { taken: Promise.resolve(), send: () => true, bufferedBytes: () => 0, close() {} };
  const endpoint = {
    name: 'an agent',
    connect: async (_: unknown, its: ConnectionListener) => {
      listener = its;
      return connection;
    },
  };
  const failures: string[] = [];
  const ignore = () => {};
  const link = new AgentLink(leg, {
    ...{ endpoint, clock, isContinued: false },
    facts: (count) => ({ callId: 'c', room: 'r', startedAt: '', connection: count }),
    listener: {
      ...{ taken: ignore, lost: ignore, missed: ignore, finished: ignore },
      failed: ({ code }) => failures.push(code),
    },
  });
  link.dial();
  await eventually('the connection', () => link.isUp);
  listener?.message(Buffer.from('{}'), false);
  expect(failures).toEqual(['GW_AGENT_PROTOCOL']);
});

it('a transfer to an address that no XML can carry is refused, and the call goes on', async () => {
  const refused: string[] = [];
  const answer: AgentHandler = (call) => {
    call.on('refused', ({ code }) => refused.push(code));
    call.on('answered', () => call.transfer('sip:a\u0001b@example.com'));
  };
  const agents = { handlers: { desk: answer }, transferTo: ['sip:*'] };
  const { place } = await startWithAgent('desk', { agents });
  const phone = await place();
  await eventually('the refusal', () => refused.length > 0);
  expect(refused).toEqual(['GW_TRANSFER_TO']);
  expect(phone.status).toBe('in-progress');
  await phone.hangUp();
});

describe('a connection to an agent', () => {
  /** The agent's end is a bare TCP socket that reads nothing after the upgrade. */
  async function connect(upgraded: (socket: Duplex) => void) {
    const http = createServer().on('upgrade', ({ headers }: IncomingMessage, socket: Duplex) => {
      const accept = createHash('sha1').update(`${headers['sec-websocket-key']}${GUID}`).digest('base64');
      const answer = `HTTP/1.1 101 ok\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`;
      socket.pause().write(answer);
      upgraded(socket);
    });
    const url = await serveRaw(http);
    const closed: string[] = [];
    let messages = 0;
    const agent = new WebSocketAgent({ url, secrets: () => [], clock });
    const facts = { callId: 'call-1', room: 'call:call-1', startedAt: '2026-01-01T00:00:00Z', connection: 1 };
    const connection = await agent.connect(
      { facts, traceparent: '', signal: new AbortController().signal },
      {
        message: () => {
          messages += 1;
        },
        closed: (code, reason) => closed.push(`${code} ${reason}`),
      },
    );
    closers.push(() => connection.close(1000, ''));
    return { connection, closed, messages: () => messages };
  }

  it('is lost if the agent reads none of its events, and keeps no more than 1 MiB of them', async () => {
    const { connection, closed } = await connect(() => {});
    const event = 'x'.repeat(64 * 1024);
    for (let sent = 0; sent < 1_000 && connection.send(event); sent += 1) {
      expect(connection.bufferedBytes()).toBeLessThan(2.1 * 1024 * 1024);
      if (sent % 16 === 0) await new Promise(setImmediate);
    }
    expect(closed).toEqual(['1006 reads nothing']);
    expect(connection.send('x')).toBe(false);
  });

  it('says what was wrong with the frames of an agent that it loses', async () => {
    const text = [0x81, 1, 0xff];
    const { closed } = await connect((socket) => socket.write(Buffer.from(text)));
    await eventually('its end', () => closed.length > 0);
    expect(closed).toEqual(['1006 Invalid WebSocket frame: invalid UTF-8 sequence']);
  });

  it('counts pings as messages, of which a flood ends the call', async () => {
    const ping = Buffer.from([0x89, 0]);
    const { messages } = await connect((socket) => {
      socket.write(Buffer.concat(Array.from({ length: 100 }, () => ping)));
    });
    await eventually('all of them', () => messages() === 100);
  });

  it('closes with a reason of any language', async () => {
    const { connection } = await connect(() => {});
    expect(() => connection.close(1011, '電'.repeat(100))).not.toThrow();
  });
});

describe('transfer_call', () => {
  const { call } = { call: { transfer: vi.fn() } };
  it.each([
    ['+15557770000', true],
    ['+19005550100', false],
    ['sip:evil@example.com', false],
    [['+15557770000'], false],
  ])('to %j is allowed: %s', (to, isAllowed) => {
    call.transfer.mockClear();
    const answer = transferTool(['+1555777*', 'sip:desk@example.com']).run(
      { to },
      call as unknown as AgentCall,
    );
    expect(call.transfer.mock.calls).toEqual(isAllowed ? [[to]] : []);
    expect(String(answer).includes('handed over')).toBe(isAllowed);
  });
});

it('100 calls whose agents hang leave nothing behind, whenever their callers hang up', async () => {
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on('warning', warn);
  closers.push(() => process.off('warning', warn));
  const sockets: Duplex[] = [];
  // They accept the connection, or the upgrade, and nothing else.
  const silent = await serveRaw(
    createServer()
      .on('connection', (socket) => sockets.push(socket))
      .on('upgrade', () => {}),
  );
  const deaf = await serveSocket((socket) => {
    const { _socket } = socket as unknown as { _socket: Duplex };
    sockets.push(_socket);
    _socket.pause();
  });
  const kinds = [silent, deaf, 'hangs', 'rejects'];
  const handlers = {
    hangs: () => new Promise<void>(() => {}),
    rejects: () => Promise.reject(new Error('no')),
  };
  let calls = 0;
  const { place, url } = await startWithAgent(undefined, {
    agents: { handlers },
    prepareCall: () => ({ agent: kinds[calls++ % kinds.length] as string }),
  });
  const phones: SimulatedPhone[] = [];
  for (let index = 0; index < 100; index += 1) phones.push(await place(AudioSource.silence()));
  await Promise.all(
    phones.map(async (phone, index) => {
      await sleep(index * 50);
      if (phone.status === 'in-progress') await phone.hangUp();
      await phone.ended;
    }),
  );
  // Those that read nothing have not noticed.
  for (const socket of sockets) socket.resume();
  expect(sockets.length).toBeGreaterThanOrEqual(50);
  await eventually('all sockets closed', () =>
    sockets.every(({ destroyed, readableEnded }) => destroyed || readableEnded),
  );
  const metrics = await (await fetch(`${url}/metrics`)).text();
  for (const name of ['agents_active', 'legs_active', 'calls_active'])
    expect(metrics).toMatch(new RegExp(`trunkline_${name} 0\\n`));
  expect(warnings).toEqual([]);
});
