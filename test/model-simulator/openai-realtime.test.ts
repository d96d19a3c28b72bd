import { once } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { decodeAlaw, encodeAlaw } from '../../src/model-simulator/alaw.js';
import {
  FILLER,
  GREETING,
  KEY_PRESSED,
  phrasesIn,
  QUESTIONS,
  SimulatedRealtime,
  type SimulatedRealtimeOptions,
  SOURCES,
  speak,
  textOf,
  UNKNOWN,
} from '../../src/model-simulator/index.js';
import { Narrower, toWide } from '../../src/model-simulator/wideband.js';
import { AudioSource, decodeMulaw, encodeMulaw } from '../../src/simulator/index.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KNOWN_TYPES = [
  'session.update',
  'input_audio_buffer.append',
  'input_audio_buffer.commit',
  'conversation.item.create',
  'conversation.item.delete',
  'conversation.item.truncate',
  'response.create',
  'response.cancel',
] as const;
const jsonOf = (text: string) => JSON.parse(text) as unknown;

// biome-ignore lint/suspicious/noExplicitAny: events as a client without types sees them.
type Event = any;

const KEY = 'sk-test';
const ANSWER = 'On Saturdays we are open from ten until four.';
const SEARCH = {
  type: 'function',
  name: 'search_knowledge',
  description: 'Looks something up.',
  parameters: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] },
};
const PAGES = JSON.stringify([
  { source: 'repairs.md', text: 'A standard repair takes two working days.' },
  {
    source: 'opening-hours.md',
    text: `On weekdays we are open from nine in the morning until six in the evening.\n${ANSWER} We are closed on Sundays and on public holidays.`,
  },
]);

/** A client as the vendor's guide "Realtime API with WebSocket" has it. */
class Client {
  readonly events: Event[] = [];
  readonly texts: string[] = [];
  closed: { code: number; reason: string } | undefined;
  private sent = 0;

  constructor(readonly socket: WebSocket) {
    socket.on('message', (data) => {
      this.texts.push(String(data));
      try {
        this.events.push({ ...JSON.parse(String(data)), at: clock.now() });
      } catch {}
    });
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
    socket.on('error', () => {});
  }

  send(type: string, fields: object = {}): string {
    const event_id = `client_${this.sent++}`;
    this.socket.send(JSON.stringify({ type, event_id, ...fields }));
    return event_id;
  }

  of(type: string): Event[] {
    return this.events.filter((event) => event.type === type);
  }

  /** Waits for the nth event of a type. */
  async wait(type: string, count = 1, ms = 20_000): Promise<Event> {
    await eventually(`${count} ${type}`, () => this.of(type).length >= count, ms);
    return this.of(type)[count - 1];
  }

  async error(): Promise<Event> {
    const count = this.of('error').length;
    return (await this.wait('error', count + 1)).error;
  }

  async configure(session: object): Promise<Event> {
    const count = this.of('session.updated').length;
    this.send('session.update', { session: { type: 'realtime', ...session } });
    return (await this.wait('session.updated', count + 1)).session;
  }

  /** Speaks as fast as a caller does: 20 ms every 20 ms. */
  async speak(pcm: Int16Array, encode: (pcm: Int16Array) => Buffer = wide): Promise<void> {
    const bytes = encode(pcm);
    const piece = (bytes.length * 160) / pcm.length;
    for (let at = 0; at < bytes.length; at += piece) {
      this.send('input_audio_buffer.append', { audio: bytes.toString('base64', at, at + piece) });
      await sleep(20);
    }
  }

  async ask(text: string, encode?: (pcm: Int16Array) => Buffer): Promise<void> {
    await this.speak(speak(text) as Int16Array, encode);
    await this.speak(new Int16Array(8_000), encode);
  }

  /** What the model has said, at 8 kHz. */
  audio(decode: (bytes: Buffer) => Int16Array = narrow, itemId?: string): Int16Array {
    const deltas = this.of('response.output_audio.delta').filter(
      ({ item_id }) => itemId === undefined || item_id === itemId,
    );
    return decode(Buffer.concat(deltas.map(({ delta }) => Buffer.from(delta, 'base64'))));
  }

  said(decode?: (bytes: Buffer) => Int16Array): string[] {
    return phrasesIn(this.audio(decode)).map(({ text }) => text);
  }

  transcript(): string {
    return this.of('response.output_audio_transcript.delta')
      .map(({ delta }) => delta)
      .join('');
  }
}

function wide(pcm: Int16Array): Buffer {
  const samples = toWide(pcm);
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
}

function narrow(bytes: Buffer): Int16Array {
  const samples = new Int16Array(bytes.length >> 1).map((_, i) => bytes.readInt16LE(2 * i));
  return new Narrower().push(samples);
}

const mulaw = (pcm: Int16Array) => Buffer.from(encodeMulaw(pcm).buffer);
const alaw = (pcm: Int16Array) => Buffer.from(encodeAlaw(pcm).buffer);

const running: SimulatedRealtime[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((api) => api.close()));
});

async function start(options: Partial<SimulatedRealtimeOptions> = {}): Promise<SimulatedRealtime> {
  const api = new SimulatedRealtime({ key: KEY, clock, ...options });
  running.push(api);
  await api.listen();
  return api;
}

function connect(
  api: SimulatedRealtime,
  { key = KEY, query = '?model=gpt-realtime', headers = {}, path = '/realtime' } = {},
): Client {
  const url = `${api.url.replace('http', 'ws')}${path}${query}`;
  return new Client(new WebSocket(url, { headers: { authorization: `Bearer ${key}`, ...headers } }));
}

async function session(options: Partial<SimulatedRealtimeOptions> = {}) {
  const api = await start(options);
  const client = connect(api);
  await client.wait('session.created');
  return { api, client, record: api.sessions[0] as (typeof api.sessions)[number] };
}

