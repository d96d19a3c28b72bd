import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { GEMINI_PATH, GeminiLive, type GeminiMind, type GeminiOptions } from '../support/gemini-live.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

const virtual = virtualTime();

const MODEL = 'models/gemini-3.8-live';
const AUDIO = 'audio/pcm;rate=16000';
/** As much of a setup as every test needs. */
const SETUP = {
  model: MODEL,
  generationConfig: { responseModalities: ['AUDIO'] },
  outputAudioTranscription: {},
  inputAudioTranscription: {},
};

const running: GeminiLive[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((gemini) => gemini.close()));
});

async function start(options: Partial<GeminiOptions> = {}): Promise<GeminiLive> {
  const gemini = await GeminiLive.start({ clock, ...options });
  running.push(gemini);
  return gemini;
}

// biome-ignore lint/suspicious/noExplicitAny: what comes is what the test checks
type Message = any;

/** A client as the vendor's reference describes it, and nothing more. */
class Client {
  readonly messages: Message[] = [];
  /** What could not be read. */
  readonly broken: string[] = [];
  readonly kinds = new Set<'binary' | 'text'>();
  closed: { code: number; reason: string } | undefined;
  readonly socket: WebSocket;

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url, { headers });
    this.socket.on('error', () => {});
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    this.socket.on('message', (data, isBinary) => {
      this.kinds.add(isBinary ? 'binary' : 'text');
      try {
        this.messages.push(JSON.parse(data.toString()));
      } catch {
        this.broken.push(data.toString());
      }
    });
  }

  /** Connected, set up and ready. */
  static async ready(gemini: GeminiLive, setup: object = {}): Promise<Client> {
    const client = await Client.open(gemini);
    client.send({ setup: { ...SETUP, ...setup } });
    await eventually('setupComplete', () => client.has('setupComplete'));
    return client;
  }

  static async open(gemini: GeminiLive): Promise<Client> {
    const client = new Client(`${gemini.url}?key=${gemini.options.key}`);
    await once(client.socket, 'open');
    return client;
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  /** Sends a tone, or silence for 0 Hz, in real time. */
  async say(hz: number, ms: number, rate = 16_000, mimeType = `audio/pcm;rate=${rate}`): Promise<void> {
    const pcm = Int16Array.from({ length: (ms * rate) / 1_000 }, (_, n) =>
      Math.round(8_000 * Math.sin((2 * Math.PI * hz * n) / rate)),
    );
    for (let at = 0; at < pcm.length; at += rate / 50) {
      const bytes = Buffer.from(pcm.slice(at, at + rate / 50).buffer);
      this.send({ realtimeInput: { audio: { data: bytes.toString('base64'), mimeType } } });
      await sleep(20);
    }
  }

  has(kind: string): boolean {
    return this.messages.some((message) => kind in message);
  }

  /** The fields of one name in all `serverContent`, in order. */
  content(name: string): Message[] {
    return this.messages
      .map(({ serverContent }) => serverContent?.[name])
      .filter((value) => value !== undefined);
  }

  /** The names of all that came, in order, repetitions as one. */
  get order(): string[] {
    const names = this.messages.flatMap((message) =>
      Object.keys(message.serverContent ?? message).filter((name) => name !== 'usageMetadata'),
    );
    return names.filter((name, index) => name !== names[index - 1]);
  }

  /** Bytes of audio in each message that has any. */
  get chunks(): Buffer[] {
    const parts: Message[] = this.content('modelTurn').flatMap(({ parts }) => parts);
    return parts.flatMap(({ inlineData }) => (inlineData ? [Buffer.from(inlineData.data, 'base64')] : []));
  }

  /** 24 kHz. */
  get audio(): Int16Array {
    return new Int16Array(new Uint8Array(Buffer.concat(this.chunks)).buffer);
  }

  get audioMs(): number {
    return this.audio.length / 24;
  }

  get transcript(): string {
    return this.content('outputTranscription')
      .map(({ text }) => text)
      .join('');
  }

  async turns(count: number): Promise<void> {
    await eventually(`${count} turns`, () => this.content('turnComplete').length >= count, 30_000);
  }

  async close(): Promise<{ code: number; reason: string }> {
    await eventually('the close', () => this.closed !== undefined, 60_000);
    return this.closed as { code: number; reason: string };
  }
}

/** Frequency of a tone, by its zero crossings in the middle half. */
function pitch(samples: Int16Array, rate = 24_000): number {
  const middle = samples.subarray(samples.length / 4, (3 * samples.length) / 4);
  const crossings = middle.reduce((sum, sample, n) => {
    return sum + Number(sample >= 0 !== (middle[n - 1] ?? 0) >= 0);
  }, 0);
  return (crossings * rate) / 2 / middle.length;
}

