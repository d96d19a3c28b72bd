/** The client's messages as the vendor's reference lists them, and its refusals where one of them does not fit. */

/** Ends a connection, as the vendor does: the reason is all that a client learns. */
export class Refusal extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** The vendor's answer to what fits the messages but not the model. */
export const invalidArgument = () => new Refusal(1007, 'Request contains an invalid argument.');

/** Longest reason that a close frame holds, in bytes. */
const MOST_REASON_BYTES = 123;

/** A reason cut to what a close frame holds. */
export function closeReason(reason: string): string {
  return Buffer.from(reason).subarray(0, MOST_REASON_BYTES).toString();
}

export interface Blob {
  readonly mimeType?: string;
  /** Decoded. */
  readonly data?: Buffer;
}

export interface Part {
  readonly text?: string;
  readonly inlineData?: Blob;
}

export interface Content {
  readonly role?: string;
  readonly parts?: readonly Part[];
}

export interface FunctionDeclaration {
  readonly name: string;
  readonly description?: string;
  readonly behavior?: 'UNSPECIFIED' | 'BLOCKING' | 'NON_BLOCKING';
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly parametersJsonSchema?: unknown;
}

export interface FunctionResponse {
  readonly id?: string;
  readonly name?: string;
  readonly response?: Readonly<Record<string, unknown>>;
  readonly scheduling?: 'SCHEDULING_UNSPECIFIED' | 'SILENT' | 'WHEN_IDLE' | 'INTERRUPT';
}

export interface Setup {
  readonly model?: string;
  readonly generationConfig?: {
    readonly responseModalities?: readonly string[];
    readonly thinkingConfig?: object;
    readonly speechConfig?: {
      readonly voiceConfig?: { readonly prebuiltVoiceConfig?: { readonly voiceName?: string } };
    };
  };
  readonly systemInstruction?: Content;
  readonly tools?: readonly { readonly functionDeclarations?: readonly FunctionDeclaration[] }[];
  readonly realtimeInputConfig?: {
    readonly automaticActivityDetection?: {
      readonly disabled?: boolean;
      readonly startOfSpeechSensitivity?: string;
      readonly endOfSpeechSensitivity?: string;
      readonly prefixPaddingMs?: number;
      readonly silenceDurationMs?: number;
    };
    readonly activityHandling?: string;
  };
  readonly sessionResumption?: { readonly handle?: string };
  readonly contextWindowCompression?: object;
  readonly inputAudioTranscription?: object;
  readonly outputAudioTranscription?: object;
}

export interface RealtimeInput {
  readonly mediaChunks?: readonly Blob[];
  readonly audio?: Blob;
  readonly video?: Blob;
  readonly text?: string;
  readonly audioStreamEnd?: boolean;
  readonly activityStart?: object;
  readonly activityEnd?: object;
}

/** Exactly one of them is set. */
export interface ClientMessage {
  readonly setup?: Setup;
  readonly realtimeInput?: RealtimeInput;
  readonly clientContent?: { readonly turns?: readonly Content[]; readonly turnComplete?: boolean };
  readonly toolResponse?: { readonly functionResponses?: readonly FunctionResponse[] };
}

/** A field's type: a message, a list or map of another type, the values of an enumeration, or a scalar. */
type Type = Fields | ListOf | MapOf | OneOf | 'string' | 'bool' | 'number' | 'bytes' | 'struct' | 'any';
type Fields = () => Readonly<Record<string, Type>>;
class ListOf {
  constructor(readonly type: Type) {}
}
class MapOf {
  constructor(readonly type: Type) {}
}
class OneOf {
  constructor(
    readonly name: string,
    readonly values: readonly string[],
  ) {}
}

const list = (type: Type) => new ListOf(type);
const nothing: Fields = () => ({});

const blob: Fields = () => ({ mimeType: 'string', data: 'bytes', displayName: 'string' });
const part: Fields = () => ({
  text: 'string',
  thought: 'bool',
  thoughtSignature: 'bytes',
  inlineData: blob,
  fileData: () => ({ mimeType: 'string', fileUri: 'string' }),
  functionCall: () => ({ id: 'string', name: 'string', args: 'struct' }),
  functionResponse,
  executableCode: () => ({ language: 'string', code: 'string' }),
  codeExecutionResult: () => ({ outcome: 'string', output: 'string' }),
});
const content: Fields = () => ({ role: 'string', parts: list(part) });
const functionResponse: Fields = () => ({
  id: 'string',
  name: 'string',
  response: 'struct',
  parts: list('struct'),
  willContinue: 'bool',
  scheduling: new OneOf('FunctionResponse.Scheduling', [
    'SCHEDULING_UNSPECIFIED',
    'SILENT',
    'WHEN_IDLE',
    'INTERRUPT',
  ]),
});

