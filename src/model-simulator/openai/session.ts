import type { WebSocket } from 'ws';
import type { Clock, Timer } from '../../clock.js';
import { textOf } from '../phrases.js';
import { ApiError } from './api-error.js';
import { AudioDecoder } from './audio-format.js';
import {
  type AudioFormat,
  type ClientEvent,
  clientEventOf,
  type ItemRequest,
  jsonObjectOf,
  type ResponseRequest,
  type SessionUpdate,
  type Tool,
  type ToolChoice,
  type TurnDetection,
  type Voice,
} from './client-event.js';
import { Conversation } from './conversation.js';
import type { RealtimeFaults } from './faults.js';
import { InputBuffer } from './input-buffer.js';
import { HeardMessage, type Item, itemOf, newId, SpokenMessage } from './item.js';
import type { Reply, Turn } from './mind.js';
import { ModelResponse, type ResponseHost } from './response.js';
import { TurnDetector, type TurnEdge } from './turn-detector.js';

/** Documented: an event holds at most 15 MiB of audio. */
const MOST_AUDIO_BYTES = 15 * 1024 * 1024;
/** Documented: what a client commits by itself is at least this long. */
const LEAST_COMMIT_MS = 100;
/** Audio that is kept while nobody speaks. */
const IDLE_MS = 3_000;
/** Events that are remembered for tests. */
const MOST_RECEIVED = 2_000;
/** Characters of messages that wait for `session.created`; more are dropped. */
const MOST_EARLY = 8 * 1024 * 1024;
/** Longer messages are remembered by their type alone. */
const MOST_REMEMBERED = 64 * 1024;
/** A client that does not read is disconnected beyond this. */
const MOST_UNSENT_BYTES = 64 * 1024 * 1024;
/** Tokens of a second of what the caller says: one each 100 ms, as documented. */
const HEARD_TOKENS_PER_SECOND = 10;
/** Characters of a token of text. */
const TOKEN_CHARACTERS = 4;

/** How a session behaves. */
export interface SessionSettings {
  readonly clock: Clock;
  readonly model: string;
  readonly latencyMs: number;
  readonly speed: number;
  readonly deltaMs: number;
  readonly sessionMs: number;
  readonly reply: (turn: Turn) => Reply;
  /** What goes wrong at this moment. */
  readonly faults: () => RealtimeFaults;
}

/** An item as the model knows it. */
export interface ItemRecord {
  readonly id: string;
  readonly type: 'message' | 'function_call' | 'function_call_output';
  readonly role?: 'user' | 'system' | 'assistant';
  readonly status: 'completed' | 'incomplete' | 'in_progress';
  /**
   * What was understood or written; of the model's own speech the words that it believes were heard to their end, of a call its
   * arguments.
   */
  readonly text: string;
  /** Only for what the model says: milliseconds that it believes were heard. */
  readonly heardMs?: number;
  /** Only for what the model says: milliseconds that were sent. */
  readonly sentMs?: number;
  /** Only for what the model says: whether the client has cut it. */
  readonly isTruncated?: boolean;
}

/** An event that a client sent. */
export interface ReceivedEvent {
  readonly type: string;
  /** Monotonic milliseconds. */
  readonly at: number;
  /** As it came, but for audio: of that, only the number of base64 characters. */
  readonly event: Readonly<Record<string, unknown>>;
}

interface Configuration {
  type: 'realtime';
  instructions: string;
  output_modalities: ('audio' | 'text')[];
  tools: Tool[];
  tool_choice: ToolChoice;
  max_output_tokens: number | 'inf';
  audio: {
    input: {
      format: AudioFormat;
      transcription: { readonly model?: string | undefined } | null;
      noise_reduction: object | null;
      turn_detection: TurnDetection | null;
    };
    output: { format: AudioFormat; voice: Voice; speed: number };
  };
}