describe('its key', () => {
  it.each([
    ['in the address', (key: string) => [`?key=${key}`, {}] as const],
    ['in a header', (key: string) => ['', { 'x-goog-api-key': key }] as const],
  ])('is accepted %s', async (_, how) => {
    const gemini = await start();
    const [query, headers] = how(gemini.options.key);
    const client = new Client(gemini.url + query, headers);
    await once(client.socket, 'open');
    client.send({ setup: SETUP });
    await eventually('setupComplete', () => client.has('setupComplete'));
    expect(client.messages[0]).toEqual({ setupComplete: {} });
  });

  it('is accepted at the path with two slashes that the vendor’s own client uses', async () => {
    const gemini = await start();
    const client = new Client(`${gemini.baseUrl}/${GEMINI_PATH}?key=${gemini.options.key}`);
    await once(client.socket, 'open');
    expect(gemini.openConnections).toBe(1);
  });

  it('is refused by a close after the upgrade', async () => {
    const gemini = await start();
    const wrong = new Client(`${gemini.url}?key=other`);
    expect(await wrong.close()).toEqual({
      code: 1007,
      reason: 'API key not valid. Please pass a valid API key.',
    });
    const missing = await new Client(gemini.url).close();
    expect(missing.code).toBe(1008);
    expect(missing.reason).toContain("Method doesn't allow unregistered callers");
    gemini.faults.refuseKey = true;
    expect((await new Client(`${gemini.url}?key=${gemini.options.key}`).close()).code).toBe(1007);
    expect(gemini.refused).toEqual({ keys: 3, paths: 0 });
  });

  it('does not open any other path', async () => {
    const gemini = await start();
    const client = new Client(`${gemini.baseUrl}/ws/other?key=${gemini.options.key}`);
    const [, response] = (await once(client.socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number },
    ];
    expect(response.statusCode).toBe(404);
  });
});

describe('a setup', () => {
  it('takes all that the reference lists, in both spellings', async () => {
    const gemini = await start();
    const client = await Client.ready(gemini, {
      generationConfig: {
        responseModalities: ['AUDIO'],
        temperature: 0.7,
        speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: 'Kore' } }, languageCode: 'en-US' },
      },
      system_instruction: { parts: [{ text: 'Be brief.' }, { text: 'Be kind.' }] },
      tools: [
        {
          functionDeclarations: [
            {
              name: 'look_up',
              description: 'Looks something up.',
              parameters: {
                type: 'OBJECT',
                properties: { query: { type: 'STRING', enum: ['a', 'b'] }, count: { type: 'integer' } },
                required: ['query'],
              },
            },
            { name: 'hang_up', behavior: 'BLOCKING' },
            {
              name: 'strict',
              parametersJsonSchema: { type: 'object', properties: {}, additionalProperties: false },
            },
          ],
        },
      ],
      realtimeInputConfig: {
        automaticActivityDetection: {
          disabled: false,
          startOfSpeechSensitivity: 'START_SENSITIVITY_LOW',
          endOfSpeechSensitivity: 'END_SENSITIVITY_LOW',
          prefixPaddingMs: 20,
          silenceDurationMs: 100,
        },
        activityHandling: 'START_OF_ACTIVITY_INTERRUPTS',
        turnCoverage: 'TURN_INCLUDES_ONLY_ACTIVITY',
      },
      sessionResumption: {},
      contextWindowCompression: { triggerTokens: '25600', slidingWindow: { targetTokens: '12800' } },
    });
    expect(client.closed).toBeUndefined();
    expect(gemini.session.instructions).toBe('Be brief.\n\nBe kind.');
    expect(gemini.session.tools.map(({ name }) => name)).toEqual(['look_up', 'hang_up', 'strict']);
    // As the vendor sends them.
    expect([...client.kinds]).toEqual(['binary']);
  });

  const parameters = (schema: object) => ({
    tools: [{ functionDeclarations: [{ name: 'f', parameters: schema }] }],
  });
  it.each<[string, object, string]>([
    [
      'a field in the wrong place',
      { speechConfig: {} },
      `Unknown name "speechConfig" at 'setup': Cannot find field.`,
    ],
    [
      'a field that v1beta does not know',
      { proactivity: {} },
      `Unknown name "proactivity" at 'setup': Cannot find field.`,
    ],
    [
      'a field of the other platform',
      { sessionResumption: { transparent: true } },
      `Unknown name "transparent" at 'setup.session_resumption': Cannot find field.`,
    ],
    [
      'JSON Schema in place of OpenAPI',
      parameters({ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }),
      `Unknown name "additionalProperties" at 'setup.tools[0].function_declarations[0].paramet`,
    ],
    [
      'a union of types',
      parameters({ type: 'object', properties: { a: { type: ['string', 'null'] } } }),
      `Unknown name "type" at 'setup.tools[0].function_declarations[0].parameters.properties[0].v`,
    ],
    ['an object without properties', parameters({ type: 'object', properties: {} }), 'invalid argument'],
    ['two modalities', { generationConfig: { responseModalities: ['AUDIO', 'TEXT'] } }, 'invalid argument'],
    [
      'a string for a content',
      { systemInstruction: 'Be brief.' },
      `Invalid value at 'setup.system_instruction'`,
    ],
    [
      'an unknown value of an enumeration',
      { realtimeInputConfig: { activityHandling: 'ALWAYS' } },
      `Invalid value at 'setup.realtime_input_config.activity_handling'`,
    ],
    ['no model', { model: null }, 'invalid argument'],
    [
      'a way to think',
      { generationConfig: { thinkingConfig: { thinkingLevel: 'low' } } },
      'invalid argument',
    ],
    [
      'an unknown voice',
      {
        generationConfig: { speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: 'alloy' } } } },
      },
      `Requested voice api_name 'alloy' is not available`,
    ],
  ])('with %s closes the connection with 1007', async (_, more, reason) => {
    const client = await Client.open(await start());
    client.send({ setup: { ...SETUP, ...more } });
    const closed = await client.close();
    expect(closed.code).toBe(1007);
    expect(closed.reason).toContain(reason);
    expect(client.messages).toEqual([]);
  });

  it('of an unknown model closes the connection with 1008', async () => {
    const client = await Client.open(await start());
    client.send({ setup: { ...SETUP, model: 'gemini-3.8-live' } });
    expect(await client.close()).toEqual({
      code: 1008,
      reason:
        'gemini-3.8-live is not found for API version v1beta, or is not supported for bidiGenerateContent.',
    });
  });

  it('comes first, only once, and is answered before anything else comes', async () => {
    const gemini = await start();
    const first = await Client.open(gemini);
    first.send({ realtimeInput: { text: 'Hello' } });
    const again = await Client.ready(gemini);
    again.send({ setup: SETUP });
    const early = await Client.open(gemini);
    early.send({ setup: SETUP });
    early.send({ realtimeInput: { text: 'Hello' } });
    for (const client of [first, again, early]) {
      expect(await client.close()).toEqual({
        code: 1007,
        reason: 'setup must be the first message and only the first',
      });
    }
  });
});

