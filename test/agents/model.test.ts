import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { AgentCall } from '../../src/agents/agent-call.js';
import { Conversation } from '../../src/agents/conversation.js';
import { ModelSocket } from '../../src/agents/model-socket.js';
import { SpokenItems } from '../../src/agents/spoken-items.js';
import type { AgentTool } from '../../src/agents/tool.js';
import { runTool } from '../../src/agents/tool-run.js';
import type { GatewayError } from '../../src/errors.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

const READY = {
  type: 'ready' as const,
  version: 1 as const,
  ...{ room: 'r', rate: 8_000, sendRate: 8_000, frameMs: 20, bufferMs: 30_000, listen: false },
  ...{ phones: [], playedMs: 0, resumed: false },
};

/** A call whose gateway answers when the test says so. */
function slowCall() {
  const sent: (string | Int16Array)[] = [];
  const socket = { send: (message: string | Int16Array) => void sent.push(message), close() {} };
  return { sent, call: new AgentCall(socket, READY) };
}

const ms = (count: number) => new Int16Array(count * 8);
const cleared = (playedMs: number) => JSON.stringify({ type: 'cleared', discardedMs: 0, playedMs });

describe('adapters', () => {
  it.each(['openai', 'gemini'])('of %s have at most 150 lines', (name) => {
    const source = readFileSync(new URL(`../../src/agents/${name}.ts`, import.meta.url), 'utf8');
    expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
  });
});

describe('what a model has said', () => {
  it('was heard up to where the caller stopped listening', async () => {
    const { call } = slowCall();
    const items = new SpokenItems(call);
    items.say('a', ms(400));
    items.say('a', ms(100));
    items.say('b', ms(300));
    items.say('c', ms(300));
    const heard = items.interrupt();
    call.handleMessage(cleared(620));
    expect(await heard).toEqual([
      { id: 'b', heardMs: 120, lengthMs: 300 },
      { id: 'c', heardMs: 0, lengthMs: 300 },
    ]);
  });

  it('counts from where the caller stopped, if it was said before the gateway answered', async () => {
    const { call } = slowCall();
    const items = new SpokenItems(call);
    items.say('a', ms(1_000));
    const first = items.interrupt();
    items.say('b', ms(500));
    call.handleMessage(cleared(400));
    await first;
    const second = items.interrupt();
    call.handleMessage(cleared(550));
    expect(await second).toEqual([{ id: 'b', heardMs: 150, lengthMs: 500 }]);
  });

  it('is cut even where all of it was heard, unless it is complete: more was under way', async () => {
    for (const isComplete of [false, true]) {
      const { call } = slowCall();
      const items = new SpokenItems(call);
      items.say('a', ms(500));
      if (isComplete) items.end();
      const heard = items.interrupt();
      call.handleMessage(cleared(500));
      expect(await heard).toEqual(isComplete ? [] : [{ id: 'a', heardMs: 500, lengthMs: 500 }]);
    }
  });

  it('may come in odd pieces, but half a sample of one item is not completed by another', () => {
    const { call, sent } = slowCall();
    const items = new SpokenItems(call);
    items.sayBytes('a', Uint8Array.of(1, 0, 2));
    items.sayBytes('a', Uint8Array.of(0, 3));
    items.sayBytes('b', Uint8Array.of(4, 0));
    expect(sent.map((pcm) => [...(pcm as Int16Array)])).toEqual([[1], [2], [4]]);
  });
});

describe('a conversation', () => {
  it('keeps the order of its turns, whenever their words come, and forgets what was not heard', () => {
    const conversation = Conversation.of(new Map());
    conversation.add('caller', 'q', '');
    conversation.add('model', 'a', 'one two ');
    conversation.add('caller', 'q', 'What?');
    conversation.add('model', 'a', 'three four');
    conversation.cut('a', 0.4);
    conversation.cut('unknown', 0);
    expect(conversation.spoken.map(({ text }) => text)).toEqual(['What?', 'one two ']);
  });

  it('outlasts the connection, and is bounded', () => {
    const memory = new Map();
    expect(Conversation.isKnown(memory)).toBe(false);
    const conversation = Conversation.of(memory);
    for (let i = 0; i < 1_000; i++) conversation.add('caller', `${i}`, 'word '.repeat(200));
    conversation.add('model', 'long', 'x'.repeat(100_000));
    expect(Conversation.of(memory)).toBe(conversation);
    const characters = conversation.spoken.reduce((sum, { text }) => sum + text.length, 0);
    expect(characters).toBeLessThanOrEqual(16_384);
    for (let i = 0; i < 1_000; i++) conversation.add('caller', `short ${i}`, 'x');
    expect(conversation.spoken.length).toBeLessThanOrEqual(64);
    expect(conversation.spoken.at(-1)?.text).toBe('x');
  });
});

