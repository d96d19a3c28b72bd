import { expected } from '../errors.js';
import { bufferOf } from '../media/arguments.js';
import { type AgentHandler, handlerAt } from './agent-call.js';
import type { Speaker } from './conversation.js';
import type { ModelFunctionCall, ServerContent, ServerMessage } from './gemini-messages.js';
import { type ModelOptions, RATES } from './model.js';
import { ModelCall } from './model-call.js';
import type { AgentTool } from './tool.js';

const ORIGIN = 'https://generativelanguage.googleapis.com';
const PATH = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent';
const RATE = RATES.gemini.sendRate;
/** How long an answer to something spoken may take. Nothing but its first words tells that it is under way. */
const SPOKEN_MS = 8_000;
/** Close codes of a setup that is refused, for its key, its model or a field. */
const REFUSALS: ReadonlySet<number> = new Set([1007, 1008]);

/** One call at the Gemini Live API. */
class GeminiCall extends ModelCall {
  private question = this.conversation.newId();
  private answer = this.conversation.newId();
  /** What a new session gets of the conversation so far. */
  private history: readonly object[] = [];
  private isSpeaking = false;
  /** The rest of this answer is dropped: the caller has interrupted it. */
  private isHushed = false;
  /** Functions that the model waits for. */
  private readonly pending = new Set<string>();
  /** Models of that generation close the connection when they hear something while they wait. */
  private readonly isDeafWaiting = this.options.model.includes('2.5');

  protected async connect(): Promise<void> {
    const { options, conversation } = this;
    if (this.call.sendRate !== RATE) throw expected(`${RATE}`, 'sendRate', this.call.sendRate);
    const url = this.addressOf(ORIGIN, PATH);
    const headers = { 'x-goog-api-key': options.key };
    const isRefusal = (code: number) => REFUSALS.has(code);
    const open = () => this.open({ url, headers, isRefusal, setup: { setup: this.setup() } });
    await open().catch((error) => {
      // The vendor does not always resume a session.
      if (conversation.handle === undefined) throw error;
      conversation.handle = undefined;
      return open();
    });
    if (this.history.length > 0) this.send({ clientContent: { turns: this.history, turnComplete: true } });
  }

  private setup() {
    const { instructions, conversation, options } = this;
    const { model, voice, tools = [] } = options;
    const speechConfig = voice && { voiceConfig: { prebuiltVoiceConfig: { voiceName: voice } } };
    const declare = ({ name, description, parameters: parametersJsonSchema }: AgentTool) => ({
      ...{ name, description, parametersJsonSchema, behavior: 'BLOCKING' },
    });
    const { handle } = conversation;
    // A session that is resumed knows it.
    this.history = handle === undefined ? conversation.spoken.map(contentOf) : [];
    return {
      model: model.startsWith('models/') ? model : `models/${model}`,
      generationConfig: { responseModalities: ['AUDIO'], ...(speechConfig && { speechConfig }) },
      systemInstruction: { parts: [{ text: instructions }] },
      ...(tools.length > 0 && { tools: [{ functionDeclarations: tools.map(declare) }] }),
      inputAudioTranscription: {},
      outputAudioTranscription: {},
      sessionResumption: handle === undefined ? {} : { handle },
      contextWindowCompression: { slidingWindow: {} },
      ...(this.history.length > 0 && { historyConfig: { initialHistoryInClientContent: true } }),
    };
  }

  protected receive(message: ServerMessage): void {
    const { setupComplete, serverContent, toolCall, toolCallCancellation, goAway } = message;
    const { newHandle, resumable } = message.sessionResumptionUpdate ?? {};
    if (resumable) this.conversation.handle = newHandle;
    if (setupComplete !== undefined) this.configured();
    if (serverContent !== undefined) this.hearModel(serverContent);
    if (toolCall !== undefined) this.runFunctions(toolCall.functionCalls ?? []);
    for (const id of toolCallCancellation?.ids ?? []) this.pending.delete(id);
    if (toolCallCancellation !== undefined) void this.interrupt();
    if (goAway !== undefined) this.expire();
  }

  protected hear(pcm: Int16Array): void {
    if (this.isDeafWaiting && this.pending.size > 0) return;
    const data = bufferOf(pcm).toString('base64');
    this.send(`{"realtimeInput":{"audio":{"data":"${data}","mimeType":"audio/pcm;rate=${this.call.rate}"}}}`);
  }

  protected ask(text: string): void {
    this.send({ realtimeInput: { text } });
    this.asked();
  }

  protected tell(text: string): void {
    this.hush();
    this.ask(text);
  }

  private runFunctions(calls: readonly ModelFunctionCall[]): void {
    for (const { id } of calls) this.pending.add(id);
    const report = (id: string, output: string, name: string) => {
      if (!this.pending.delete(id)) return;
      this.send({ toolResponse: { functionResponses: [{ id, name, response: { output } }] } });
    };
    const asked = calls.map(({ id, name, args = {} }) => ({ id, name, args }));
    this.runAll(asked, report, () => this.asked());
  }

  private hearModel(content: ServerContent): void {
    const { modelTurn, inputTranscription, outputTranscription, generationComplete, turnComplete } = content;
    if (content.interrupted) this.hush();
    if (inputTranscription?.text) this.note('caller', this.question, inputTranscription.text);
    if (inputTranscription?.text && !this.isSpeaking) this.asked(SPOKEN_MS);
    if (!this.isHushed) {
      if (outputTranscription?.text) this.note('model', this.answer, outputTranscription.text);
      for (const { inlineData } of modelTurn?.parts ?? []) {
        if (inlineData === undefined) continue;
        this.isSpeaking = true;
        this.say(this.answer, inlineData.data);
      }
    }
    if (generationComplete || turnComplete) this.answered();
    if (turnComplete) this.endTurn();
  }

  private hush(): void {
    this.isHushed = this.isSpeaking;
    void this.interrupt();
  }

  private endTurn(): void {
    this.isSpeaking = this.isHushed = false;
    this.question = this.conversation.newId();
    this.answer = this.conversation.newId();
  }
}

function contentOf({ speaker, text }: { speaker: Speaker; text: string }) {
  return { role: speaker === 'caller' ? 'user' : 'model', parts: [{ text }] };
}

/**
 * Answers calls with a model of the Gemini Live API. The vendor has no truncation: after an interruption the model remembers all
 * that it sent, also what the caller did not hear. A session that follows a lost one gets only what was heard.
 * @returns a handler for calls that are sent 24,000 samples a second
 */
export function geminiAgent(options: ModelOptions): AgentHandler {
  return handlerAt(RATES.gemini, (call) => new GeminiCall(`gemini:${options.model}`, call, options).start());
}