/** A connection to the simulated API: a session with its conversation. */
export class RealtimeSession implements ResponseHost {
  readonly id = newId('sess');
  readonly conversationId = newId('conv');
  readonly clock: Clock;
  readonly model: string;
  readonly latencyMs: number;
  readonly speed: number;
  readonly deltaMs: number;
  /** The last 2,000 events that the client sent. */
  readonly received: ReceivedEvent[] = [];
  /** How many events of each type the client sent; those that were rejected count as `invalid`, too. */
  readonly receivedCounts: Record<string, number> = {};
  /** How many events of each type were sent to the client. */
  readonly sentCounts: Record<string, number> = {};
  /** How the connection ended. */
  closed: { readonly code: number; readonly reason: string } | undefined;
  private readonly conversation = new Conversation();
  private readonly input = new InputBuffer();
  private readonly responses = new Set<ModelResponse>();
  private readonly timers: (Timer | undefined)[] = [];
  private configuration: Configuration = {
    type: 'realtime',
    instructions: '',
    output_modalities: ['audio'],
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24_000 },
        transcription: null,
        noise_reduction: null,
        turn_detection: {
          type: 'server_vad',
          threshold: 0.5,
          prefix_padding_ms: 300,
          silence_duration_ms: 500,
          idle_timeout_ms: null,
          create_response: true,
          interrupt_response: true,
        },
      },
      output: { format: { type: 'audio/pcm', rate: 24_000 }, voice: 'marin', speed: 1 },
    },
  };
  private decoder = new AudioDecoder(this.configuration.audio.input.format);
  private detector: TurnDetector | undefined;
  private turnItemId = newId('item');
  private expiresAt = 0;
  private isCreated = false;
  /** Messages that came before `session.created`. */
  private readonly early: [message: string, isBinary: boolean][] = [];
  private earlyLength = 0;
  private isHung = false;

  /** @internal */
  constructor(
    private readonly socket: WebSocket,
    private readonly settings: SessionSettings,
  ) {
    this.clock = settings.clock;
    this.model = settings.model;
    this.latencyMs = settings.latencyMs;
    this.speed = settings.speed;
    this.deltaMs = settings.deltaMs;
    this.followTurns();
    socket.on('message', (data, isBinary) => this.handleMessage(String(data), isBinary));
    socket.on('error', () => {});
    socket.on('close', (code, reason) => this.handleClose(code, String(reason)));
    const delay = this.faults.sessionDelayMs ?? 0;
    if (delay === 0) this.create();
    else this.timers.push(this.clock.after(delay, () => this.create()));
  }

  get faults(): RealtimeFaults {
    return this.settings.faults();
  }

  /** The conversation as the model knows it. */
  get items(): ItemRecord[] {
    return this.conversation.items.map((item) => {
      const { id, type, status, text } = item;
      const role = 'role' in item ? { role: item.role as 'user' } : {};
      if (!(item instanceof SpokenMessage)) return { id, type, status, text, ...role };
      const { heardMs, sentMs, isCut } = item.speech;
      return { id, type, status, text, ...role, heardMs, sentMs, isTruncated: isCut };
    });
  }

  /** Milliseconds of audio that the client has sent. */
  get inputMs(): number {
    return this.input.endMs;
  }

  /** Whether a response is being made. */
  get isResponding(): boolean {
    return this.active !== undefined;
  }

  /** @internal */
  send(type: string, fields: Readonly<Record<string, unknown>>): void {
    const { socket, faults } = this;
    if (this.isHung || socket.readyState !== socket.OPEN) return;
    this.sentCounts[type] = (this.sentCounts[type] ?? 0) + 1;
    const text = JSON.stringify({ type, event_id: newId('event'), ...fields });
    if ((faults.malformed ?? 0) > 0) {
      faults.malformed = (faults.malformed as number) - 1;
      socket.send(text.slice(0, text.length / 2));
    } else socket.send(text);
    if (socket.bufferedAmount > MOST_UNSENT_BYTES) socket.terminate();
  }

  /** @internal */
  addItem(item: Item): string | null {
    return this.conversation.add(item);
  }

  /** @internal */
  hang(): void {
    this.isHung = true;
    this.free();
  }

  /** Ends the connection. @param code 1006 breaks it without a close frame */
  drop(code: number, reason = ''): void {
    this.free();
    if (code === 1006) this.socket.terminate();
    else this.socket.close(code, reason);
  }

  /** @internal */
  handleEnd(response: ModelResponse): void {
    this.responses.delete(response);
  }

  /** The response that writes to the conversation. */
  private get active(): ModelResponse | undefined {
    return [...this.responses].find(({ settings }) => !settings.isOutOfBand);
  }

  private create(): void {
    const { sessionMs } = this.settings;
    this.isCreated = true;
    this.expiresAt = Math.floor((this.clock.date().getTime() + sessionMs) / 1000);
    this.timers.push(this.clock.after(sessionMs, () => this.expire()));
    this.send('session.created', { session: this.toWire() });
    this.send('conversation.created', {
      conversation: { id: this.conversationId, object: 'realtime.conversation' },
    });
    for (const [message, isBinary] of this.early.splice(0)) this.handleMessage(message, isBinary);
  }

  private expire(): void {
    const reason = `Your session hit the maximum duration of ${Math.round(this.settings.sessionMs / 60_000)} minutes.`;
    this.sendError(new ApiError('session_expired', reason));
    this.drop(1001, reason);
  }

  private handleMessage(message: string, isBinary: boolean): void {
    if (this.isHung) return;
    if (!this.isCreated) {
      this.earlyLength += message.length;
      if (this.earlyLength <= MOST_EARLY) this.early.push([message, isBinary]);
      return;
    }
    let eventId: string | null = null;
    try {
      if (isBinary) throw new ApiError('invalid_type', 'Events are text messages, not binary ones.');
      const event = jsonObjectOf(message);
      if (typeof event.event_id === 'string') eventId = event.event_id;
      this.remember(event, message.length);
      const valid = clientEventOf(event);
      this.receivedCounts[valid.type] = (this.receivedCounts[valid.type] ?? 0) + 1;
      this.handle(valid);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.receivedCounts.invalid = (this.receivedCounts.invalid ?? 0) + 1;
      this.sendError(error, eventId);
    }
  }

  private remember(event: Readonly<Record<string, unknown>>, length: number): void {
    const type = String(event.type).slice(0, 64);
    const audio = typeof event.audio === 'string' ? { audio: event.audio.length } : undefined;
    const isLong = audio === undefined && length > MOST_REMEMBERED;
    this.received.push({ type, at: this.clock.now(), event: isLong ? { type } : { ...event, ...audio } });
    if (this.received.length > MOST_RECEIVED) this.received.shift();
  }

  private sendError(error: ApiError, eventId: string | null = null): void {
    this.send('error', { error: { ...error.body, event_id: eventId } });
  }

  private handle(event: ClientEvent): void {
    switch (event.type) {
      case 'session.update':
        this.update(event.session);
        break;
      case 'input_audio_buffer.append':
        this.hear(this.bytesOf(event.audio));
        break;
      case 'input_audio_buffer.commit':
        this.commit();
        break;
      case 'input_audio_buffer.clear':
        this.input.take();
        this.detector?.reset();
        this.send('input_audio_buffer.cleared', {});
        break;
      case 'conversation.item.create':
        this.insert(this.itemOf(event.item), event.previous_item_id ?? undefined);
        break;
      case 'conversation.item.retrieve':
        this.send('conversation.item.retrieved', {
          item: this.itemBy(event.item_id, 'retriev').toWire(true),
        });
        break;
      case 'conversation.item.delete':
        this.conversation.remove(this.itemBy(event.item_id, 'delet'));
        this.send('conversation.item.deleted', { item_id: event.item_id });
        break;
      case 'conversation.item.truncate':
        this.truncate(event.item_id, event.content_index, event.audio_end_ms);
        break;
      case 'response.create':
        this.respond(event.response);
        break;
      case 'response.cancel':
        this.cancel(event.response_id);
        break;
    }
  }

  private update(update: SessionUpdate): void {
    const { configuration } = this;
    const { input, output } = update.audio ?? {};
    if (update.model !== undefined && update.model !== this.model)
      throw new ApiError('cannot_update_model', "Cannot update a session's model.", 'session.model');
    const hasSpoken = this.conversation.items.some((item) => item instanceof SpokenMessage && item.hasAudio);
    const isNewVoice =
      output?.voice !== undefined &&
      JSON.stringify(output.voice) !== JSON.stringify(configuration.audio.output.voice);
    if (isNewVoice && hasSpoken)
      throw new ApiError(
        'cannot_update_voice',
        "Cannot update a conversation's voice if assistant audio is present.",
        'session.audio.output.voice',
      );
    const { audio: _, type: __, model: ___, ...rest } = update;
    this.configuration = {
      ...configuration,
      ...(withoutUndefined(rest) as Partial<Configuration>),
      audio: {
        input: { ...configuration.audio.input, ...(withoutUndefined(input) as object) },
        output: { ...configuration.audio.output, ...(withoutUndefined(output) as object) },
      },
    };
    if (input?.format !== undefined && input.format.type !== this.decoder.format.type)
      this.decoder = new AudioDecoder(input.format);
    if (input?.turn_detection !== undefined) this.followTurns();
    this.send('session.updated', { session: this.toWire() });
  }

  private followTurns(): void {
    const { turn_detection: settings } = this.configuration.audio.input;
    this.detector = settings === null ? undefined : new TurnDetector(settings, this.input.endMs);
  }

  private bytesOf(base64: string): Buffer {
    const bytes = Buffer.from(base64, 'base64');
    const { type } = this.configuration.audio.input.format;
    if (base64.length % 4 !== 0 || bytes.length !== lengthOf(base64))
      throw new ApiError(
        'invalid_value',
        `Invalid 'audio'. Expected base64-encoded audio bytes (${type}) but got an invalid value.`,
        'audio',
      );
    if (bytes.length > MOST_AUDIO_BYTES)
      throw new ApiError('string_above_max_length', "Invalid 'audio': more than 15 MiB of audio.", 'audio');
    return bytes;
  }

  private hear(bytes: Buffer): void {
    const pcm = this.decoder.push(bytes);
    this.input.push(pcm);
    const { detector } = this;
    if (detector === undefined) return;
    for (const edge of detector.push(pcm)) {
      if (this.isHung) return;
      if (edge.kind === 'started') this.startTurn(edge);
      else this.stopTurn(edge);
    }
    if (!detector.isSpeaking) this.input.dropBefore(this.input.endMs - IDLE_MS);
  }

  private startTurn({ atMs }: TurnEdge): void {
    this.input.take(atMs);
    this.turnItemId = newId('item');
    this.send('input_audio_buffer.speech_started', { audio_start_ms: atMs, item_id: this.turnItemId });
    if (this.configuration.audio.input.turn_detection?.interrupt_response === true)
      this.active?.cancel('turn_detected');
  }

  private stopTurn({ atMs }: TurnEdge): void {
    this.send('input_audio_buffer.speech_stopped', { audio_end_ms: atMs, item_id: this.turnItemId });
    this.commitItem(this.turnItemId, this.input.take(atMs));
    if (this.configuration.audio.input.turn_detection?.create_response !== true) return;
    try {
      this.respond();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.sendError(error);
    }
  }

  private commit(): void {
    const { ms } = this.input;
    if (ms < LEAST_COMMIT_MS)
      throw new ApiError(
        'input_audio_buffer_commit_empty',
        `Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has ${ms.toFixed(2)}ms of audio.`,
      );
    const id = this.detector?.isSpeaking === true ? this.turnItemId : newId('item');
    this.detector?.reset();
    this.commitItem(id, this.input.take());
  }

  private commitItem(id: string, pcm: Int16Array): void {
    const item = this.heardItem(id, pcm);
    this.send('input_audio_buffer.committed', {
      previous_item_id: this.conversation.lastId,
      item_id: id,
    });
    this.insert(item);
    if (this.configuration.audio.input.transcription === null) return;
    const place = { item_id: id, content_index: 0 };
    if (item.text !== '')
      this.send('conversation.item.input_audio_transcription.delta', { ...place, delta: item.text });
    this.send('conversation.item.input_audio_transcription.completed', {
      ...place,
      transcript: item.text,
      usage: { type: 'duration', seconds: Math.ceil(item.audioSeconds) },
    });
  }

  private heardItem(id: string, pcm: Int16Array): HeardMessage {
    const { format, transcription } = this.configuration.audio.input;
    return new HeardMessage(id, pcm, textOf(pcm)?.text ?? '', format, transcription !== null);
  }

  private itemOf(request: ItemRequest): Item {
    return itemOf(request, (id, base64) => {
      const bytes = this.bytesOf(base64);
      return this.heardItem(id, new AudioDecoder(this.decoder.format).push(bytes));
    });
  }

  private insert(item: Item, after?: string): void {
    const previous_item_id = this.conversation.add(item, after);
    this.send('conversation.item.added', { previous_item_id, item: item.toWire() });
    this.send('conversation.item.done', { previous_item_id, item: item.toWire() });
  }

  /** @param verb what is tried, without its ending: `delet` */
  private itemBy(id: string, verb: 'delet' | 'retriev' | 'truncat'): Item {
    const item = this.conversation.find(id);
    if (item === undefined)
      throw new ApiError(
        `item_${verb}e_invalid_item_id`,
        `Error ${verb}ing item: the item with id '${id}' does not exist.`,
        'item_id',
      );
    return item;
  }

  private truncate(id: string, contentIndex: number, ms: number): void {
    const item = this.itemBy(id, 'truncat');
    if (!(item instanceof SpokenMessage && item.hasAudio))
      throw new ApiError('unsupported_content_type', 'Only model output audio messages can be truncated');
    if (contentIndex !== 0)
      throw new ApiError('invalid_value', `Content index ${contentIndex} is out of range.`, 'content_index');
    const { heardMs } = item.speech;
    if (ms > heardMs)
      throw new ApiError(
        'invalid_value',
        `Audio content of ${Math.floor(heardMs)}ms is already shorter than ${ms}ms`,
        'audio_end_ms',
      );
    item.speech.cut(ms);
    this.send('conversation.item.truncated', { item_id: id, content_index: 0, audio_end_ms: ms });
  }

  private respond(request: ResponseRequest = {}): void {
    const { configuration, active } = this;
    const isOutOfBand = request.conversation === 'none';
    if (active !== undefined && !isOutOfBand)
      throw new ApiError(
        'conversation_already_has_active_response',
        `Conversation already has an active response in progress: ${active.id}. Wait until the response is finished before creating a new one.`,
      );
    const items = request.input?.map((each) =>
      each.type === 'item_reference' ? this.itemBy(each.id, 'retriev') : this.itemOf(each),
    );
    const turn: Turn = {
      items: items ?? this.conversation.items,
      instructions: request.instructions ?? '',
      sessionInstructions: configuration.instructions,
      tools: request.tools ?? configuration.tools,
      toolChoice: request.tool_choice ?? configuration.tool_choice,
    };
    const output = { ...configuration.audio.output, ...(withoutUndefined(request.audio?.output) as object) };
    const response = new ModelResponse(
      this,
      {
        format: output.format,
        voice: output.voice,
        modality: (request.output_modalities ?? configuration.output_modalities)[0] ?? 'audio',
        maxTokens: request.max_output_tokens ?? configuration.max_output_tokens,
        metadata: request.metadata ?? null,
        isOutOfBand,
        inputTokens: this.tokensOf(turn),
      },
      this.settings.reply(turn),
    );
    this.responses.add(response);
    response.start();
  }

  private tokensOf({ items, instructions, sessionInstructions }: Turn): { text: number; audio: number } {
    const characters = (instructions || sessionInstructions).length;
    const written = items.filter(({ audioSeconds }) => audioSeconds === 0);
    const text = written.reduce((sum, item) => sum + item.text.length, characters) / TOKEN_CHARACTERS;
    const seconds = items.reduce((sum, { audioSeconds }) => sum + audioSeconds, 0);
    return { text: Math.ceil(text), audio: Math.ceil(seconds * HEARD_TOKENS_PER_SECOND) };
  }

  private cancel(id: string | undefined): void {
    const response = id === undefined ? this.active : [...this.responses].find((each) => each.id === id);
    if (response === undefined)
      throw new ApiError('response_cancel_not_active', 'Cancellation failed: no active response found');
    response.cancel('client_cancelled');
  }

  private handleClose(code: number, reason: string): void {
    this.closed = { code, reason };
    this.free();
    this.early.length = 0;
    this.input.take();
    this.conversation.release();
  }

  private free(): void {
    for (const timer of this.timers.splice(0)) this.clock.cancel(timer);
    for (const response of this.responses) response.stop();
    this.responses.clear();
  }

  private toWire(): Readonly<Record<string, unknown>> {
    return {
      object: 'realtime.session',
      id: this.id,
      model: this.model,
      expires_at: this.expiresAt,
      tracing: null,
      prompt: null,
      include: null,
      ...this.configuration,
    };
  }
}

function withoutUndefined(fields: object = {}): unknown {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Bytes that a base64 text must stand for. */
function lengthOf(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return (base64.length / 4) * 3 - padding;
}