describe('a function', () => {
  const tool: AgentTool = {
    ...{ name: 'look_up', description: 'Looks something up.', parameters: { type: 'object' } },
    run: (args) => ({ args }),
  };
  const run = (name: string, args: unknown) => runTool([tool], name, args, slowCall().call, clock, () => {});

  it('runs with an object, and with nothing else', async () => {
    expect(await run('look_up', '{"a":1}')).toBe('{"args":{"a":1}}');
    expect(await run('look_up', { a: 1 })).toBe('{"args":{"a":1}}');
    expect(await run('look_up', '')).toBe('{"args":{}}');
    for (const args of ['{"a":', '[1]', '1', 'null', null, undefined, [1]])
      expect(await run('look_up', args)).toBe('The arguments must be a JSON object.');
    expect(await run('toString', '{}')).toBe('There is no such function.');
  });
});

describe("a model's socket", () => {
  const servers: WebSocketServer[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      for (const socket of server.clients) socket.terminate();
      server.close();
    }
  });

  /** A model that does this, and how its socket ends. */
  async function lossBy(
    behave: (server: WebSocket) => void,
    client: (socket: ModelSocket) => void = () => {},
  ) {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    servers.push(server);
    server.on('connection', behave);
    await once(server, 'listening');
    const losses: GatewayError[] = [];
    const socket = new ModelSocket(
      {
        url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        ...{ headers: {}, name: 'a model', key: 'the-key', clock, isRefusal: (code) => code === 4_001 },
      },
      { opened: () => client(socket), message() {}, lost: (error) => losses.push(error) },
    );
    await eventually('a loss', () => losses.length > 0, 60_000);
    for (const client of server.clients) client.resume();
    await eventually('no connection', () => server.clients.size === 0);
    return losses.map(({ code, message }) => `${code} ${message}`);
  }

  it.each<[string, (server: WebSocket) => void, string]>([
    [
      'closes',
      (server) => server.close(4_000, 'no'),
      'GW_AGENT_UNREACHABLE a model closed the connection: 4000 no',
    ],
    ['refuses', (server) => server.close(4_001), 'GW_AGENT_REFUSED a model closed the connection: 4001'],
    [
      'names the key',
      (server) => server.close(4_000, 'bad the-key'),
      'GW_AGENT_UNREACHABLE a model closed the connection: 4000 bad …',
    ],
    [
      'sends no JSON',
      (server) => {
        for (let i = 0; i < 10; i++) server.send(i % 2 ? '[]' : '{');
      },
      'GW_AGENT_UNREACHABLE a model sends messages that cannot be understood',
    ],
    [
      'floods',
      (server) => {
        for (let i = 0; i < 5_100; i++) server.send('{}');
      },
      'GW_AGENT_UNREACHABLE a model sends too many messages',
    ],
    [
      'sends a message that is too long',
      (server) => server.send('x'.repeat(2 * 1024 * 1024)),
      'GW_AGENT_UNREACHABLE a model was lost: Max payload size exceeded',
    ],
    ['is silent', (server) => server.pause(), 'GW_AGENT_UNREACHABLE a model is silent'],
  ])('is lost, once, when the model %s', async (_, behave, loss) => {
    expect(await lossBy(behave)).toEqual([loss]);
  });

  it('is lost when the model does not read', async () => {
    const talk = (socket: ModelSocket) => {
      const timer = clock.every(10, () => socket.send(JSON.stringify({ text: 'x'.repeat(200_000) })));
      timer.unref();
    };
    expect(await lossBy((server) => server.pause(), talk)).toEqual([
      'GW_AGENT_UNREACHABLE a model does not read what it is sent',
    ]);
  });
});