describe('a message', () => {
  it.each<[string, object | string, string]>([
    ['that is not JSON', '{"realtimeInput":', 'Invalid JSON payload received'],
    [
      'of two kinds',
      { realtimeInput: { text: 'a' }, clientContent: {} },
      `oneof field 'message_type' is already set`,
    ],
    ['of an unknown kind', { response: {} }, 'Unknown name "response": Cannot find field.'],
    [
      'with media chunks',
      { realtimeInput: { mediaChunks: [{ data: '', mimeType: AUDIO }] } },
      'realtime_input.media_chunks is deprecated. Use audio, video, or text instead.',
    ],
    [
      'with audio that is not base64',
      { realtimeInput: { audio: { data: '&&&', mimeType: AUDIO } } },
      'Base64 decoding failed',
    ],
    [
      'with half a sample',
      { realtimeInput: { audio: { data: 'AAAA', mimeType: AUDIO } } },
      'invalid argument',
    ],
    [
      'with µ-law',
      { realtimeInput: { audio: { data: 'AAAA', mimeType: 'audio/basic' } } },
      'invalid argument',
    ],
    [
      'that marks activity while activity is detected',
      { realtimeInput: { activityStart: {} } },
      'Explicit activity control is not supported when automatic activity detection is enabled.',
    ],
    [
      'with a response that is not an object',
      { toolResponse: { functionResponses: [{ id: 'a', name: 'f', response: 'done' }] } },
      `Invalid value at 'tool_response.function_responses[0].response' (type.googleapis.com/google.protobuf.Struct)`,
    ],
    [
      'with a response without an id',
      { toolResponse: { functionResponses: [{ name: 'f', response: {} }] } },
      'invalid argument',
    ],
  ])('%s closes the connection with 1007', async (_, message, reason) => {
    const client = await Client.ready(await start());
    client.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
    const closed = await client.close();
    expect(closed.code).toBe(1007);
    expect(closed.reason).toContain(reason);
  });
});

