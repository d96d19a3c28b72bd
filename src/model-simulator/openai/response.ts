import type { Clock, Timer } from '../../clock.js';
import { bytesPerMs } from './audio-format.js';
import type { AudioFormat, Voice } from './client-event.js';
import type { RealtimeFaults } from './faults.js';
import { FunctionCall, type Item, newId, SpokenMessage } from './item.js';
import { type Reply, utterancesOf } from './mind.js';
import { Speech } from './speech.js';

/** Tokens of a second of the model's speech: one each 50 ms, as documented. */
const TOKENS_PER_SECOND = 20;
/** Characters of a delta of a tool's arguments. */
const ARGUMENTS_DELTA = 12;

/** The session that a response belongs to. */
export interface ResponseHost {
  readonly clock: Clock;
  readonly faults: RealtimeFaults;
  readonly conversationId: string;
  /** Milliseconds before the first output. */
  readonly latencyMs: number;
  /** How many times as fast as it is spoken audio is sent. */
  readonly speed: number;
  /** Milliseconds of audio in a delta. */
  readonly deltaMs: number;
  send(type: string, fields: Readonly<Record<string, unknown>>): void;
  /** @returns id of the item before it */
  addItem(item: Item): string | null;
  /** Nothing is sent any more, for a fault. */
  hang(): void;
  /** The connection ends, for a fault. */
  drop(code: number): void;
  handleEnd(response: ModelResponse): void;
}

/** The settings under which a response is made. */
export interface ResponseSettings {
  readonly format: AudioFormat;
  readonly voice: Voice;
  readonly modality: 'audio' | 'text';
  readonly maxTokens: number | 'inf';
  readonly metadata: Readonly<Record<string, string>> | null;
  /** With `conversation: "none"`: its items do not go into the conversation. */
  readonly isOutOfBand: boolean;
  readonly inputTokens: { readonly text: number; readonly audio: number };
}

type Status = 'in_progress' | 'completed' | 'cancelled' | 'failed' | 'incomplete';
type Details = Readonly<Record<string, unknown>> | null;

/** One response of the model, from `response.created` to `response.done`. */
export class ModelResponse {
  readonly id = newId('resp');
  private status: Status = 'in_progress';
  private details: Details = null;
  private readonly output: Item[] = [];
  private timer: Timer | undefined;
  private cancelTimer: Timer | undefined;
  private message: SpokenMessage | undefined;
  /** When the next piece of audio is due. */
  private dueAt = 0;

  constructor(
    private readonly host: ResponseHost,
    readonly settings: ResponseSettings,
    private readonly reply: Reply,
  ) {}

  get isDone(): boolean {
    return this.status !== 'in_progress';
  }

  start(): void {
    const { host } = this;
    host.send('response.created', { response: this.toWire() });
    host.send('rate_limits.updated', {
      rate_limits: [
        { name: 'requests', limit: 1_000, remaining: 999, reset_seconds: 60 },
        { name: 'tokens', limit: 50_000, remaining: 49_950, reset_seconds: 60 },
      ],
    });
    if (host.faults.rateLimited === true) {
      const error = {
        type: 'tokens',
        code: 'rate_limit_exceeded',
        message: 'Rate limit reached. Please try again later.',
      };
      this.end('failed', { type: 'failed', error });
      return;
    }
    this.after(host.latencyMs + (host.faults.firstDeltaMs ?? 0), () => this.begin());
  }

  /** @param reason `turn_detected`: the caller began to speak; `client_cancelled`: by `response.cancel` */
  cancel(reason: 'turn_detected' | 'client_cancelled'): void {
    const { ignoreCancelMs = 0 } = this.host.faults;
    const cancel = () => {
      if (!this.isDone) this.interrupt('cancelled', { type: 'cancelled', reason });
    };
    if (ignoreCancelMs === 0) cancel();
    else this.cancelTimer ??= this.host.clock.after(ignoreCancelMs, cancel);
  }

  /** Frees its timers; nothing more is sent. */
  stop(): void {
    this.host.clock.cancel(this.timer);
    this.host.clock.cancel(this.cancelTimer);
  }