/** A session without turn detection: its client says when to respond. */
async function manualSession(options: Partial<SimulatedRealtimeOptions> = {}) {
  const all = await session(options);
  await all.client.configure({ audio: { input: { turn_detection: null } } });
  return all;
}

const say = (client: Client, sentence: string) =>
  client.send('response.create', { response: { instructions: `Say exactly: "${sentence}"` } });

async function refusal(client: Client): Promise<{ status: number; body: Event }> {
  const [, response] = (await once(client.socket, 'unexpected-response')) as [unknown, Event];
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, body: JSON.parse(text) };
}

describe('the connection', () => {
  it('refuses a wrong key with 401 and an error in JSON', async () => {
    const api = await start();
    for (const key of ['wrong', '', `${KEY}x`]) {
      const { status, body } = await refusal(connect(api, { key }));
      expect([status, body.error.code]).toEqual([401, 'invalid_api_key']);
    }
    expect(api.refused).toBe(3);
    expect(api.sessions).toEqual([]);
  });

  it('refuses another path with 404', async () => {
    const api = await start();
    expect((await refusal(connect(api, { path: '/realtimes' }))).status).toBe(404);
    expect((await fetch(`${api.url}/models`)).status).toBe(404);
  });

  it('refuses a missing or unknown model, and the Beta, with an error and 4000', async () => {
    const api = await start();
    for (const [options, code] of [
      [{ query: '' }, 'missing_model'],
      [{ query: '?model=nonsense' }, 'model_not_found'],
      [{ headers: { 'OpenAI-Beta': 'realtime=v1' } }, 'beta_api_shape_disabled'],
    ] as const) {
      const client = connect(api, options);
      await eventually('the close', () => client.closed !== undefined);
      expect(client.events[0].error.code).toBe(code);
      expect(client.closed).toEqual({ code: 4000, reason: `invalid_request_error.${code}` });
    }
  });

  it('begins with session.created and the documented defaults', async () => {
    const { client, record } = await session();
    const created = client.events[0];
    expect(created.type).toBe('session.created');
    expect(created.event_id).toMatch(/^event_\w+$/);
    expect(created.session).toMatchObject({
      type: 'realtime',
      object: 'realtime.session',
      id: record.id,
      model: 'gpt-realtime',
      output_modalities: ['audio'],
      tools: [],
      tool_choice: 'auto',
      max_output_tokens: 'inf',
      audio: {
        input: {
          format: { type: 'audio/pcm', rate: 24_000 },
          transcription: null,
          turn_detection: {
            type: 'server_vad',
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            create_response: true,
            interrupt_response: true,
          },
        },
        output: { format: { type: 'audio/pcm', rate: 24_000 } },
      },
    });
  });

  it('ends with an error and 1001 at its longest time', async () => {
    const { client } = await session({ sessionMs: 31_000 });
    await eventually('the close', () => client.closed !== undefined, 60_000);
    const message = 'Your session hit the maximum duration of 1 minutes.';
    expect(client.of('error')[0].error).toMatchObject({ code: 'session_expired', message });
    expect(client.closed).toEqual({ code: 1001, reason: message });
  });

  it('frees every socket and timer at its end', async () => {
    const { api, client } = await manualSession();
    say(client, GREETING);
    await client.wait('response.output_audio.delta');
    await api.close();
    await eventually('the close', () => client.closed !== undefined);
    const sent = client.events.length;
    await sleep(5_000);
    expect(client.events.length).toBe(sent);
    expect(api.openSessions).toEqual([]);
    await expect(fetch(api.url)).rejects.toThrow();
  });
});