describe('speech', () => {
  it('is answered with audio and a transcript that agree, faster than real time', async () => {
    const gemini = await start();
    const client = await Client.ready(gemini);
    await client.say(0, 200);
    await client.say(440, 2_000);
    await client.say(0, 600);
    await eventually('audio', () => client.audioMs > 0);
    const begun = clock.now();
    await eventually('all audio', () => client.content('generationComplete').length > 0);
    const generatedMs = clock.now() - begun;
    const [turn] = gemini.session.turns;
    expect(turn).toMatchObject({ kind: 'speech', isInterrupted: false, isComplete: false });
    expect(client.audioMs).toBe(turn?.sentMs);
    // What was said, and a little before and after it.
    expect(client.audioMs).toBeGreaterThanOrEqual(2_000);
    expect(client.audioMs).toBeLessThan(2_400);
    expect(pitch(client.audio)).toBeCloseTo(440, -1);
    expect(client.transcript).toBe(turn?.transcript);
    expect(client.transcript.split(' ')).toHaveLength(Math.round((turn?.heardMs ?? 0) / 400));
    expect(generatedMs).toBeLessThan(client.audioMs / 2);
    // The turn lasts as long as its audio.
    await client.turns(1);
    expect(clock.now() - begun).toBeGreaterThan(client.audioMs - 200);
    expect(
      client
        .content('inputTranscription')
        .map(({ text }) => text)
        .join(''),
    ).toBe(turn?.transcript);
    expect(client.messages.at(-1)).toMatchObject({
      serverContent: { turnComplete: true },
      usageMetadata: { promptTokenCount: 70, responseTokenCount: Math.ceil(client.audioMs / 40) },
    });
  });

  it('is heard at the rate that its type names', async () => {
    const gemini = await start();
    const client = await Client.ready(gemini);
    await client.say(440, 800, 8_000);
    await client.say(0, 600, 8_000);
    await client.turns(1);
    await client.say(440, 800, 48_000);
    await client.say(0, 600, 48_000);
    await client.turns(2);
    // Without a rate, it is 16 kHz.
    await client.say(440, 800, 16_000, 'audio/pcm');
    await client.say(0, 600, 16_000);
    await client.turns(3);
    expect(gemini.session.received.audioMs).toBe(3 * 1_400);
    for (const { heard, heardMs } of gemini.session.turns) {
      expect(heardMs).toBeGreaterThanOrEqual(800);
      expect(heardMs).toBeLessThan(1_100);
      expect(heard.length).toBe(heardMs * 16);
      expect(pitch(heard, 16_000)).toBeCloseTo(440, -1);
    }
  });

  it('ends by silence in the audio, not by silence of the client', async () => {
    const gemini = await start();
    const client = await Client.ready(gemini);
    await client.say(440, 600);
    await sleep(5_000);
    expect(gemini.session.turns).toEqual([]);
    client.send({ realtimeInput: { audioStreamEnd: true } });
    await client.turns(1);
    expect(gemini.session.turns[0]?.heardMs).toBe(600);
    expect(gemini.session.received).toMatchObject({ audioMs: 600, chunks: 30, streamEnds: 1 });
  });

  it('is separated from clicks and pauses as the setup says', async () => {
    const gemini = await start();
    const detection = (automaticActivityDetection: object) => ({
      realtimeInputConfig: { automaticActivityDetection },
    });
    const patient = await Client.ready(gemini, detection({ silenceDurationMs: 1_000, prefixPaddingMs: 200 }));
    await patient.say(440, 160);
    await patient.say(0, 1_200);
    expect(gemini.session.turns).toEqual([]);
    await patient.say(440, 400);
    await patient.say(0, 900);
    await patient.say(440, 400);
    await patient.say(0, 1_200);
    await patient.turns(1);
    expect(gemini.session.turns.map(({ heardMs }) => Math.round(heardMs / 500))).toEqual([4]);
    const quick = await Client.ready(gemini, detection({ silenceDurationMs: 100 }));
    await quick.say(440, 400);
    await quick.say(0, 300);
    await quick.turns(1);
  });

  it('is only what the client marks when detection is disabled', async () => {
    const gemini = await start();
    const client = await Client.ready(gemini, {
      realtimeInputConfig: { automaticActivityDetection: { disabled: true } },
    });
    await client.say(440, 1_000);
    client.send({ realtimeInput: { activityStart: {} } });
    await client.say(0, 400);
    await client.say(440, 400);
    client.send({ realtimeInput: { activityEnd: {} } });
    await client.turns(1);
    expect(gemini.session.turns.map(({ heardMs }) => heardMs)).toEqual([800]);
    client.send({ realtimeInput: { audioStreamEnd: true } });
    expect((await client.close()).code).toBe(1007);
  });
});

describe('the user', () => {
  /** A long answer has begun. */
  async function interruptible(gemini: GeminiLive, setup: object = {}): Promise<Client> {
    const client = await Client.ready(gemini, setup);
    client.send({ realtimeInput: { text: 'one two three four five six seven eight nine ten' } });
    await eventually('audio', () => client.audioMs >= 1_000);
    return client;
  }

  it('interrupts the model: generation stops, and only what was sent is remembered', async () => {
    const gemini = await start();
    const client = await interruptible(gemini);
    await client.say(440, 300);
    await client.turns(1);
    const [turn] = gemini.session.turns;
    expect(turn).toMatchObject({ isInterrupted: true, isComplete: true });
    expect(client.audioMs).toBe(turn?.sentMs);
    expect(client.audioMs).toBeLessThan(4_000);
    expect(client.transcript).toBe(turn?.transcript);
    expect(client.transcript).toBe(gemini.session.history.at(-1)?.text);
    expect(client.transcript.split(' ')).toHaveLength(Math.ceil(client.audioMs / 400));
    expect(client.order.slice(-3)).toEqual(['voiceActivity', 'interrupted', 'turnComplete']);
    expect(client.content('generationComplete')).toEqual([]);
    // And the model answers what interrupted it.
    await client.say(0, 600);
    await client.turns(2);
    expect(gemini.session.turns[1]).toMatchObject({ kind: 'speech', isInterrupted: false });
  });

  it('interrupts as well when all is generated but not played yet', async () => {
    const gemini = await start();
    const client = await interruptible(gemini);
    await eventually('the end of generation', () => client.content('generationComplete').length > 0);
    await client.say(440, 100);
    await client.turns(1);
    expect(client.order.slice(-4)).toEqual([
      'generationComplete',
      'voiceActivity',
      'interrupted',
      'turnComplete',
    ]);
    expect(client.audioMs).toBe(4_000);
  });

  it('is heard but does not interrupt when the setup says so', async () => {
    const gemini = await start();
    const client = await interruptible(gemini, {
      realtimeInputConfig: { activityHandling: 'NO_INTERRUPTION' },
    });
    await client.say(440, 400);
    await client.say(0, 600);
    await client.turns(2);
    expect(gemini.session.turns.map(({ kind, sentMs }) => [kind, sentMs >= 400])).toEqual([
      ['text', true],
      ['speech', true],
    ]);
    expect(gemini.session.turns[0]?.sentMs).toBe(4_000);
    expect(client.content('interrupted')).toEqual([]);
  });

  it('may write: real-time text is answered at once, content when its turn is complete', async () => {
    const gemini = await start();
    const client = await Client.ready(gemini);
    const turns = (text: string, role = 'user') => [{ role, parts: [{ text }] }];
    client.send({ clientContent: { turns: turns('You sell bicycles.') } });
    client.send({ clientContent: { turns: turns('I see.', 'model'), turnComplete: false } });
    await sleep(2_000);
    expect(gemini.session.turns).toEqual([]);
    client.send({ clientContent: { turns: turns('Say hello.'), turnComplete: true } });
    await client.turns(1);
    client.send({ realtimeInput: { text: 'Say goodbye.' } });
    await client.turns(2);
    expect(gemini.session.history).toEqual([
      { role: 'user', text: 'You sell bicycles.' },
      { role: 'model', text: 'I see.' },
      { role: 'user', text: 'Say hello.' },
      { role: 'model', text: 'w1 w2' },
      { role: 'user', text: 'Say goodbye.' },
      { role: 'model', text: 'w1 w2' },
    ]);
    client.send({ clientContent: { turns: turns('Hello', 'assistant') } });
    expect((await client.close()).code).toBe(1007);
  });
});

