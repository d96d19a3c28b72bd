import { expected } from '../errors.js';
import { bufferOf } from '../media/arguments.js';
import { pcmToMulaw } from '../media/g711.js';
import { type AgentHandler, handlerAt } from './agent-call.js';
import { type ModelOptions, RATES } from './model.js';
import { ModelCall } from './model-call.js';
import type { EventError, ModelResponse, OutputItem, ServerEvent } from './openai-events.js';

/** Close code for a key that is refused. Source: IANA's registry of WebSocket close codes. */
const UNAUTHORIZED = 3000;
const TRUNCATE = { type: 'conversation.item.truncate', content_index: 0 };

/** One call at OpenAI's Realtime API. */
class OpenAiCall extends ModelCall {
  /** The response that runs, or that was asked for and has no id yet. */
  private response: { id?: string; isCancelled: boolean } | undefined;
  /** Instructions of a response that waits for the end of this one. */
  private next: string | undefined;
  private readonly isMulaw = this.call.sendRate === 8_000;
  protected override readonly againMs = 1_500;
  private readonly handlers: Readonly<Record<string, (event: ServerEvent) => void>> = {
    'session.updated': () => this.configured(),
    'input_audio_buffer.speech_started': () => this.hush(),
    'input_audio_buffer.committed': ({ item_id }) => this.heard(item_id),
    'conversation.item.input_audio_transcription.completed': ({ item_id, transcript }) =>
      this.note('caller', item_id, transcript),
    'response.created': ({ response }) => this.created(response.id),
    'response.output_audio.delta': ({ item_id, delta }) => this.say(item_id, delta, this.isMulaw),
    'response.output_audio_transcript.delta': ({ item_id, delta }) => this.note('model', item_id, delta),
    'response.done': ({ response }) => this.done(response),
    error: ({ error }) => this.refused(error),
  };

  protected async connect(): Promise<void> {
    const { instructions, call, conversation, options } = this;
    const { model, key, voice, tools = [] } = options;
    const turn_detection = { type: 'server_vad', create_response: true, interrupt_response: true };
    // Writes down what the caller says, for the session that follows a lost one.
    const transcription = { model: 'gpt-4o-mini-transcribe' };
    const input = { format: formatOf(call.rate), transcription, turn_detection };
    const audio = { input, output: { format: formatOf(call.sendRate), ...(voice && { voice }) } };
    const functions = tools.map(({ run: _, ...tool }) => ({ type: 'function', ...tool }));
    const session = { type: 'realtime', instructions, audio, tools: functions, output_modalities: ['audio'] };
    const url = this.addressOf('https://api.openai.com', `/v1/realtime?model=${encodeURIComponent(model)}`);
    await this.open({
      ...{ url, headers: { authorization: `Bearer ${key}` }, isRefusal: (code) => code === UNAUTHORIZED },
      setup: { type: 'session.update', session },
    });
    // The vendor ends a session after 60 minutes.
    this.expireAfter(55 * 60_000);
    for (const { speaker, text } of conversation.spoken)
      this.addMessage(speaker === 'caller' ? 'user' : 'assistant', text);
  }

  protected receive(event: ServerEvent): void {
    const { type, response_id } = event;
    if (response_id !== undefined && !this.isCurrent(response_id)) return;
    if (response_id !== undefined) this.works();
    if (Object.hasOwn(this.handlers, type)) this.handlers[type]?.(event);
  }

  protected hear(pcm: Int16Array): void {
    const bytes = bufferOf(this.call.rate === 8_000 ? pcmToMulaw(pcm) : pcm);
    this.send(`{"type":"input_audio_buffer.append","audio":"${bytes.toString('base64')}"}`);
  }

  protected ask(instructions = ''): void {
    this.asked();
    this.next = this.response && instructions;
    if (this.response !== undefined) return;
    this.response = { isCancelled: false };
    // They replace the session's.
    const own = { instructions: `${this.instructions}\n\n${instructions}` };
    this.send({ type: 'response.create', ...(instructions && { response: own }) });
  }

  protected tell(text: string): void {
    this.hush();
    if (this.response?.id !== undefined) this.send({ type: 'response.cancel' });
    this.addMessage('user', text);
    this.ask();
  }

  /** The caller interrupts: the server cancels the response that runs, and one that is under way is cancelled here. */
  private hush(): void {
    this.next = undefined;
    if (this.response !== undefined) this.response.isCancelled = true;
    void this.interrupt().then((items) => {
      for (const { id, heardMs } of items)
        this.send({ ...TRUNCATE, item_id: id, audio_end_ms: Math.floor(heardMs) });
    });
  }

  private created(id: string): void {
    this.response = { id, isCancelled: this.response?.isCancelled === true };
    if (this.response.isCancelled) this.send({ type: 'response.cancel' });
    else this.works();
  }

  private done({ id, status, status_details, output }: ModelResponse): void {
    const isCurrent = this.isCurrent(id);
    const calls = output.filter(({ type }) => type === 'function_call');
    const { next } = this;
    this.response = this.next = undefined;
    if (status === 'failed') this.lost(this.error(`failed: ${status_details?.error?.code}`));
    else if (isCurrent && calls.length > 0) this.runFunctions(calls);
    else if (next !== undefined) this.ask(next);
    else if (isCurrent) this.answered();
  }

  private runFunctions(calls: readonly OutputItem[]): void {
    const type = 'function_call_output';
    const report = (call_id: string, output: string) => this.addItem({ type, call_id, output });
    const asked = calls.map(({ call_id: id, name, arguments: args }) => ({ id, name, args }));
    this.runAll(asked, report, () => this.ask());
  }

  private refused({ type, code }: EventError): void {
    const isFinal = type === 'invalid_request_error';
    if (!this.isReady) this.lost(this.error(`refused the session: ${code}`, isFinal));
    else if (code === 'conversation_already_has_active_response') this.next ??= '';
    else if (code !== 'response_cancel_not_active') this.warn(`${this.name} refused a message: ${code}`);
  }

  private isCurrent(response: string): boolean {
    return response === this.response?.id && !this.response.isCancelled;
  }

  private addMessage(role: 'user' | 'assistant', text: string): void {
    const part = { type: role === 'user' ? 'input_text' : 'output_text', text };
    this.addItem({ type: 'message', role, content: [part] });
  }

  private addItem(item: object): void {
    this.send({ type: 'conversation.item.create', item });
  }
}

function formatOf(rate: number) {
  if (rate !== 8_000 && rate !== 24_000) throw expected('8000 or 24000', 'the rate of a call', rate);
  return rate === 8_000 ? { type: 'audio/pcmu' } : { type: 'audio/pcm', rate };
}

/**
 * Answers calls with a model of OpenAI's Realtime API, which remembers of its own words only what the caller has heard.
 * @returns a handler for calls at 8,000 (µ-law) or 24,000 samples a second
 */
export function openaiAgent(options: ModelOptions): AgentHandler {
  return handlerAt(RATES.openai, (call) => new OpenAiCall(`openai:${options.model}`, call, options).start());
}
