import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { GeminiLive, type GeminiOptions } from '../support/gemini-live.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

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

  get audio(): Buffer {
    const parts = this.content('modelTurn').flatMap(({ parts }) => parts);
    return Buffer.concat(parts.map(({ inlineData }) => Buffer.from(inlineData?.data ?? '', 'base64')));
  }

  /** Milliseconds of 24 kHz. */
  get audioMs(): number {
    return this.audio.length / 48;
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

/** Frequency of the loudest part of 24 kHz audio, by its zero crossings. */
function pitch(pcm: Buffer): number {
  const samples = new Int16Array(pcm.buffer.slice(pcm.byteOffset, pcm.byteOffset + pcm.length));
  const middle = samples.subarray(samples.length / 4, (3 * samples.length) / 4);
  const crossings = middle.reduce(
    (sum, sample, n) => sum + Number(sample >= 0 !== (middle[n - 1] ?? 0) >= 0),
    0,
  );
  return (crossings * 24_000) / 2 / middle.length;
}

describe('its key', () => {
  it.each([
    ['in the address', (key: string) => [`?key=${key}`, {}] as const],
    ['in a header', (key: string) => ['', { 'x-goog-api-key': key }] as const],
  ])('is taken %s', async (_, how) => {
    const gemini = await start();
    const [query, headers] = how(gemini.options.key);
    const client = new Client(gemini.url + query, headers);
    await once(client.socket, 'open');
    client.send({ setup: SETUP });
    await eventually('setupComplete', () => client.has('setupComplete'));
    expect(client.messages[0]).toEqual({ setupComplete: {} });
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

  it('does not help at another path', async () => {
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
      'a field of another place',
      { speechConfig: {} },
      `Unknown name "speechConfig" at 'setup': Cannot find field.`,
    ],
    [
      'what v1beta does not know',
      { proactivity: {} },
      `Unknown name "proactivity" at 'setup': Cannot find field.`,
    ],
    [
      'what the other platform knows',
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
      'text where a content is wanted',
      { systemInstruction: 'Be brief.' },
      `Invalid value at 'setup.system_instruction'`,
    ],
    [
      'a value that is not of the enumeration',
      { realtimeInputConfig: { activityHandling: 'ALWAYS' } },
      `Invalid value at 'setup.realtime_input_config.activity_handling'`,
    ],
    ['no model', { model: null }, 'invalid argument'],
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

  it('of another model closes with 1008', async () => {
    const client = await Client.open(await start());
    client.send({ setup: { ...SETUP, model: 'gemini-3.8-live' } });
    expect(await client.close()).toEqual({
      code: 1008,
      reason:
        'gemini-3.8-live is not found for API version v1beta, or is not supported for bidiGenerateContent.',
    });
  });

  it('comes first, once, and is waited for', async () => {
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

describe('messages', () => {
  it.each<[string, object | string, string]>([
    ['not JSON', '{"realtimeInput":', 'Invalid JSON payload received'],
    [
      'two at once',
      { realtimeInput: { text: 'a' }, clientContent: {} },
      `oneof field 'message_type' is already set`,
    ],
    ['unknown', { response: {} }, 'Unknown name "response": Cannot find field.'],
    [
      'of the old way to send audio',
      { realtimeInput: { mediaChunks: [{ data: '', mimeType: AUDIO }] } },
      'realtime_input.media_chunks is deprecated. Use audio, video, or text instead.',
    ],
    [
      'audio that is no base64',
      { realtimeInput: { audio: { data: '&&&', mimeType: AUDIO } } },
      'Base64 decoding failed',
    ],
    ['half a sample', { realtimeInput: { audio: { data: 'AAAA', mimeType: AUDIO } } }, 'invalid argument'],
    ['µ-law', { realtimeInput: { audio: { data: 'AAAA', mimeType: 'audio/basic' } } }, 'invalid argument'],
    [
      'activity while it is detected',
      { realtimeInput: { activityStart: {} } },
      'Explicit activity control is not supported when automatic activity detection is enabled.',
    ],
    [
      'a response that is no object',
      { toolResponse: { functionResponses: [{ id: 'a', name: 'f', response: 'done' }] } },
      `Invalid value at 'tool_response.function_responses[0].response' (type.googleapis.com/google.protobuf.Struct)`,
    ],
    [
      'a response without an id',
      { toolResponse: { functionResponses: [{ name: 'f', response: {} }] } },
      'invalid argument',
    ],
  ])('that are %s close the connection with 1007', async (_, message, reason) => {
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
    const saidAt = clock.now();
    await client.say(0, 600);
    await eventually(
      'all audio',
      () => client.has('serverContent') && client.content('generationComplete').length > 0,
    );
    const generatedMs = clock.now() - saidAt;
    const [turn] = gemini.session.turns;
    expect(turn).toMatchObject({ kind: 'speech', isInterrupted: false, isComplete: false });
    expect(client.audioMs).toBe(turn?.sentMs);
    // What was said, and a little before and after it.
    expect(client.audioMs).toBeGreaterThanOrEqual(2_000);
    expect(client.audioMs).toBeLessThan(2_400);
    expect(pitch(client.audio)).toBeCloseTo(440, -1);
    expect(client.transcript).toBe(turn?.transcript);
    expect(client.transcript.split(' ')).toHaveLength(Math.round((turn?.heardMs ?? 0) / 400));
    expect(generatedMs).toBeLessThan(2_000);
    // The turn lasts as long as its audio.
    await client.turns(1);
    expect(clock.now() - saidAt).toBeGreaterThan(2_500);
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
    }
    expect(pitch(client.audio)).toBeCloseTo(440, -1);
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
  });

  it('is told from noise and pauses as the setup says', async () => {
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

  it('that the client marks is all that is heard', async () => {
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