  private after(ms: number, callback: () => void): void {
    this.timer = this.host.clock.after(Math.max(0, ms), callback);
  }

  private begin(): void {
    const utterances = utterancesOf(this.reply);
    if (utterances.length === 0) {
      this.call();
      return;
    }
    const { format, modality } = this.settings;
    const speech = new Speech(this.lengthened(utterances), format);
    const message = new SpokenMessage(newId('item'), speech, modality);
    this.message = message;
    this.announce(message);
    message.hasContent = true;
    const type = modality === 'audio' ? { type: 'audio', transcript: '' } : { type: 'text', text: '' };
    this.send('response.content_part.added', { item_id: message.id, content_index: 0, part: type });
    this.dueAt = this.host.clock.now();
    if (modality === 'text') this.sendText(message);
    else this.sendAudio(message);
  }

  /** For a flood, the same again and again. */
  private lengthened(utterances: ReturnType<typeof utterancesOf>): typeof utterances {
    const { floodMs } = this.host.faults;
    if (floodMs === undefined) return utterances;
    const samples = utterances.reduce((sum, { pcm }) => sum + pcm.length, 0);
    return Array.from({ length: Math.ceil((floodMs * 8) / Math.max(1, samples)) }, () => utterances).flat();
  }

  private sendText(message: SpokenMessage): void {
    const { speech } = message;
    for (const word of speech.textBetween(0, Number.POSITIVE_INFINITY).match(/ ?\S+/g) ?? [])
      this.sendPart('response.output_text.delta', message, { delta: word });
    speech.sentBytes = speech.bytes.length;
    this.finishMessage('completed');
    this.call();
  }

  /** Sends the pieces that are due, and waits for the next one. */
  private sendAudio(message: SpokenMessage): void {
    const { host } = this;
    const { speech } = message;
    const now = host.clock.now();
    const isFlood = host.faults.floodMs !== undefined;
    while (speech.sentBytes < speech.bytes.length && (isFlood || this.dueAt <= now)) {
      if (!this.sendPiece(message)) return;
      this.dueAt += host.deltaMs / (host.faults.speed ?? host.speed);
    }
    if (speech.sentBytes < speech.bytes.length) {
      this.after(this.dueAt - now, () => this.sendAudio(message));
      return;
    }
    this.finishMessage('completed');
    this.call();
  }

  /** @returns false if a fault or a limit ends the response here */
  private sendPiece(message: SpokenMessage): boolean {
    const { host, settings } = this;
    const { faults } = host;
    const { speech } = message;
    const { sentMs } = speech;
    if (this.failsAt(sentMs)) return false;
    if (settings.maxTokens !== 'inf' && sentMs >= (settings.maxTokens * 1000) / TOKENS_PER_SECOND) {
      this.interrupt('incomplete', { type: 'incomplete', reason: 'max_output_tokens' });
      return false;
    }
    const perMs = bytesPerMs(settings.format);
    const odd = faults.oddDeltas === true ? 1 : 0;
    const evenFrom = speech.sentBytes - (speech.sentBytes % perMs);
    const to = Math.min(speech.bytes.length, evenFrom + host.deltaMs * perMs + odd);
    const text = speech.textBetween(
      sentMs,
      to === speech.bytes.length ? Number.POSITIVE_INFINITY : to / perMs,
    );
    if (text !== '') this.sendPart('response.output_audio_transcript.delta', message, { delta: text });
    const delta = speech.bytes.toString('base64', speech.sentBytes, to);
    speech.sentBytes = to;
    this.sendPart('response.output_audio.delta', message, { delta });
    return !this.failsAt(speech.sentMs);
  }

  /** Whether a fault ends everything after so many milliseconds of audio. */
  private failsAt(ms: number): boolean {
    const { stallAfterMs = Number.POSITIVE_INFINITY, closeAfter } = this.host.faults;
    if (ms >= stallAfterMs) this.host.hang();
    else if (closeAfter !== undefined && ms >= closeAfter.ms) this.host.drop(closeAfter.code);
    else return false;
    return true;
  }