describe('a function', () => {
  /** Calls the function for text, says its result's words for the rest. */
  const mind: GeminiMind = {
    reply: (_, { input }) =>
      input.kind === 'text'
        ? {
            audio: new Int16Array(24_000),
            transcript: 'one moment',
            call: { name: 'look_up', args: { query: input.text } },
          }
        : { audio: new Int16Array(48_000), transcript: input.kind },
  };
  const tools = (behavior?: string) => ({
    tools: [{ functionDeclarations: [{ name: 'look_up', behavior }] }],
  });

  async function called(gemini: GeminiLive, setup: object): Promise<{ client: Client; id: string }> {
    const client = await Client.ready(gemini, setup);
    client.send({ realtimeInput: { text: 'opening hours' } });
    await eventually('a call', () => client.has('toolCall'));
    const [call] = client.messages.find((message) => 'toolCall' in message).toolCall.functionCalls;
    expect(call).toEqual({
      id: expect.stringMatching(/^function-call-\d+$/),
      name: 'look_up',
      args: { query: 'opening hours' },
    });
    return { client, id: call.id };
  }
  const respond = (id: string, more: object = {}) => ({
    toolResponse: {
      functionResponses: [{ id, name: 'look_up', response: { output: 'From nine.' }, ...more }],
    },
  });

  it('that blocks holds its turn until the response is here', async () => {
    const gemini = await start({ mind });
    const { client, id } = await called(gemini, tools('BLOCKING'));
    await sleep(5_000);
    expect(client.content('turnComplete')).toEqual([]);
    client.send(respond(id));
    await client.turns(1);
    expect(client.transcript).toBe('one moment tools');
    expect(gemini.session.turns).toHaveLength(1);
    expect(gemini.session.turns[0]).toMatchObject({ sentMs: 3_000, calls: [{ id, isBlocking: true }] });
    expect(gemini.session.received.responses).toMatchObject([{ id, response: { output: 'From nine.' } }]);
    expect(gemini.session.pending.size).toBe(0);
  });

  it('that blocks is cancelled by the user', async () => {
    const gemini = await start({ mind });
    const { client, id } = await called(gemini, tools('BLOCKING'));
    await client.say(440, 400);
    await client.turns(1);
    expect(client.messages).toContainEqual({ toolCallCancellation: { ids: [id] } });
    expect(client.order.slice(-3)).toEqual(['interrupted', 'toolCallCancellation', 'turnComplete']);
    expect(gemini.session.cancelled).toEqual([id]);
    // A late response changes nothing.
    client.send(respond(id));
    await client.say(0, 600);
    await client.turns(2);
    expect(client.transcript).toBe('one moment' + 'speech');
    expect(gemini.session.received.strayResponses).toMatchObject([{ id }]);
  });

  it('that does not block lets the turn end, and its response begins another', async () => {
    const gemini = await start({ mind });
    const { client, id } = await called(gemini, tools());
    await client.turns(1);
    await client.say(440, 400);
    expect(client.has('toolCallCancellation')).toBe(false);
    await client.say(0, 600);
    await eventually('an answer to that', () => client.transcript.endsWith('speech'));
    // It waits until the model is idle.
    client.send(respond(id));
    await client.turns(3);
    expect(gemini.session.turns.map(({ kind, isInterrupted }) => [kind, isInterrupted])).toEqual([
      ['text', false],
      ['speech', false],
      ['tools', false],
    ]);
  });

  it('that does not block interrupts or stays silent as its response says', async () => {
    const gemini = await start({ mind });
    const { client, id } = await called(gemini, tools('NON_BLOCKING'));
    await client.turns(1);
    client.send(respond(id, { scheduling: 'SILENT' }));
    client.send({ realtimeInput: { text: 'opening hours' } });
    await eventually('another call', () => gemini.session.turns[1]?.calls.length === 1);
    client.send(respond(gemini.session.turns[1]?.calls[0]?.id ?? '', { scheduling: 'INTERRUPT' }));
    await client.turns(3);
    expect(gemini.session.turns.map(({ kind, isInterrupted }) => [kind, isInterrupted])).toEqual([
      ['text', false],
      ['text', true],
      ['tools', false],
    ]);
  });

  it('blocks unless declared otherwise with models before 3.8', async () => {
    const gemini = await start({ mind });
    const { client, id } = await called(gemini, {
      ...tools(),
      model: 'models/gemini-2.5-flash-native-audio-latest',
    });
    await sleep(3_000);
    expect(client.content('turnComplete')).toEqual([]);
    client.send(respond(id));
    await client.turns(1);
    expect(client.has('voiceActivity')).toBe(false);
  });

  it('closes the connection when audio comes meanwhile, with that fault', async () => {
    const gemini = await start({ mind });
    gemini.faults.refuseAudioDuringCall = true;
    const { client } = await called(gemini, tools('BLOCKING'));
    await client.say(0, 20);
    expect(await client.close()).toEqual({
      code: 1008,
      reason: 'Operation is not implemented, or supported, or enabled.',
    });
  });
});