describe('session.update', () => {
  it('changes what it names and answers with the whole configuration', async () => {
    const { client } = await session();
    const first = await client.configure({
      instructions: 'Be brief.',
      tools: [SEARCH],
      audio: { output: { voice: 'marin' }, input: { format: { type: 'audio/pcmu' } } },
    });
    expect(first.audio.output).toMatchObject({ voice: 'marin', format: { type: 'audio/pcm', rate: 24_000 } });
    expect(first.audio.input.turn_detection.silence_duration_ms).toBe(500);
    const second = await client.configure({
      tools: [],
      audio: { input: { turn_detection: { type: 'server_vad', silence_duration_ms: 200 } } },
    });
    expect(second).toMatchObject({ instructions: 'Be brief.', tools: [] });
    expect(second.audio.input).toMatchObject({
      format: { type: 'audio/pcmu' },
      turn_detection: { silence_duration_ms: 200, threshold: 0.5, interrupt_response: true },
    });
    const third = await client.configure({ audio: { input: { turn_detection: null } } });
    expect(third.audio.input.turn_detection).toBeNull();
  });

  it.each([
    [{ type: 'session.update', session: {} }, 'missing_required_parameter', 'session.type'],
    [
      { type: 'session.update', session: { type: 'realtime', modalities: ['audio'] } },
      'unknown_parameter',
      'session.modalities',
    ],
    [
      { type: 'session.update', session: { type: 'realtime', audio: { input: { format: 'pcm16' } } } },
      'invalid_type',
      'session.audio.input.format',
    ],
    [
      {
        type: 'session.update',
        session: { type: 'realtime', audio: { output: { format: { type: 'audio/pcm' } } } },
      },
      'missing_required_parameter',
      'session.audio.output.format.rate',
    ],
    [
      {
        type: 'session.update',
        session: { type: 'realtime', audio: { output: { format: { type: 'audio/pcm', rate: 8_000 } } } },
      },
      'invalid_value',
      'session.audio.output.format.rate',
    ],
    [
      {
        type: 'session.update',
        session: { type: 'realtime', audio: { output: { format: { type: 'g711_ulaw' } } } },
      },
      'invalid_value',
      'session.audio.output.format.type',
    ],
    [
      {
        type: 'session.update',
        session: {
          type: 'realtime',
          audio: { input: { turn_detection: { type: 'server_vad', threshold: 2 } } },
        },
      },
      'decimal_above_max_value',
      'session.audio.input.turn_detection.threshold',
    ],
    [
      { type: 'session.update', session: { type: 'realtime', tools: [{ type: 'function', function: {} }] } },
      'missing_required_parameter',
      'session.tools[0].name',
    ],
    [
      { type: 'session.update', session: { type: 'realtime', output_modalities: ['audio', 'text'] } },
      'array_above_max_length',
      'session.output_modalities',
    ],
    [
      { type: 'response.create', response: { modalities: ['audio'] } },
      'unknown_parameter',
      'response.modalities',
    ],
    [{ type: 'response.audio' }, 'invalid_value', 'type'],
    [{ hello: 1 }, 'missing_required_parameter', 'type'],
    [
      { type: 'conversation.item.truncate', item_id: 'x', content_index: 0, audio_end_ms: -11 },
      'integer_below_min_value',
      'audio_end_ms',
    ],
    [
      { type: 'conversation.item.truncate', item_id: 'x', content_index: 0, audio_end_ms: 1.5 },
      'invalid_type',
      'audio_end_ms',
    ],
    [
      {
        type: 'conversation.item.create',
        item: { id: 'i'.repeat(33), type: 'message', role: 'user', content: [] },
      },
      'string_above_max_length',
      'item.id',
    ],
    [
      {
        type: 'conversation.item.create',
        item: { type: 'message', role: 'user', content: [{ type: 'text', text: 'Hello' }] },
      },
      'invalid_value',
      'item.content[0].type',
    ],
  ])('%j is rejected: %s of %s', async (event, code, param) => {
    const { client } = await session();
    client.socket.send(JSON.stringify({ ...event, event_id: 'mine' }));
    expect(await client.error()).toMatchObject({
      type: 'invalid_request_error',
      code,
      param,
      event_id: 'mine',
    });
    // The session goes on as it was.
    expect((await client.configure({})).output_modalities).toEqual(['audio']);
  });

  it('rejects what is no JSON object, and binary messages', async () => {
    const { client } = await session();
    for (const message of ['{"type":', '[]', 'null', Buffer.from('{}')]) {
      client.socket.send(message);
      expect(await client.error()).toMatchObject({ type: 'invalid_request_error', event_id: null });
    }
  });

  it('rejects another voice once the model has spoken', async () => {
    const { client } = await manualSession();
    say(client, GREETING);
    await client.wait('response.done');
    client.send('session.update', { session: { type: 'realtime', audio: { output: { voice: 'cedar' } } } });
    expect((await client.error()).code).toBe('cannot_update_voice');
  });
});

describe('a turn', () => {
  it('is detected, committed, understood and answered, in the documented order', async () => {
    const { client, record } = await session();
    await client.configure({ audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } });
    await client.speak(new Int16Array(8_000));
    await client.ask(QUESTIONS.repair);
    await client.wait('response.done');
    const order = client.events
      .map(({ type }) => type)
      .filter(
        (type, i, all) => type !== all[i - 1] && !/session|rate_limits|conversation\.created/.test(type),
      );
    expect(order.filter((type, i) => !/delta/.test(type) || order.indexOf(type) === i)).toEqual([
      'input_audio_buffer.speech_started',
      'input_audio_buffer.speech_stopped',
      'input_audio_buffer.committed',
      'conversation.item.added',
      'conversation.item.done',
      'conversation.item.input_audio_transcription.delta',
      'conversation.item.input_audio_transcription.completed',
      'response.created',
      'response.output_item.added',
      'conversation.item.added',
      'response.content_part.added',
      'response.output_audio_transcript.delta',
      'response.output_audio.delta',
      'response.output_audio.done',
      'response.output_audio_transcript.done',
      'response.content_part.done',
      'response.output_item.done',
      'conversation.item.done',
      'response.done',
    ]);
    const [started] = client.of('input_audio_buffer.speech_started');
    const [stopped] = client.of('input_audio_buffer.speech_stopped');
    const length = (speak(QUESTIONS.repair) as Int16Array).length / 8;
    // 60 ms of silence stand at each end of the recording; 300 ms before and 500 ms after count in.
    expect(Math.abs(started.audio_start_ms - (1_000 + 60 - 300))).toBeLessThanOrEqual(60);
    expect(Math.abs(stopped.audio_end_ms - (1_000 + length - 60 + 500))).toBeLessThanOrEqual(100);
    const { item } = client.of('conversation.item.added')[0];
    expect(item).toMatchObject({ id: started.item_id, type: 'message', role: 'user', status: 'completed' });
    expect(client.of('input_audio_buffer.committed')[0].item_id).toBe(started.item_id);
    expect(client.of('conversation.item.input_audio_transcription.completed')[0].transcript).toBe(
      QUESTIONS.repair,
    );
    expect(client.said()).toEqual([QUESTIONS.repair]);
    expect(client.transcript()).toBe(QUESTIONS.repair);
    expect(client.of('response.done')[0].response).toMatchObject({
      status: 'completed',
      status_details: null,
      output: [{ type: 'message', content: [{ type: 'output_audio', transcript: QUESTIONS.repair }] }],
    });
    expect(record.items.map(({ role, text }) => [role, text])).toEqual([
      ['user', QUESTIONS.repair],
      ['assistant', QUESTIONS.repair],
    ]);
  });

  it.each([
    ['audio/pcmu', mulaw, decodeMulaw],
    ['audio/pcma', alaw, decodeAlaw],
  ] as const)('is understood and answered in %s, or in two formats', async (type, encode, decode) => {
    const { client } = await session();
    await client.configure({ audio: { input: { format: { type } }, output: { format: { type } } } });
    await client.ask(QUESTIONS.rent, encode);
    await client.wait('response.done');
    expect(client.said(decode)).toEqual([QUESTIONS.rent]);
    await client.configure({ audio: { input: { format: { type: 'audio/pcm', rate: 24_000 } } } });
    await client.ask(QUESTIONS.rent);
    await client.wait('response.done', 2);
    expect(client.said(decode)).toEqual([QUESTIONS.rent, QUESTIONS.rent]);
  });

  it('needs speech above the threshold', async () => {
    const { client } = await session();
    const quiet = (speak(QUESTIONS.rent) as Int16Array).map((sample) => sample / 100);
    await client.speak(quiet);
    await client.speak(new Int16Array(8_000).map((_, i) => (i === 4_000 ? 20_000 : 0)));
    expect(client.of('input_audio_buffer.speech_started')).toEqual([]);
    await client.configure({ audio: { input: { turn_detection: { type: 'server_vad', threshold: 0.1 } } } });
    await client.speak(quiet);
    await client.wait('input_audio_buffer.speech_started');
  });

  it('makes no response without create_response', async () => {
    const { client } = await session();
    await client.configure({
      audio: { input: { turn_detection: { type: 'server_vad', create_response: false } } },
    });
    await client.ask(QUESTIONS.return);
    await client.wait('input_audio_buffer.committed');
    await sleep(2_000);
    expect(client.of('response.created')).toEqual([]);
    client.send('response.create');
    await client.wait('response.done');
    expect(client.said()).toEqual([QUESTIONS.return]);
  });

  it('without turn detection is what the client commits', async () => {
    const { client } = await manualSession();
    client.send('input_audio_buffer.commit');
    expect(await client.error()).toMatchObject({
      code: 'input_audio_buffer_commit_empty',
      message: expect.stringContaining('at least 100ms'),
    });
    await client.ask(QUESTIONS.repair);
    client.send('input_audio_buffer.clear');
    await client.wait('input_audio_buffer.cleared');
    await client.ask(QUESTIONS.saturdays);
    client.send('input_audio_buffer.commit');
    const { item_id } = await client.wait('input_audio_buffer.committed');
    expect(client.of('input_audio_buffer.speech_started')).toEqual([]);
    client.send('response.create');
    await client.wait('response.done');
    expect(client.said()).toEqual([QUESTIONS.saturdays]);
    client.send('conversation.item.retrieve', { item_id });
    const { item } = await client.wait('conversation.item.retrieved');
    expect(textOf(narrow(Buffer.from(item.content[0].audio, 'base64')))?.text).toBe(QUESTIONS.saturdays);
  });

  it('with unknown speech is answered with the sentence for it', async () => {
    const { client } = await session();
    await client.speak(AudioSource.speech().pcm.subarray(0, 12_000));
    await client.speak(new Int16Array(8_000));
    await client.wait('response.done');
    expect(client.said()).toEqual([UNKNOWN]);
  });

  it('rejects audio that is no base64', async () => {
    const { client } = await session();
    for (const audio of ['%%%%', 'abc']) {
      client.send('input_audio_buffer.append', { audio });
      expect(await client.error()).toMatchObject({ code: 'invalid_value', param: 'audio' });
    }
  });
});