/** The subset of OpenAPI 3.0 that describes a function's arguments; `parametersJsonSchema` takes JSON Schema. */
const schema: Fields = () => ({
  type: new OneOf('Type', [
    ...['TYPE_UNSPECIFIED', 'STRING', 'NUMBER', 'INTEGER', 'BOOLEAN', 'ARRAY', 'OBJECT', 'NULL'],
    // The vendor's own examples write them in lower case.
    ...['string', 'number', 'integer', 'boolean', 'array', 'object', 'null'],
  ]),
  format: 'string',
  title: 'string',
  description: 'string',
  nullable: 'bool',
  enum: list('string'),
  maxItems: 'number',
  minItems: 'number',
  properties: new MapOf(schema),
  required: list('string'),
  minProperties: 'number',
  maxProperties: 'number',
  minLength: 'number',
  maxLength: 'number',
  pattern: 'string',
  example: 'any',
  anyOf: list(schema),
  propertyOrdering: list('string'),
  default: 'any',
  items: schema,
  minimum: 'number',
  maximum: 'number',
});

const tool: Fields = () => ({
  functionDeclarations: list(() => ({
    name: 'string',
    description: 'string',
    behavior: new OneOf('FunctionDeclaration.Behavior', ['UNSPECIFIED', 'BLOCKING', 'NON_BLOCKING']),
    parameters: schema,
    parametersJsonSchema: 'any',
    response: schema,
    responseJsonSchema: 'any',
  })),
  googleSearch: nothing,
  codeExecution: nothing,
  urlContext: nothing,
});

const voiceConfig: Fields = () => ({ prebuiltVoiceConfig: () => ({ voiceName: 'string' }) });
const generationConfig: Fields = () => ({
  candidateCount: 'number',
  maxOutputTokens: 'number',
  temperature: 'number',
  topP: 'number',
  topK: 'number',
  seed: 'number',
  presencePenalty: 'number',
  frequencyPenalty: 'number',
  responseModalities: list(
    new OneOf('GenerationConfig.Modality', ['MODALITY_UNSPECIFIED', 'TEXT', 'IMAGE', 'AUDIO', 'VIDEO']),
  ),
  speechConfig: () => ({
    voiceConfig,
    languageCode: 'string',
    multiSpeakerVoiceConfig: () => ({
      speakerVoiceConfigs: list(() => ({ speaker: 'string', voiceConfig })),
    }),
  }),
  mediaResolution: 'string',
  thinkingConfig: () => ({ includeThoughts: 'bool', thinkingBudget: 'number', thinkingLevel: 'string' }),
  translationConfig: 'struct',
});

const transcription: Fields = () => ({
  languageCodes: list('string'),
  customVocabulary: list('string'),
  adaptationPhrases: list('string'),
});

/** Of v1beta: without what only v1alpha or the other platform knows, `proactivity`, `safetySettings` and `transparent`. */
const setup: Fields = () => ({
  model: 'string',
  generationConfig,
  systemInstruction: content,
  tools: list(tool),
  realtimeInputConfig: () => ({
    automaticActivityDetection: () => ({
      disabled: 'bool',
      startOfSpeechSensitivity: new OneOf('RealtimeInputConfig.AutomaticActivityDetection.StartSensitivity', [
        'START_SENSITIVITY_UNSPECIFIED',
        'START_SENSITIVITY_HIGH',
        'START_SENSITIVITY_LOW',
      ]),
      endOfSpeechSensitivity: new OneOf('RealtimeInputConfig.AutomaticActivityDetection.EndSensitivity', [
        'END_SENSITIVITY_UNSPECIFIED',
        'END_SENSITIVITY_HIGH',
        'END_SENSITIVITY_LOW',
      ]),
      prefixPaddingMs: 'number',
      silenceDurationMs: 'number',
    }),
    activityHandling: new OneOf('RealtimeInputConfig.ActivityHandling', [
      'ACTIVITY_HANDLING_UNSPECIFIED',
      'START_OF_ACTIVITY_INTERRUPTS',
      'NO_INTERRUPTION',
    ]),
    turnCoverage: new OneOf('RealtimeInputConfig.TurnCoverage', [
      'TURN_COVERAGE_UNSPECIFIED',
      'TURN_INCLUDES_ONLY_ACTIVITY',
      'TURN_INCLUDES_ALL_INPUT',
      'TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO',
    ]),
  }),
  sessionResumption: () => ({ handle: 'string' }),
  contextWindowCompression: () => ({
    triggerTokens: 'number',
    slidingWindow: () => ({ targetTokens: 'number' }),
  }),
  inputAudioTranscription: transcription,
  outputAudioTranscription: transcription,
  historyConfig: () => ({ initialHistoryInClientContent: 'bool' }),
});