describe('a session', () => {
  const handleOf = (client: Client) =>
    client.messages.find((message) => 'sessionResumptionUpdate' in message).sessionResumptionUpdate.newHandle;
  const resumption = (handle?: string) => ({ sessionResumption: handle === undefined ? {} : { handle } });

  it('gets a handle only if it asked for one', async () => {
    const gemini = await start();
    const without = await Client.ready(gemini);
    without.send({ realtimeInput: { text: 'Hello' } });
    await without.turns(1);
    expect(without.has('sessionResumptionUpdate')).toBe(false);
    const client = await Client.ready(gemini, resumption());
    await eventually('a handle', () => client.has('sessionResumptionUpdate'));
    expect(client.messages[1]).toEqual({
      sessionResumptionUpdate: { newHandle: expect.stringMatching(/^[0-9a-f-]{36}$/), resumable: true },
    });
    client.send({ realtimeInput: { text: 'Hello' } });
    await client.turns(1);
    expect(client.messages.filter((message) => 'sessionResumptionUpdate' in message)).toHaveLength(1);
  });

  it('gets handles around each turn if it is set to follow the reference', async () => {
    const client = await Client.ready(await start({ handles: 'turns' }), resumption());
    client.send({ realtimeInput: { text: 'Hello' } });
    await client.turns(1);
    await eventually('a handle', () => client.order.at(-1) === 'sessionResumptionUpdate');
    const updates = client.messages.flatMap(({ sessionResumptionUpdate: update }) =>
      update ? [update] : [],
    );
    expect(updates.map(({ newHandle, resumable }) => [newHandle !== undefined, resumable])).toEqual([
      [true, true],
      // Not resumable while the model generates: proto3 leaves out what is false or empty.
      [false, undefined],
      [true, true],
    ]);
  });

  it('is resumed with its history and its pending functions, and may be set up anew', async () => {
    const gemini = await start({
      mind: {
        reply: (_, { input, history }) =>
          input.kind === 'text' && input.text === 'call'
            ? { call: { name: 'look_up', args: {} } }
            : { audio: new Int16Array(2_400), transcript: `${history.length} entries` },
      },
    });
    const tools = [{ functionDeclarations: [{ name: 'look_up' }] }];
    const first = await Client.ready(gemini, { ...resumption(), tools });
    first.send({ realtimeInput: { text: 'Hello' } });
    await first.turns(1);
    first.send({ realtimeInput: { text: 'call' } });
    await first.turns(2);
    const [call] = gemini.session.pending.values();
    first.socket.close(1000, 'bye');
    await first.close();
    expect(gemini.session.closed).toEqual({ code: 1000, reason: 'bye' });
    await sleep(gemini.options.heldMs + 500);
    const second = await Client.ready(gemini, {
      ...resumption(handleOf(first)),
      tools,
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
    });
    second.send({
      toolResponse: {
        functionResponses: [{ id: call?.id, name: 'look_up', response: { output: 'Found.' } }],
      },
    });
    await second.turns(1);
    expect(second.transcript).toBe('4 entries');
    expect(gemini.sessions).toHaveLength(1);
    expect(gemini.session.received.connections).toBe(2);
    expect(gemini.session.instructions).toBe('Be brief.');
    expect(handleOf(second)).not.toBe(handleOf(first));
  });

  it('is refused with 1011 while its connection lasts, and for a second longer if it was idle', async () => {
    const gemini = await start();
    const first = await Client.ready(gemini, resumption());
    await eventually('a handle', () => first.has('sessionResumptionUpdate'));
    const refused = async () => {
      const client = await Client.open(gemini);
      client.send({ setup: { ...SETUP, ...resumption(handleOf(first)) } });
      return client.close();
    };
    const internal = { code: 1011, reason: 'Internal error encountered.' };
    expect(await refused()).toEqual(internal);
    first.socket.terminate();
    await eventually('the loss', () => gemini.openConnections === 0);
    expect(await refused()).toEqual(internal);
    await sleep(1_000);
    const second = await Client.ready(gemini, resumption(handleOf(first)));
    // One whose model speaks is free at once.
    second.send({ realtimeInput: { text: 'one two three four five' } });
    await eventually('audio', () => second.audioMs > 0);
    second.socket.terminate();
    await eventually('the loss', () => gemini.openConnections === 0);
    await Client.ready(gemini, resumption(handleOf(second)));
    expect(gemini.sessions).toHaveLength(1);
  });

  it.each([
    ['no handle at all', 'nonsense', MODEL, 1007, 'Invalid session handle'],
    [
      'an unknown handle',
      '00000000-0000-4000-8000-000000000000',
      MODEL,
      1008,
      'BidiGenerateContent session not found',
    ],
  ])('is not resumed by %s', async (_, handle, model, code, reason) => {
    const client = await Client.open(await start());
    client.send({ setup: { ...SETUP, model, ...resumption(handle) } });
    expect(await client.close()).toEqual({ code, reason });
  });

  it('is not resumed with another model, nor after two hours', async () => {
    const gemini = await start();
    const first = await Client.ready(gemini, resumption());
    await eventually('a handle', () => first.has('sessionResumptionUpdate'));
    first.socket.close();
    await first.close();
    await sleep(2_000);
    const other = await Client.open(gemini);
    other.send({
      setup: { ...SETUP, model: 'models/gemini-3.1-flash-live-preview', ...resumption(handleOf(first)) },
    });
    expect((await other.close()).code).toBe(1007);
    await virtual.byHand(async () => virtual.advance(2 * 3_600_000));
    const late = await Client.open(gemini);
    late.send({ setup: { ...SETUP, ...resumption(handleOf(first)) } });
    expect((await late.close()).code).toBe(1008);
  });

  it('gets notice before its connection ends', async () => {
    const gemini = await start({ lifeMs: 60_000 });
    const client = await Client.ready(gemini);
    await eventually('notice', () => client.has('goAway'), 12_000);
    expect(client.messages.at(-1)).toEqual({ goAway: { timeLeft: '50s' } });
    const at = clock.now();
    expect((await client.close()).code).toBe(1008);
    expect(Math.round((clock.now() - at) / 1_000)).toBe(50);
    const other = await Client.ready(gemini);
    gemini.goAway(500);
    expect((await other.close()).code).toBe(1008);
    expect(other.messages.at(-1)).toEqual({ goAway: { timeLeft: '0.500s' } });
  });
});

