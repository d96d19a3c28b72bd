import { expected } from '../errors.js';
import { bufferOf } from '../media/arguments.js';
import { pcmToMulaw } from '../media/g711.js';
import type { AgentHandler } from './agent-call.js';
import type { ModelOptions } from './model.js';
import { type FunctionResult, ModelCall } from './model-call.js';

/** A session ends after 60 minutes. */
const SESSION_MS = 55 * 60_000;
/** Writes down what the caller says, for the session that follows a lost one. */
const TRANSCRIPTION = { model: 'gpt-4o-mini-transcribe' };

/** What is read of the server's events. */
type ServerEvent = Readonly<
  Record<'type' | 'item_id' | 'response_id' | 'delta' | 'transcript', string> & {
    response: Record<'id' | 'status', string> & { output: Item[]; status_details?: { error?: Fault } | null };
    error: Fault;
  }
>;
type Item = Record<'type' | 'name' | 'call_id' | 'arguments', string>;
type Fault = { type?: string; code?: string | null };

/** One call at OpenAI's Realtime API. Source: developers.openai.com/api/reference/resources/realtime. */
class OpenAiCall extends ModelCall {
  /** The response that runs, or that was asked for and has no id yet. */
  private response: { id?: string; isCancelled: boolean } | undefined;
  /** Instructions of the next response, which waits for the end of this one; and those of the latest. */
  private next: string | undefined;
  private latest = '';

  private readonly handlers: Readonly<Record<string, (event: ServerEvent) => void>> = {
    'session.updated': () => this.configured(),
    'input_audio_buffer.speech_started': () => this.hush(),
    'input_audio_buffer.committed': ({ item_id }) => this.asked(item_id),
    'conversation.item.input_audio_transcription.completed': ({ item_id, transcript }) =>
      this.conversation.add('caller', item_id, transcript),
    'response.created': ({ response }) => this.created(response.id),
    'response.output_item.added': () => this.works(),
    'response.function_call_arguments.delta': () => this.works(),
    'response.output_audio.delta': ({ response_id, item_id, delta }) =>
      this.isCurrent(response_id) && this.say(item_id, delta, this.call.sendRate === 8_000),
    'response.output_audio_transcript.delta': ({ response_id, item_id, delta }) =>
      this.isCurrent(response_id) && this.conversation.add('model', item_id, delta),
    'response.done': ({ response }) => this.done(response),
    error: ({ error }) => this.refused(error),
  };

  protected async connect(): Promise<void> {
    const { model, key, baseUrl } = this.options;
    const origin = (baseUrl || 'https://api.openai.com').replace(/^http/, 'ws').replace(/(\/v1)?\/?$/, '');
    const url = `${origin}/v1/realtime?model=${encodeURIComponent(model)}`;
    const isRefusal = (code: number, reason: string) => code === 3000 || reason.startsWith('invalid_request');
    await this.open(url, { authorization: `Bearer ${key}` }, isRefusal);
    this.expireAfter(SESSION_MS);
    for (const { speaker, text } of this.conversation.spoken) this.addMessage(speaker === 'caller', text);
  }

  protected opened(): void {
    const { instructions, call, options } = this;
    const { voice, tools = [] } = options;
    const turn_detection = { type: 'server_vad', create_response: true, interrupt_response: true };
    const input = { format: formatOf(call.rate), transcription: TRANSCRIPTION, turn_detection };
    const audio = { input, output: { format: formatOf(call.sendRate), ...(voice && { voice }) } };
    const functions = tools.map(({ run: _, ...tool }) => ({ type: 'function', ...tool }));
    const session = { type: 'realtime', instructions, audio, tools: functions, output_modalities: ['audio'] };
    this.send({ type: 'session.update', session });
  }

  protected receive(message: object): void {
    const event = message as ServerEvent;
    if (Object.hasOwn(this.handlers, event.type)) this.handlers[event.type]?.(event);
  }

  protected hear(pcm: Int16Array): void {
    const bytes = bufferOf(this.call.rate === 8_000 ? pcmToMulaw(pcm) : pcm);
    this.send(`{"type":"input_audio_buffer.append","audio":"${bytes.toString('base64')}"}`);
  }

  protected ask(instructions = ''): void {
    this.asked();
    this.latest = instructions;
    this.next = this.response && instructions;
    if (this.response !== undefined) return;
    this.response = { isCancelled: false };
    // They replace the session's.
    const own = { instructions: `${this.instructions}\n\n${instructions}` };
    this.send({ type: 'response.create', ...(instructions && { response: own }) });
  }

  protected tell(text: string): void {
    this.hush();
    if (this.response?.id !== undefined)
      this.send({ type: 'response.cancel', response_id: this.response.id });
    this.addMessage(true, text);
    this.ask();
  }

  protected goOn(): void {
    this.ask();
  }

  protected report({ id, output }: FunctionResult): void {
    this.addItem({ type: 'function_call_output', call_id: id, output });
  }

  /** The caller interrupts: the server cancels the response that runs, and one that is under way is cancelled here. */
  private hush(): void {
    this.next = undefined;
    if (this.response !== undefined) this.response.isCancelled = true;
    void this.interrupt().then((items) => {
      for (const { id, heardMs } of items) this.truncate(id, Math.floor(heardMs));
    });
  }

  private truncate(item_id: string, audio_end_ms: number): void {
    this.send({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms });
  }

  private created(id: string): void {
    const isCancelled = this.response?.id === undefined && this.response?.isCancelled === true;
    if (isCancelled) this.send({ type: 'response.cancel', response_id: id });
    else this.works();
    this.response = { id, isCancelled };
  }

  private done({ id, status, status_details, output }: ServerEvent['response']): void {
    const isCurrent = this.isCurrent(id);
    const calls = output.filter(({ type }) => type === 'function_call');
    const { next } = this;
    this.response = this.next = undefined;
    if (status === 'failed') this.lost(this.error(`failed: ${status_details?.error?.code}`));
    else if (isCurrent && calls.length > 0) this.runAll(calls.map((each) => ({ ...each, id: each.call_id })));
    else if (next !== undefined) this.ask(next);
    else if (isCurrent) this.answered();
  }

  private refused({ type, code }: ServerEvent['error']): void {
    if (!this.isReady)
      this.lost(this.error(`refused the session: ${code}`, type === 'invalid_request_error'));
    else if (code === 'conversation_already_has_active_response') this.next ??= this.latest;
    else if (code !== 'response_cancel_not_active') this.warn(`${this.name} refused a message: ${code}`);
  }

  private isCurrent(response: string): boolean {
    return response === this.response?.id && !this.response.isCancelled;
  }

  private addMessage(isCaller: boolean, text: string): void {
    const content = [{ type: isCaller ? 'input_text' : 'output_text', text }];
    this.addItem({ type: 'message', role: isCaller ? 'user' : 'assistant', content });
  }

  private addItem(item: object): void {
    this.send({ type: 'conversation.item.create', item });
  }
}

function formatOf(rate: number) {
  if (rate === 8_000) return { type: 'audio/pcmu' };
  if (rate === 24_000) return { type: 'audio/pcm', rate };
  throw expected('8000 or 24000', 'the rate of a call that OpenAI answers', rate);
}

/**
 * Answers calls with a model of OpenAI's Realtime API, which remembers of its own words only what the caller has heard.
 * @returns a handler for calls at 8,000 (µ-law) or 24,000 samples a second
 */
export function openaiAgent(options: ModelOptions): AgentHandler {
  return (call) => new OpenAiCall(`openai:${options.model}`, call, options).start();
}