describe('a response', () => {
  it('comes four times as fast as it is spoken, with each word before its sound', async () => {
    const { client } = await manualSession();
    say(client, GREETING);
    await client.wait('response.done');
    const deltas = client.of('response.output_audio.delta');
    const ms = (speak(GREETING) as Int16Array).length / 8;
    const took = deltas.at(-1).at - deltas[0].at;
    expect(took).toBeGreaterThan(ms / 8);
    expect(took).toBeLessThan(ms / 2);
    for (const { delta } of deltas) expect(Buffer.from(delta, 'base64').length).toBeLessThanOrEqual(4_800);
    // The transcript up to any moment is as long as the share of audio up to it, by a word.
    let [sent, words] = [0, ''];
    for (const event of client.events) {
      if (event.type === 'response.output_audio_transcript.delta') words += event.delta;
      if (event.type !== 'response.output_audio.delta') continue;
      sent += Buffer.from(event.delta, 'base64').length / 48;
      expect(words.length / GREETING.length).toBeGreaterThan(sent / ms - 0.1);
      expect(words.length / GREETING.length).toBeLessThan(sent / ms + 0.2);
    }
    expect(words).toBe(GREETING);
    const { usage } = client.of('response.done')[0].response;
    expect(usage.output_token_details.audio_tokens).toBe(Math.ceil(ms / 50));
    expect(usage.total_tokens).toBe(usage.input_tokens + usage.output_tokens);
  });

  it('is one at a time', async () => {
    const { client } = await manualSession();
    say(client, GREETING);
    const { response } = await client.wait('response.created');
    const id = say(client, FILLER);
    expect(await client.error()).toMatchObject({
      code: 'conversation_already_has_active_response',
      message: expect.stringContaining(response.id),
      event_id: id,
    });
    await client.wait('response.done');
    expect(client.said()).toEqual([GREETING]);
  });

  it('outside of the conversation leaves no item in it', async () => {
    const { client, record } = await manualSession();
    client.send('response.create', { response: { conversation: 'none', instructions: FILLER } });
    const { response } = await client.wait('response.done');
    expect(response.conversation_id).toBeNull();
    expect(record.items).toEqual([]);
    expect(client.said()).toEqual([FILLER]);
  });

  it('is cancelled by the client', async () => {
    const { client, record } = await manualSession();
    client.send('response.cancel');
    expect((await client.error()).code).toBe('response_cancel_not_active');
    say(client, UNKNOWN);
    await client.wait('response.output_audio.delta', 5);
    client.send('response.cancel');
    const { response } = await client.wait('response.done');
    expect(response).toMatchObject({
      status: 'cancelled',
      status_details: { type: 'cancelled', reason: 'client_cancelled' },
      output: [{ status: 'incomplete' }],
    });
    for (const type of ['output_audio', 'output_audio_transcript', 'content_part', 'output_item'])
      expect(client.of(`response.${type}.done`).length).toBe(1);
    const sentMs = client.audio((bytes) => new Int16Array(bytes.length / 2)).length / 24;
    expect(record.items[0]).toMatchObject({ status: 'incomplete', sentMs, heardMs: sentMs });
    await sleep(3_000);
    expect(client.of('response.output_audio.delta').length).toBe(Math.round(sentMs / 100));
  });

  it('is cancelled when the caller speaks, if interrupt_response is on', async () => {
    const { client } = await session({ speed: 1 });
    say(client, UNKNOWN);
    await client.wait('response.output_audio.delta', 3);
    await client.speak((speak(QUESTIONS.repair) as Int16Array).subarray(0, 4_000));
    const { response } = await client.wait('response.done');
    expect(response.status_details).toEqual({ type: 'cancelled', reason: 'turn_detected' });
    const types = client.events.map(({ type }) => type);
    expect(types.indexOf('input_audio_buffer.speech_started')).toBeLessThan(types.indexOf('response.done'));
  });

  it('goes on when the caller speaks, if interrupt_response is off; a second one is then rejected', async () => {
    const long = { text: 'a long and steady tone', pcm: new Int16Array(160_000).fill(100) };
    const { client } = await session({ speed: 1, reply: () => ({ say: [long] }) });
    await client.configure({
      audio: { input: { turn_detection: { type: 'server_vad', interrupt_response: false } } },
    });
    client.send('response.create');
    await client.wait('response.output_audio.delta', 3);
    await client.ask(QUESTIONS.repair);
    expect((await client.wait('error')).error.code).toBe('conversation_already_has_active_response');
    expect((await client.wait('response.done', 1, 60_000)).response.status).toBe('completed');
    expect(client.of('response.output_audio.delta').length).toBe(200);
  });

  it('is incomplete beyond max_output_tokens', async () => {
    const { client } = await manualSession();
    client.send('response.create', { response: { instructions: GREETING, max_output_tokens: 20 } });
    const { response } = await client.wait('response.done');
    expect(response).toMatchObject({
      status: 'incomplete',
      status_details: { type: 'incomplete', reason: 'max_output_tokens' },
    });
    expect(client.audio().length / 8_000).toBeCloseTo(1, 1);
  });

  it('is text where that is asked for', async () => {
    const { client } = await manualSession();
    client.send('response.create', { response: { instructions: GREETING, output_modalities: ['text'] } });
    const { response } = await client.wait('response.done');
    const text = client.of('response.output_text.delta').map(({ delta }) => delta);
    expect(text.join('')).toBe(GREETING);
    expect(response.output[0].content).toEqual([{ type: 'output_text', text: GREETING }]);
    expect(client.of('response.output_audio.delta')).toEqual([]);
  });
});