describe('a fault', () => {
  const TEXT = 'one two three four five';
  async function answered(gemini: GeminiLive): Promise<Client> {
    const client = await Client.ready(gemini);
    client.send({ realtimeInput: { text: TEXT } });
    return client;
  }

  it('delays the setup and the first audio', async () => {
    const gemini = await start();
    gemini.faults.setupMs = 3_000;
    gemini.faults.firstAudioMs = 4_000;
    const begun = clock.now();
    const client = await Client.ready(gemini);
    const ready = clock.now();
    client.send({ realtimeInput: { text: TEXT } });
    await eventually('audio', () => client.audioMs > 0, 10_000);
    expect(ready - begun).toBeGreaterThanOrEqual(3_000);
    expect(clock.now() - ready).toBeGreaterThanOrEqual(4_000);
    gemini.faults.firstAudioMs = undefined;
    await client.turns(1);
    const again = clock.now();
    client.send({ realtimeInput: { text: TEXT } });
    await eventually('audio again', () => client.audioMs > 2_000);
    expect(clock.now() - again).toBeLessThan(4_000);
  });

  it('stops in the middle of a word, with the connection open', async () => {
    const gemini = await start();
    gemini.faults.stopAfterMs = 550;
    const client = await answered(gemini);
    await eventually('audio', () => client.audioMs >= 550);
    const count = client.messages.length;
    client.send({ realtimeInput: { text: TEXT } });
    await client.say(440, 400);
    await client.say(0, 1_000);
    await sleep(5_000);
    expect(client.messages).toHaveLength(count);
    expect(client.closed).toBeUndefined();
    expect(gemini.session.turns).toMatchObject([{ sentMs: 550, transcript: 'w1 w2', isComplete: false }]);
    const pong = once(client.socket, 'pong');
    client.socket.ping();
    await pong;
  });

  it('closes in the middle of a word', async () => {
    const gemini = await start();
    gemini.faults.closeAfterMs = 550;
    const client = await answered(gemini);
    expect(await client.close()).toEqual({ code: 1011, reason: 'Internal error encountered.' });
    expect(client.audioMs).toBe(550);
  });

  it('cuts connections without a close frame', async () => {
    const gemini = await start();
    const client = await answered(gemini);
    await eventually('audio', () => client.audioMs > 0);
    gemini.cut();
    expect((await client.close()).code).toBe(1006);
  });

  it('puts a message that is not JSON into an answer', async () => {
    const gemini = await start();
    gemini.faults.malformed = true;
    const client = await answered(gemini);
    await client.turns(1);
    expect(client.broken).toHaveLength(1);
    expect(client.audioMs).toBe(2_000);
  });

  it('cuts samples in two', async () => {
    const gemini = await start();
    gemini.faults.oddBytes = true;
    const client = await answered(gemini);
    await client.turns(1);
    expect(client.chunks.filter(({ length }) => length % 2 === 1).length).toBeGreaterThan(10);
    expect(client.audioMs).toBe(2_000);
    expect(pitch(client.audio)).toBeCloseTo(440, -1);
  });

  it('floods the client', async () => {
    const gemini = await start();
    gemini.faults.floodMs = 60_000;
    const client = await Client.ready(gemini);
    const begun = clock.now();
    client.send({ realtimeInput: { text: TEXT } });
    await eventually('all of it', () => client.audioMs === 60_000, 30_000);
    expect(clock.now() - begun).toBeLessThan(30_000);
    // The next words interrupt it.
    gemini.faults.floodMs = undefined;
    client.send({ realtimeInput: { text: TEXT } });
    await client.turns(2);
    expect(gemini.session.turns.map(({ isInterrupted, sentMs }) => [isInterrupted, sentMs])).toEqual([
      [true, 60_000],
      [false, 2_000],
    ]);
  });

  it('of its mind closes the connection with 1011', async () => {
    const gemini = await start({ mind: { reply: () => Promise.reject(new Error('no idea')) } });
    const client = await answered(gemini);
    expect(await client.close()).toEqual({ code: 1011, reason: "The stand-in's mind failed: no idea" });
  });
});