  private call(): void {
    if (this.reply.call === undefined) {
      this.end('completed', null);
      return;
    }
    const { name, args } = this.reply.call;
    const json = JSON.stringify(args);
    const item = new FunctionCall(newId('item'), newId('call'), name, '');
    item.status = 'in_progress';
    this.announce(item);
    for (let at = 0; at < json.length; at += ARGUMENTS_DELTA)
      this.send('response.function_call_arguments.delta', {
        item_id: item.id,
        call_id: item.callId,
        delta: json.slice(at, at + ARGUMENTS_DELTA),
      });
    item.json = json;
    this.send('response.function_call_arguments.done', {
      item_id: item.id,
      call_id: item.callId,
      name,
      arguments: json,
    });
    this.finish(item, 'completed');
    this.end('completed', null);
  }

  private interrupt(status: 'cancelled' | 'incomplete', details: Details): void {
    if (this.message?.status === 'in_progress') this.finishMessage('incomplete');
    this.end(status, details);
  }

  /** A new item of the output. */
  private announce(item: Item): void {
    this.output.push(item);
    this.send('response.output_item.added', { item: item.toWire() });
    if (this.settings.isOutOfBand) return;
    const previous = this.host.addItem(item);
    this.host.send('conversation.item.added', { previous_item_id: previous, item: item.toWire() });
  }

  private finishMessage(status: 'completed' | 'incomplete'): void {
    const message = this.message as SpokenMessage;
    const { speech } = message;
    if (this.settings.modality === 'audio') {
      this.sendPart('response.output_audio.done', message, {});
      this.sendPart('response.output_audio_transcript.done', message, { transcript: speech.sentText });
    } else this.sendPart('response.output_text.done', message, { text: speech.sentText });
    const part =
      this.settings.modality === 'audio'
        ? { type: 'audio', transcript: speech.sentText }
        : { type: 'text', text: speech.sentText };
    this.sendPart('response.content_part.done', message, { part });
    this.finish(message, status);
  }

  private finish(item: Item, status: 'completed' | 'incomplete'): void {
    item.status = status;
    this.send('response.output_item.done', { item: item.toWire() });
    if (this.settings.isOutOfBand) return;
    this.host.send('conversation.item.done', { item: item.toWire() });
  }

  private end(status: Status, details: Details): void {
    this.stop();
    this.status = status;
    this.details = details;
    this.host.send('response.done', { response: this.toWire() });
    this.host.handleEnd(this);
  }

  private sendPart(type: string, { id }: SpokenMessage, fields: Readonly<Record<string, unknown>>): void {
    this.send(type, { item_id: id, content_index: 0, ...fields });
  }

  private send(type: string, fields: Readonly<Record<string, unknown>>): void {
    this.host.send(type, { response_id: this.id, output_index: this.output.length - 1, ...fields });
  }

  private toWire(): Readonly<Record<string, unknown>> {
    const { host, settings } = this;
    return {
      object: 'realtime.response',
      id: this.id,
      status: this.status,
      status_details: this.details,
      output: this.output.map((item) => item.toWire()),
      conversation_id: settings.isOutOfBand ? null : host.conversationId,
      output_modalities: [settings.modality],
      max_output_tokens: settings.maxTokens,
      audio: { output: { format: settings.format, voice: settings.voice } },
      usage: this.isDone ? this.usage() : null,
      metadata: settings.metadata,
    };
  }

  private usage(): Readonly<Record<string, unknown>> {
    const { inputTokens } = this.settings;
    const seconds = this.settings.modality === 'audio' ? (this.message?.speech.sentMs ?? 0) / 1000 : 0;
    const audio = Math.ceil(seconds * TOKENS_PER_SECOND);
    const text = Math.ceil(this.output.reduce((sum, item) => sum + item.text.length, 0) / 4);
    const input = inputTokens.text + inputTokens.audio;
    return {
      total_tokens: input + text + audio,
      input_tokens: input,
      output_tokens: text + audio,
      input_token_details: {
        text_tokens: inputTokens.text,
        audio_tokens: inputTokens.audio,
        image_tokens: 0,
        cached_tokens: 0,
        cached_tokens_details: { text_tokens: 0, audio_tokens: 0, image_tokens: 0 },
      },
      output_token_details: { text_tokens: text, audio_tokens: audio },
    };
  }
}