describe('a tool', () => {
  it('is called with the question, and its output answered with the sentence that fits and its source', async () => {
    const { client, record } = await session();
    await client.configure({ tools: [SEARCH] });
    await client.ask(QUESTIONS.saturdays);
    const { response } = await client.wait('response.done');
    expect(response).toMatchObject({
      status: 'completed',
      output: [{ type: 'function_call', name: SEARCH.name }],
    });
    const [call] = response.output;
    expect(JSON.parse(call.arguments)).toEqual({ query: QUESTIONS.saturdays });
    const deltas = client.of('response.function_call_arguments.delta').map(({ delta }) => delta);
    expect(deltas.join('')).toBe(call.arguments);
    expect(client.of('response.function_call_arguments.done')[0]).toMatchObject({
      call_id: call.call_id,
      item_id: call.id,
      name: SEARCH.name,
      arguments: call.arguments,
    });
    client.send('conversation.item.create', {
      item: { type: 'function_call_output', call_id: call.call_id, output: PAGES },
    });
    client.send('response.create');
    await client.wait('response.done', 2);
    expect(client.said()).toEqual([ANSWER, SOURCES['opening-hours']]);
    expect(client.transcript()).toBe(`${ANSWER} ${SOURCES['opening-hours']}`);
    expect(record.items.map(({ type }) => type)).toEqual([
      'message',
      'function_call',
      'function_call_output',
      'message',
    ]);
  });

  it.each([
    [QUESTIONS.repair, 'A standard repair takes two working days.', 'repairs'],
    [QUESTIONS.rent, 'A city bicycle costs fifteen euros a day to rent.', 'rental'],
    [QUESTIONS.return, 'You can return unused goods within thirty days with the receipt.', 'returns'],
  ] as const)('has %s answered out of everything that the shop knows', async (question, answer, page) => {
    const { client } = await manualSession();
    await client.configure({ tools: [SEARCH] });
    const everything = `repairs.md: A standard repair takes two working days. A puncture is mended while you wait, for twelve euros.
      You can leave your bicycle at the workshop door before nine. # returns You can return unused goods within thirty days with the
      receipt. A refund goes back to the card that you paid with within five days. rental A city bicycle costs fifteen euros a day to
      rent. A helmet and a lock are included in the rental price.`;
    const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text: question }] };
    client.send('conversation.item.create', { item });
    client.send('response.create');
    const [call] = (await client.wait('response.done')).response.output;
    client.send('conversation.item.create', {
      item: { type: 'function_call_output', call_id: call.call_id, output: everything },
    });
    client.send('response.create');
    await client.wait('response.done', 2);
    expect(client.said()).toEqual([answer, SOURCES[page]]);
  });

  it('that finds nothing leads to the sentence for it, and one that names no page to an answer without a source', async () => {
    const { client } = await manualSession();
    for (const [i, [output, said]] of (
      [
        ['[]', [UNKNOWN]],
        [`We know: ${ANSWER}`, [ANSWER]],
      ] as const
    ).entries()) {
      const item = {
        type: 'message',
        role: 'user',
        content: [{ type: 'input_text', text: QUESTIONS.saturdays }],
      };
      client.send('conversation.item.create', { item });
      client.send('conversation.item.create', {
        item: { type: 'function_call_output', call_id: `call_${i}`, output },
      });
      client.send('response.create');
      const { response } = await client.wait('response.done', i + 1);
      expect(phrasesIn(client.audio(narrow, response.output[0].id)).map(({ text }) => text)).toEqual(said);
    }
  });

  it('to transfer the caller is called after the words for it, and its output needs no answer', async () => {
    const { client } = await manualSession();
    await client.configure({ tools: [SEARCH, { ...SEARCH, name: 'transfer_call' }] });
    const content = [{ type: 'input_text', text: 'What is the meaning of life?' }];
    client.send('conversation.item.create', { item: { type: 'message', role: 'user', content } });
    client.send('response.create');
    const { output } = (await client.wait('response.done')).response;
    expect(output).toMatchObject([{ type: 'message' }, { type: 'function_call', name: 'transfer_call' }]);
    expect(client.of('response.output_item.added').map(({ output_index }) => output_index)).toEqual([0, 1]);
    expect(client.said()).toEqual([UNKNOWN]);
    const { call_id } = output[1];
    client.send('conversation.item.create', {
      item: { type: 'function_call_output', call_id, output: 'ok' },
    });
    client.send('response.create');
    expect((await client.wait('response.done', 2)).response).toMatchObject({
      status: 'completed',
      output: [],
    });
  });

  it('is not called with tool_choice none, nor if its name is about something else', async () => {
    const { client } = await session();
    await client.configure({ tools: [SEARCH], tool_choice: 'none' });
    await client.ask(QUESTIONS.saturdays);
    await client.wait('response.done');
    await client.configure({ tools: [{ ...SEARCH, name: 'transfer' }], tool_choice: 'auto' });
    await client.ask(QUESTIONS.saturdays);
    await client.wait('response.done', 2);
    expect(client.said()).toEqual([QUESTIONS.saturdays, QUESTIONS.saturdays]);
  });
});