it('sends messages without audio as well, unless they are switched off', async () => {
  const chatty = await Client.ready(await start());
  const quiet = await Client.ready(await start({ chatter: false }));
  for (const client of [chatty, quiet]) {
    client.send({ realtimeInput: { text: 'Hello' } });
    await client.turns(1);
  }
  expect(chatty.messages).toContainEqual({ serverContent: {} });
  expect(chatty.content('modelTurn')[0]).toEqual({ parts: [{ text: 'Considering.', thought: true }] });
  expect(quiet.order).toEqual([
    'setupComplete',
    'modelTurn',
    'outputTranscription',
    'modelTurn',
    'generationComplete',
    'turnComplete',
  ]);
});

it('completes a turn without audio when its mind has no answer', async () => {
  const gemini = await start({ mind: { reply: () => undefined } });
  const client = await Client.ready(gemini);
  client.send({ realtimeInput: { text: 'Hello' } });
  await client.turns(1);
  expect(client.audioMs).toBe(0);
  expect(gemini.session.turns).toMatchObject([{ sentMs: 0, transcript: '', isComplete: true }]);
});

it('sends transcripts only if the setup asks for them, apart from the audio with 2.5', async () => {
  const gemini = await start({ chatter: false });
  const silent = await Client.ready(gemini, {
    outputAudioTranscription: null,
    inputAudioTranscription: null,
  });
  await silent.say(440, 800);
  await silent.say(0, 600);
  await silent.turns(1);
  expect([silent.content('inputTranscription'), silent.content('outputTranscription')]).toEqual([[], []]);
  expect(gemini.session.turns[0]?.transcript).toBe('w1 w2');
  const older = await Client.ready(gemini, { model: 'models/gemini-2.5-flash-native-audio-latest' });
  older.send({ realtimeInput: { text: 'one two' } });
  await older.turns(1);
  expect(older.transcript).toBe('w1 w2');
  for (const { serverContent = {} } of older.messages)
    expect(Object.keys(serverContent).length).toBeLessThan(2);
});

it('cuts off a client that does not read', async () => {
  const gemini = await start();
  gemini.faults.floodMs = 600_000;
  const client = await Client.ready(gemini);
  client.socket.pause();
  client.send({ realtimeInput: { text: 'Hello' } });
  await eventually('the end', () => gemini.openConnections === 0, 30_000);
  expect(gemini.session.closed?.code).toBe(1006);
  expect(gemini.session.turns[0]?.sentMs).toBeLessThan(600_000);
  client.socket.terminate();
});

it('leaves no timers and no connections behind', async () => {
  const gemini = await start();
  const before = virtual.pending;
  const clients = [await Client.ready(gemini), await Client.open(gemini)];
  clients[0]?.send({ realtimeInput: { text: 'one two three four five' } });
  await eventually('audio', () => (clients[0]?.audioMs ?? 0) > 0);
  await gemini.close();
  for (const client of clients) expect((await client.close()).code).toBe(1006);
  expect(gemini.openConnections).toBe(0);
  await eventually('no timers', () => virtual.pending <= before);
});