const clientMessage: Fields = () => ({
  setup,
  clientContent: () => ({ turns: list(content), turnComplete: 'bool' }),
  realtimeInput: () => ({
    mediaChunks: list(blob),
    audio: blob,
    video: blob,
    audioStreamEnd: 'bool',
    text: 'string',
    activityStart: nothing,
    activityEnd: nothing,
  }),
  toolResponse: () => ({ functionResponses: list(functionResponse) }),
});

/**
 * Reads one message of a client.
 * @throws Refusal as the vendor would close the connection
 */
export function parseClientMessage(text: string): ClientMessage {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Refusal(1007, 'Invalid JSON payload received. Unexpected token.');
  }
  const message = read(json, clientMessage, '', '') as ClientMessage;
  const set = Object.keys(message);
  if (set.length > 1) {
    throw new Refusal(
      1007,
      `Invalid value at '' (oneof), oneof field 'message_type' is already set. Cannot set '${snake(set[1] as string)}'`,
    );
  }
  if (set.length === 0) throw invalidArgument();
  if (message.realtimeInput?.mediaChunks !== undefined) {
    throw new Refusal(1007, 'realtime_input.media_chunks is deprecated. Use audio, video, or text instead.');
  }
  return message;
}

/** @returns a copy whose fields are in camel case, binary data decoded */
function read(value: unknown, type: Type, key: string, at: string): unknown {
  if (type instanceof ListOf) {
    if (!Array.isArray(value)) throw new Refusal(1007, `Invalid value at '${at}', ${JSON.stringify(value)}`);
    return value.map((item, index) => read(item, type.type, key, `${at}[${index}]`));
  }
  if (type === 'any') return value;
  if (Array.isArray(value)) {
    throw unknownName(key, parentOf(at), 'Proto field is not repeating, cannot start list.');
  }
  if (type instanceof MapOf) {
    const entries = Object.entries(object(value, at, 'map'));
    return Object.fromEntries(
      entries.map(([name, item], index) => [name, read(item, type.type, name, `${at}[${index}].value`)]),
    );
  }
  if (type instanceof OneOf) {
    if (typeof value === 'string' && type.values.includes(value)) return value;
    throw invalidValue(at, `type.googleapis.com/google.ai.generativelanguage.v1beta.${type.name}`, value);
  }
  if (typeof type === 'function') return readFields(object(value, at, 'message'), type(), at);
  return readScalar(value, type, at);
}

function readFields(
  value: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, Type>>,
  at: string,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = camel(key);
    const type = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (type === undefined) throw unknownName(key, at, 'Cannot find field.');
    // In the JSON of protocol buffers, null is a field that is not set.
    if (item !== null) result[name] = read(item, type, key, at === '' ? snake(name) : `${at}.${snake(name)}`);
  }
  return result;
}

function readScalar(value: unknown, type: 'string' | 'bool' | 'number' | 'bytes' | 'struct', at: string) {
  switch (type) {
    case 'string':
      if (typeof value === 'string') return value;
      throw invalidValue(at, 'TYPE_STRING', value);
    case 'bool':
      if (typeof value === 'boolean') return value;
      throw invalidValue(at, 'TYPE_BOOL', value);
    case 'number': {
      // 64-bit integers are strings in JSON.
      const number = typeof value === 'string' && value !== '' ? Number(value) : value;
      if (typeof number === 'number' && Number.isFinite(number)) return number;
      throw invalidValue(at, 'TYPE_INT32', value);
    }
    case 'bytes':
      if (typeof value === 'string' && /^[\w+/-]*={0,2}$/.test(value)) return Buffer.from(value, 'base64');
      throw new Refusal(
        1007,
        `Invalid value at '${at}' (Base64 decoding failed for ${JSON.stringify(value)})`,
      );
    case 'struct':
      return object(value, at, 'type.googleapis.com/google.protobuf.Struct');
  }
}

function object(value: unknown, at: string, type: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalidValue(at, type, value);
}

function unknownName(name: string, at: string, why: string): Refusal {
  const place = at === '' ? '' : ` at '${at}'`;
  return new Refusal(1007, `Invalid JSON payload received. Unknown name "${name}"${place}: ${why}`);
}

function invalidValue(at: string, type: string, value: unknown): Refusal {
  return new Refusal(1007, `Invalid value at '${at}' (${type}), ${JSON.stringify(value)}`);
}

const parentOf = (at: string) => at.slice(0, Math.max(0, at.lastIndexOf('.')));
const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