describe('the conversation', () => {
  const text = (words: string, id?: string) => ({
    item: {
      type: 'message',
      role: 'user',
      content: [{ type: 'input_text', text: words }],
      ...(id === undefined ? {} : { id }),
    },
  });

  it('takes a key that the caller pressed as text, and acknowledges it', async () => {
    const { client } = await manualSession();
    client.send('conversation.item.create', text('The caller pressed 5.'));
    expect((await client.wait('conversation.item.done')).item.content).toEqual([
      { type: 'input_text', text: 'The caller pressed 5.' },
    ]);
    client.send('response.create');
    await client.wait('response.done');
    expect(client.said()).toEqual([KEY_PRESSED]);
  });

  it('keeps items where they are put, and retrieves and deletes them', async () => {
    const { client, record } = await manualSession();
    client.send('conversation.item.create', text('one', 'one'));
    client.send('conversation.item.create', text('three', 'three'));
    client.send('conversation.item.create', { ...text('two', 'two'), previous_item_id: 'one' });
    client.send('conversation.item.create', { ...text('zero', 'zero'), previous_item_id: 'root' });
    await client.wait('conversation.item.done', 4);
    expect(client.of('conversation.item.added').map((event) => event.previous_item_id)).toEqual([
      null,
      'one',
      'one',
      null,
    ]);
    client.send('conversation.item.delete', { item_id: 'two' });
    await client.wait('conversation.item.deleted');
    expect(record.items.map(({ id }) => id)).toEqual(['zero', 'one', 'three']);
    client.send('conversation.item.retrieve', { item_id: 'one' });
    expect((await client.wait('conversation.item.retrieved')).item.id).toBe('one');
  });

  it('rejects items that are unknown or known already', async () => {
    const { client } = await manualSession();
    client.send('conversation.item.create', text('one', 'one'));
    client.send('conversation.item.create', text('one', 'one'));
    expect((await client.error()).code).toBe('item_create_duplicate_item_id');
    client.send('conversation.item.create', { ...text('two'), previous_item_id: 'nine' });
    expect((await client.error()).code).toBe('item_create_invalid_previous_item_id');
    for (const [verb, fields] of [
      ['delete', {}],
      ['retrieve', {}],
      ['truncate', { content_index: 0, audio_end_ms: 0 }],
    ] as const) {
      client.send(`conversation.item.${verb}`, { item_id: 'nine', ...fields });
      expect((await client.error()).code).toBe(`item_${verb}_invalid_item_id`);
    }
  });

  it('keeps ten minutes of audio: older messages have their words only', async () => {
    const minute = { text: 'a minute of sound', pcm: new Int16Array(480_000) };
    const { client, record } = await manualSession({ speed: 1_000, reply: () => ({ say: [minute] }) });
    await client.configure({ audio: { output: { format: { type: 'audio/pcmu' } } } });
    for (let i = 1; i <= 12; i++) {
      client.send('response.create');
      await client.wait('response.done', i);
    }
    expect(record.items.map(({ heardMs }) => heardMs)).toEqual(Array.from({ length: 12 }, () => 60_000));
    const bytes: number[] = [];
    for (const [i, { id }] of record.items.entries()) {
      client.send('conversation.item.retrieve', { item_id: id });
      const [part] = (await client.wait('conversation.item.retrieved', i + 1)).item.content;
      expect(part.transcript).toBe(minute.text);
      bytes.push(Buffer.from(part.audio, 'base64').length);
    }
    // The latest had no audio yet when room was made for it.
    expect(bytes).toEqual([0, ...Array.from({ length: 11 }, () => 480_000)]);
  });

  it('is bounded: the oldest items make room', async () => {
    const { client, record } = await manualSession();
    for (let i = 0; i < 520; i++) client.send('conversation.item.create', text('word', `item_${i}`));
    await client.wait('conversation.item.done', 520);
    expect(record.items.length).toBe(500);
    expect(record.items[0]?.id).toBe('item_20');
  });
});

