import type { Clock } from '../../src/clock.js';
import type { GeminiFaults, GeminiOptions } from './gemini-live.js';
import { type GeminiReply, SPOKEN_RATE } from './gemini-mind.js';
import type { GeminiCall, GeminiInput, GeminiSession, GeminiTurnRecord } from './gemini-session.js';
import type { FunctionResponse } from './gemini-wire.js';

const BYTES_PER_MS = (SPOKEN_RATE / 1_000) * 2;
/** The vendor counts 25 tokens for a second of audio. */
const TOKENS_PER_MS = 0.025;
/** The longest flood. */
const MOST_FLOOD_MS = 600_000;
/** Messages of a flood in one turn of the event loop. */
const FLOOD_BURST = 100;

/** What a turn needs of its connection. */
export interface TurnOutlet {
  readonly clock: Clock;
  readonly session: GeminiSession;
  readonly options: GeminiOptions;
  readonly faults: GeminiFaults;
  send(message: object): void;
  /** Sends text that is not JSON. */
  sendBroken(): void;
  /** Sends nothing more and keeps the connection open. */
  freeze(): void;
  close(code: number, reason: string): void;
}

/** One turn of the model: from an input to `turnComplete`, with the functions that it waits for. */
export class ModelTurn {
  readonly record: GeminiTurnRecord;
  private readonly stopped = new AbortController();
  /** The function that the turn waits for. */
  private call: GeminiCall | undefined;
  private respondWith: ((response: FunctionResponse) => void) | undefined;
  /** When the user has heard everything, if the client plays it as it comes. */
  private playedAt = 0;

  constructor(
    private readonly outlet: TurnOutlet,
    private input: GeminiInput,
  ) {
    this.record = outlet.session.begin(input);
  }

  /** Fulfilled when the turn is complete, interrupted or abandoned. */
  async run(): Promise<void> {
    const { outlet } = this;
    do {
      const reply = await this.think();
      if (reply?.audio !== undefined && !this.isStopped)
        await this.speak(reply.audio, reply.transcript ?? '');
      if (reply?.call !== undefined && !this.isStopped) await this.wait(reply.call);
    } while (this.call !== undefined && !this.isStopped);
    if (this.isStopped) return;
    outlet.send({ serverContent: { generationComplete: true } });
    // The model assumes that its words are played in real time.
    await outlet.clock.sleep(this.playedAt - outlet.clock.now(), this.stopped.signal);
    if (!this.isStopped) this.complete();
  }

  /** The user's activity ends the turn. */
  interrupt(): void {
    if (this.isStopped || this.record.isComplete) return;
    this.abandon();
    this.record.isInterrupted = true;
    this.outlet.send({ serverContent: { interrupted: true } });
    if (this.call !== undefined) {
      const { pending, cancelled } = this.outlet.session;
      pending.delete(this.call.id);
      cancelled.push(this.call.id);
      this.outlet.send({ toolCallCancellation: { ids: [this.call.id] } });
    }
    this.complete();
  }

  /** Ends the turn without a word, since its connection has gone. */
  abandon(): void {
    this.stopped.abort();
  }

  /** @returns whether the turn waits for this response */
  respond(response: FunctionResponse): boolean {
    if (this.call === undefined || this.call.id !== response.id) return false;
    this.respondWith?.(response);
    return true;
  }

  private get isStopped(): boolean {
    return this.stopped.signal.aborted;
  }

  private async think(): Promise<GeminiReply | undefined> {
    const { clock, faults, options, session } = this.outlet;
    this.call = undefined;
    await clock.sleep(faults.firstAudioMs ?? options.firstAudioMs, this.stopped.signal);
    if (this.isStopped) return;
    return options.mind.reply(this.input.kind === 'speech' ? this.input.heard : new Int16Array(), session);
  }

  private async speak(spoken: Int16Array, transcript: string): Promise<void> {
    const { outlet, record } = this;
    const { clock, faults, options, session } = outlet;
    const { floodMs, stopAfterMs = Number.POSITIVE_INFINITY } = faults;
    const closeAfterMs = faults.closeAfterMs ?? Number.POSITIVE_INFINITY;
    const audio = floodMs === undefined ? spoken : repeated(spoken, Math.min(floodMs, MOST_FLOOD_MS));
    const bytes = Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength);
    const last = Math.min(bytes.length, BYTES_PER_MS * Math.min(stopAfterMs, closeAfterMs));
    const words = transcript.split(/\s+/).filter(Boolean);
    const said = session.remember('model', '');
    const sentBefore = record.sentMs;
    const begun = clock.now();
    this.playedAt = Math.max(this.playedAt, begun) + bytes.length / BYTES_PER_MS;
    if (options.chatter) {
      outlet.send({ serverContent: {} });
      outlet.send({ serverContent: { modelTurn: { parts: [{ text: 'Considering.', thought: true }] } } });
    }
    for (let at = 0, chunk = 0, word = 0; at < last; chunk++) {
      const end = Math.min(last, at + options.chunkMs * BYTES_PER_MS + (faults.oddBytes ? 1 : 0));
      let text = '';
      for (; word < words.length && (word / words.length) * bytes.length < end; word++) {
        text += `${record.transcript + text === '' ? '' : ' '}${words[word]}`;
      }
      if (faults.malformed && chunk === 1) outlet.sendBroken();
      this.sendChunk(bytes.subarray(at, end), text);
      session.responseMs += (end - at) / BYTES_PER_MS;
      at = end;
      record.sentMs = sentBefore + at / BYTES_PER_MS;
      record.transcript += text;
      said.text += text;
      if (at === last && last < bytes.length) {
        this.abandon();
        if (closeAfterMs < stopAfterMs) outlet.close(1011, 'Internal error encountered.');
        else outlet.freeze();
      } else if (floodMs === undefined) {
        const dueAt = begun + at / BYTES_PER_MS / options.speed;
        if (dueAt > clock.now()) await clock.sleep(dueAt - clock.now(), this.stopped.signal);
      } else if (chunk % FLOOD_BURST === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (this.isStopped) return;
    }
  }

  /** Newer models put audio and transcript into one message. */
  private sendChunk(bytes: Buffer, text: string): void {
    const { setup } = this.outlet.session;
    const data = bytes.toString('base64');
    const modelTurn = { parts: [{ inlineData: { mimeType: `audio/pcm;rate=${SPOKEN_RATE}`, data } }] };
    const transcription =
      setup.outputAudioTranscription === undefined || text === '' ? {} : { outputTranscription: { text } };
    if (setup.model?.includes('2.5') === true && 'outputTranscription' in transcription) {
      this.outlet.send({ serverContent: { modelTurn } });
      this.outlet.send({ serverContent: transcription });
    } else {
      this.outlet.send({ serverContent: { modelTurn, ...transcription } });
    }
  }

  /** Calls a function, and waits for its response if the model cannot go on without it. */
  private async wait({ name, args }: NonNullable<GeminiReply['call']>): Promise<void> {
    const { outlet, record } = this;
    const { session } = outlet;
    const call = { id: session.newCallId(), name, args, isBlocking: session.isBlocking(name) };
    session.pending.set(call.id, call);
    record.calls.push(call);
    outlet.send({ toolCall: { functionCalls: [{ id: call.id, name, args }] } });
    if (!call.isBlocking) return;
    this.call = call;
    const response = await new Promise<FunctionResponse | undefined>((resolve) => {
      this.respondWith = resolve;
      this.stopped.signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    if (response === undefined) return;
    this.input = { kind: 'tools', responses: [response] };
    session.input = this.input;
  }

  private complete(): void {
    const { promptMs, responseMs } = this.outlet.session;
    const [promptTokenCount, responseTokenCount] = [promptMs, responseMs].map((ms) =>
      Math.ceil(ms * TOKENS_PER_MS),
    ) as [number, number];
    this.record.isComplete = true;
    this.outlet.send({
      serverContent: { turnComplete: true },
      usageMetadata: {
        promptTokenCount,
        responseTokenCount,
        totalTokenCount: promptTokenCount + responseTokenCount,
        promptTokensDetails: [{ modality: 'AUDIO', tokenCount: promptTokenCount }],
        responseTokensDetails: [{ modality: 'AUDIO', tokenCount: responseTokenCount }],
      },
    });
  }
}

function repeated(audio: Int16Array, ms: number): Int16Array {
  const all = new Int16Array((ms * SPOKEN_RATE) / 1_000);
  for (let at = 0; at < all.length && audio.length > 0; at += audio.length) {
    all.set(audio.subarray(0, all.length - at), at);
  }
  return all;
}