describe('truncation', () => {
  async function spoken() {
    const all = await manualSession();
    say(all.client, UNKNOWN);
    const { response } = await all.client.wait('response.done');
    const itemId: string = response.output[0].id;
    const truncate = (ms: number, content_index = 0, item_id = itemId) =>
      all.client.send('conversation.item.truncate', { item_id, content_index, audio_end_ms: ms });
    return { ...all, itemId, truncate, ms: (speak(UNKNOWN) as Int16Array).length / 8 };
  }

  it('cuts what the model believes was heard, and its transcript', async () => {
    const { client, record, itemId, truncate, ms } = await spoken();
    truncate(1_200);
    expect(await client.wait('conversation.item.truncated')).toMatchObject({
      item_id: itemId,
      content_index: 0,
      audio_end_ms: 1_200,
    });
    const item = record.items[0] as (typeof record.items)[number];
    expect(item).toMatchObject({ heardMs: 1_200, isTruncated: true });
    expect(item.sentMs).toBeCloseTo(ms);
    expect(UNKNOWN.startsWith(item.text)).toBe(true);
    expect(Math.abs(item.text.length / UNKNOWN.length - 1_200 / ms)).toBeLessThan(0.15);
    // Documented: the transcript is deleted, and the audio ends there.
    client.send('conversation.item.retrieve', { item_id: itemId });
    const [part] = (await client.wait('conversation.item.retrieved')).item.content;
    expect(part).not.toHaveProperty('transcript');
    expect(Buffer.from(part.audio, 'base64').length).toBe(1_200 * 48);
  });

  it('is rejected beyond what is there', async () => {
    const { client, record, truncate, ms } = await spoken();
    truncate(Math.floor(ms) + 1);
    expect(await client.error()).toMatchObject({
      type: 'invalid_request_error',
      code: 'invalid_value',
      message: `Audio content of ${Math.floor(ms)}ms is already shorter than ${Math.floor(ms) + 1}ms`,
    });
    expect(record.items[0]).toMatchObject({ isTruncated: false });
    truncate(800);
    await client.wait('conversation.item.truncated');
    truncate(801);
    expect((await client.error()).message).toBe('Audio content of 800ms is already shorter than 801ms');
  });

  it('is for messages with audio of the model alone', async () => {
    const { client, truncate } = await spoken();
    truncate(100, 1);
    expect((await client.error()).param).toBe('content_index');
    const item = { id: 'mine', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] };
    client.send('conversation.item.create', { item });
    truncate(0, 0, 'mine');
    expect(await client.error()).toMatchObject({
      code: 'unsupported_content_type',
      message: 'Only model output audio messages can be truncated',
    });
  });
});

describe('faults', () => {
  it('refuse every key in the handshake, or after it', async () => {
    const api = await start({ faults: { refusal: 429 } });
    expect((await refusal(connect(api))).status).toBe(429);
    api.faults = { refusal: 'socket' };
    const client = connect(api);
    await eventually('the close', () => client.closed !== undefined);
    expect(client.events[0]).toMatchObject({ type: 'error', error: { code: 'invalid_api_key' } });
    expect(client.closed).toEqual({ code: 3000, reason: 'invalid_request_error.invalid_api_key' });
    api.faults = {};
    await connect(api).wait('session.created');
  });

  it('delay the session, whose client may already speak, and the first delta', async () => {
    const api = await start({ faults: { sessionDelayMs: 3_000, firstDeltaMs: 2_000 } });
    const client = connect(api);
    await once(client.socket, 'open');
    const opened = clock.now();
    client.send('session.update', { session: { type: 'realtime', instructions: 'early' } });
    say(client, FILLER);
    const created = await client.wait('session.created');
    expect(created.at - opened).toBeGreaterThan(2_000);
    expect((await client.wait('session.updated')).session.instructions).toBe('early');
    const delta = await client.wait('response.output_audio.delta');
    expect(delta.at - client.of('response.created')[0].at).toBeGreaterThan(1_500);
  });

  it('slow a response down below the speed of speech', async () => {
    const { client, api } = await manualSession();
    api.faults = { speed: 0.5 };
    say(client, FILLER);
    await client.wait('response.done');
    const deltas = client.of('response.output_audio.delta');
    expect(deltas.at(-1).at - deltas[0].at).toBeGreaterThan((speak(FILLER) as Int16Array).length / 5);
  });

  it('stop in the middle of a word, with the socket open', async () => {
    const { client, api, record } = await manualSession();
    api.faults = { stallAfterMs: 700 };
    say(client, UNKNOWN);
    await client.wait('response.output_audio.delta', 7);
    const count = client.events.length;
    client.send('response.cancel');
    await sleep(10_000);
    expect(client.events.length).toBe(count);
    expect(client.closed).toBeUndefined();
    expect(record.items[0]?.sentMs).toBe(700);
  });

  it.each([1011, 1006])('close the socket in the middle of a word with %i', async (code) => {
    const { client, api, record } = await manualSession();
    api.faults = { closeAfter: { ms: 500, code } };
    say(client, UNKNOWN);
    await eventually('the close', () => client.closed !== undefined);
    expect(client.closed?.code).toBe(code);
    expect(client.of('response.output_audio.delta').length).toBe(5);
    await eventually('the record', () => record.closed !== undefined);
  });

  it('flood the client with a minute of audio at once', async () => {
    const { client, api } = await manualSession();
    api.faults = { floodMs: 60_000 };
    say(client, FILLER);
    await client.wait('response.done');
    const deltas = client.of('response.output_audio.delta');
    expect(client.audio((bytes) => new Int16Array(bytes.length / 2)).length / 24_000).toBeGreaterThanOrEqual(
      60,
    );
    expect(deltas.at(-1).at - deltas[0].at).toBeLessThan(15_000);
  });

  it('answer a given number of times with broken JSON', async () => {
    const { client, api } = await manualSession();
    api.faults = { malformed: 2 };
    const before = client.events.length;
    say(client, FILLER);
    await client.wait('response.done');
    const broken = client.texts.slice(before).filter((text) => {
      try {
        return JSON.parse(text) === undefined;
      } catch {
        return true;
      }
    });
    expect(broken.length).toBe(2);
  });

  it('send the audio in pieces that end within a sample', async () => {
    const { client, api } = await manualSession();
    api.faults = { oddDeltas: true };
    say(client, FILLER);
    await client.wait('response.done');
    const lengths = client
      .of('response.output_audio.delta')
      .map(({ delta }) => Buffer.from(delta, 'base64').length);
    expect(lengths.filter((length) => length % 2 === 1).length).toBeGreaterThan(0);
    expect((lengths[0] as number) % 2).toBe(1);
    expect(client.said()).toEqual([FILLER]);
  });

  it('fail a response for the limits of the account', async () => {
    const { client, api } = await manualSession();
    api.faults = { rateLimited: true };
    say(client, FILLER);
    expect((await client.wait('response.done')).response).toMatchObject({
      status: 'failed',
      status_details: { type: 'failed', error: { code: 'rate_limit_exceeded' } },
      output: [],
    });
    api.faults = {};
    say(client, FILLER);
    expect((await client.wait('response.done', 2)).response.status).toBe('completed');
  });

  it('let a response go on for a while after it was cancelled', async () => {
    const { client, api } = await manualSession({ speed: 1 });
    api.faults = { ignoreCancelMs: 1_000 };
    say(client, UNKNOWN);
    await client.wait('response.output_audio.delta', 2);
    client.send('response.cancel');
    const at = clock.now();
    const done = await client.wait('response.done');
    expect(done.response.status).toBe('cancelled');
    expect(done.at - at).toBeGreaterThanOrEqual(1_000);
    expect(client.of('response.output_audio.delta').length).toBeGreaterThanOrEqual(10);
  });
});

describe('the record', () => {
  it('holds what the client sent, without its audio, and how often', async () => {
    const { client, record } = await session();
    await client.speak(new Int16Array(1_600));
    client.socket.send('{}');
    await client.error();
    expect(record.receivedCounts).toMatchObject({ 'input_audio_buffer.append': 10, invalid: 1 });
    expect(record.received[0]).toMatchObject({
      type: 'input_audio_buffer.append',
      event: { audio: 1_280, event_id: 'client_0' },
    });
    // What the filter still holds is missing.
    expect(record.inputMs).toBeGreaterThan(195);
    expect(record.inputMs).toBeLessThanOrEqual(200);
    expect(record.sentCounts['session.created']).toBe(1);
    client.socket.close(1000, 'bye');
    await eventually('the close', () => record.closed !== undefined);
    expect(record.closed).toEqual({ code: 1000, reason: 'bye' });
  });

  it('shows what a test lets the model say: any sound with its words', async () => {
    const tone = { text: 'a long and steady tone', pcm: AudioSource.tone(440).pcm };
    const { client, record } = await manualSession({
      reply: ({ instructions }) => (instructions === 'sing' ? { say: [tone, tone] } : undefined),
    });
    client.send('response.create', { response: { instructions: 'sing' } });
    await client.wait('response.done');
    expect(record.items[0]).toMatchObject({ sentMs: 2_250, text: `${tone.text} ${tone.text}` });
    client.send('response.create');
    await client.wait('response.done', 2);
    expect(record.items[1]?.text).toBe(GREETING);
  });
});

it('answers whatever is sent to it with an event, and goes on', async () => {
  const { client } = await session();
  const known = {
    type: fc.constantFrom(...KNOWN_TYPES),
    session: fc.anything(),
    response: fc.anything(),
    item: fc.anything(),
    audio: fc.anything(),
    item_id: fc.anything(),
  };
  const events = fc.oneof(fc.record(known, { requiredKeys: ['type'] }), fc.json().map(jsonOf));
  for (const event of fc.sample(events, { numRuns: 500, seed: 19 }))
    client.socket.send(JSON.stringify(event ?? null));
  expect(await client.configure({ instructions: 'still here' })).toMatchObject({
    instructions: 'still here',
  });
  expect(client.of('error').length).toBeGreaterThan(100);
  for (const { error } of client.of('error')) {
    expect(error.type).toBe('invalid_request_error');
    expect(error.code).toMatch(/^[a-z_]+$/);
    expect(error.message).not.toMatch(/undefined|\[object/);
  }
});

it('checks its options', () => {
  expect(() => new SimulatedRealtime({ key: KEY, deltaMs: 5 })).toThrow('Expected 10 to 1000 milliseconds');
  expect(() => new SimulatedRealtime({ key: KEY, speed: 0 })).toThrow('Expected more than 0 for speed');
  expect(() => new SimulatedRealtime({ key: KEY, latencyMs: -1 })).toThrow('Expected at least 0');
});

describe('A-law', () => {
  it('is the ITU’s', () => {
    // G.711: the ends of the first segments and of the last, and what they decode to.
    expect([...encodeAlaw(Int16Array.of(0, 8, 16, -1, -17, 32_767, -32_768))]).toEqual([
      0xd5, 0xd5, 0xd4, 0x55, 0x54, 0xaa, 0x2a,
    ]);
    expect([...decodeAlaw(Uint8Array.of(0xd5, 0xd4, 0x55, 0xaa, 0x2a))]).toEqual([
      8, 24, -8, 32_256, -32_256,
    ]);
    const codes = new Uint8Array(256).map((_, code) => code);
    expect(encodeAlaw(decodeAlaw(codes))).toEqual(codes);
  });
});
