import type { RawData, WebSocket } from 'ws';
import type { Clock, Timer } from '../../src/clock.js';
import { type ConverterMaker, type RateConverter, RESAMPLER_RATES } from '../../src/media/rate-converter.js';
import { ActivityDetector, HEARD_RATE } from './gemini-activity.js';
import type { GeminiFaults, GeminiOptions } from './gemini-live.js';
import { wordsOf } from './gemini-mind.js';
import { type GeminiInput, type GeminiSession, isNewest, keep } from './gemini-session.js';
import { ModelTurn, type TurnOutlet } from './gemini-turn.js';
import {
  type Blob,
  type ClientMessage,
  closeReason,
  type FunctionResponse,
  invalidArgument,
  parseClientMessage,
  type RealtimeInput,
  Refusal,
  type Setup,
} from './gemini-wire.js';

/** A client that does not read is cut off when this much waits for it. */
const MOST_BUFFERED = 16 * 1_024 * 1_024;
/** Inputs that wait for the end of a turn. */
const MOST_WAITING = 100;
/** The vendor announces the end of a connection this long before. */
const NOTICE_MS = 50_000;
const NOT_SETUP = 'setup must be the first message and only the first';
const EXPLICIT = 'Explicit activity control is not supported when automatic activity detection is enabled.';
const ABORTED =
  'Connection aborted because the client failed to close the connection after receiving a GoAway signal.';
/** What users of 2.5's native audio report. */
const DURING_CALL = 'Operation is not implemented, or supported, or enabled.';
const VOICES = new Set(
  (
    'Achernar Achird Algenib Algieba Alnilam Aoede Autonoe Callirrhoe Charon Despina Enceladus Erinome Fenrir Gacrux Iapetus ' +
    'Kore Laomedeia Leda Orus Puck Pulcherrima Rasalgethi Sadachbia Sadaltager Schedar Sulafat Umbriel Vindemiatrix Zephyr ' +
    'Zubenelgenubi'
  ).split(' '),
);

/** What a connection needs of its server. */
export interface ConnectionServer {
  readonly clock: Clock;
  readonly options: GeminiOptions;
  readonly faults: GeminiFaults;
  readonly makeConverter: ConverterMaker;
  /** A new session, or the one that a handle stands for. Throws a refusal. */
  openSession(setup: Setup, connection: GeminiConnection): GeminiSession;
  forget(connection: GeminiConnection): void;
}

/** One WebSocket of a client. */
export class GeminiConnection implements TurnOutlet {
  readonly clock: Clock;
  readonly options: GeminiOptions;
  readonly faults: GeminiFaults;
  private current: GeminiSession | undefined;
  private isReady = false;
  private isFrozen = false;
  private detector: ActivityDetector | undefined;
  private readonly converters = new Map<number, RateConverter>();
  private turn: ModelTurn | undefined;
  private readonly waiting: GeminiInput[] = [];
  private readonly timers: Timer[] = [];

  constructor(
    private readonly server: ConnectionServer,
    private readonly socket: WebSocket,
  ) {
    ({ clock: this.clock, options: this.options, faults: this.faults } = server);
    socket.on('message', (data) => this.handle(data));
    socket.on('close', (code, reason) => this.end(code, reason.toString()));
    socket.on('error', () => socket.terminate());
  }

  get session(): GeminiSession {
    if (this.current === undefined) throw new Error('The connection has no session yet');
    return this.current;
  }

  /** Whether the model is about to speak, speaks, or assumes that its words are being played. */
  get isGenerating(): boolean {
    return this.turn !== undefined;
  }

  send(message: object): void {
    if (this.isFrozen || this.socket.readyState !== this.socket.OPEN) return;
    if (this.socket.bufferedAmount > MOST_BUFFERED) this.socket.terminate();
    // As recorded of the vendor: binary frames with indented JSON.
    else this.socket.send(Buffer.from(`${JSON.stringify(message, undefined, 2)}\n`));
  }

  sendBroken(): void {
    if (this.socket.readyState === this.socket.OPEN)
      this.socket.send(Buffer.from('{"serverContent": {"model'));
  }

  freeze(): void {
    this.isFrozen = true;
  }

  close(code: number, reason: string): void {
    this.turn?.abandon();
    this.socket.close(code, closeReason(reason));
  }

  /** Announces the end of the connection, and ends it. */
  goAway(timeLeftMs: number): void {
    const seconds = timeLeftMs / 1_000;
    this.send({ goAway: { timeLeft: `${Number.isInteger(seconds) ? seconds : seconds.toFixed(3)}s` } });
    this.timers.push(this.clock.after(timeLeftMs, () => this.close(1008, ABORTED)));
  }

  terminate(): void {
    this.turn?.abandon();
    this.socket.terminate();
  }

  private handle(data: RawData): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    try {
      // Both kinds of frames hold JSON.
      this.handleMessage(parseClientMessage(data.toString()));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.close(error.code, error.reason);
    }
  }

  private handleMessage(message: ClientMessage): void {
    if (message.setup !== undefined) {
      if (this.current !== undefined) throw new Refusal(1007, NOT_SETUP);
      this.setUp(message.setup);
      return;
    }
    if (!this.isReady) throw new Refusal(1007, NOT_SETUP);
    if (message.realtimeInput !== undefined) this.handleInput(message.realtimeInput);
    else if (message.clientContent !== undefined) this.handleContent(message.clientContent);
    else this.handleResponses(message.toolResponse?.functionResponses ?? []);
  }

  private setUp(setup: Setup): void {
    checkSetup(setup, this.options.models);
    const session = this.server.openSession(setup, this);
    this.current = session;
    session.received.connections += 1;
    this.detector = new ActivityDetector(
      setup,
      () => this.activityStarted(),
      (heard) => this.activityEnded(heard),
    );
    this.timers.push(
      this.clock.after(this.faults.setupMs ?? this.options.setupMs, () => {
        this.isReady = true;
        this.send({ setupComplete: {} });
        this.sendHandle();
      }),
      this.clock.after(Math.max(1, this.options.lifeMs - NOTICE_MS), () => this.goAway(NOTICE_MS)),
    );
  }

  private sendHandle(): void {
    if (this.session.setup.sessionResumption === undefined) return;
    this.send({ sessionResumptionUpdate: { newHandle: this.session.newHandle(), resumable: true } });
  }

  private handleInput(input: RealtimeInput): void {
    const { session } = this;
    const detector = this.detector as ActivityDetector;
    const isControl = input.activityStart !== undefined || input.activityEnd !== undefined;
    if (isControl && detector.isAutomatic) throw new Refusal(1007, EXPLICIT);
    if (input.activityStart !== undefined) detector.start();
    if (input.audio !== undefined) this.hear(input.audio, detector);
    if (input.activityEnd !== undefined) detector.end();
    if (input.audioStreamEnd === true) {
      if (!detector.isAutomatic) throw invalidArgument();
      session.received.streamEnds += 1;
      detector.end();
    }
    if (input.text !== undefined) {
      keep(session.received.text, input.text);
      session.remember('user', input.text);
      this.interrupt();
      this.answer({ kind: 'text', text: input.text });
    }
  }

  private hear({ mimeType = '', data = Buffer.alloc(0) }: Blob, detector: ActivityDetector): void {
    const { received, pending } = this.session;
    const [type, ...parameters] = mimeType.split(';').map((part) => part.trim());
    const rate = Number(/^rate=(\d+)$/.exec(parameters[0] ?? `rate=${HEARD_RATE}`)?.[1]);
    // The vendor takes any rate; this one those that the gateway knows.
    const isKnown = (RESAMPLER_RATES as readonly number[]).includes(rate);
    if (type !== 'audio/pcm' || !isKnown || data.length % 2 !== 0) throw invalidArgument();
    if (this.faults.refuseAudioDuringCall && pending.size > 0) throw new Refusal(1008, DURING_CALL);
    const pcm = new Int16Array(data.length / 2);
    for (let n = 0; n < pcm.length; n++) pcm[n] = data.readInt16LE(2 * n);
    const ms = (pcm.length * 1_000) / rate;
    received.audioMs += ms;
    received.chunks += 1;
    this.session.promptMs += ms;
    let converter = this.converters.get(rate);
    if (converter === undefined) {
      converter = this.server.makeConverter(rate, HEARD_RATE);
      this.converters.set(rate, converter);
    }
    detector.push(converter.process(pcm));
  }

  private handleContent({ turns = [], turnComplete }: NonNullable<ClientMessage['clientContent']>): void {
    const { session } = this;
    // Content interrupts the model, whatever the setup says about activity.
    this.turn?.interrupt();
    const texts = turns.map(({ role, parts = [] }) => {
      if (role !== undefined && role !== 'user' && role !== 'model') throw invalidArgument();
      const text = parts.map((part) => part.text ?? '').join('');
      keep(session.received.text, text);
      session.remember(role ?? 'user', text);
      return text;
    });
    if (turnComplete === true) this.answer({ kind: 'text', text: texts.at(-1) ?? '' });
  }

  private handleResponses(responses: readonly FunctionResponse[]): void {
    const { session } = this;
    for (const response of responses) {
      if (response.id === undefined || response.name === undefined) throw invalidArgument();
      keep(session.received.responses, response);
      if (!session.pending.delete(response.id)) {
        keep(session.received.strayResponses, response);
        continue;
      }
      session.remember('function', JSON.stringify(response.response ?? {}));
      if (this.turn?.respond(response) || response.scheduling === 'SILENT') continue;
      if (response.scheduling === 'INTERRUPT') this.turn?.interrupt();
      this.answer({ kind: 'tools', responses: [response] });
    }
  }

  private activityStarted(): void {
    this.reportActivity('ACTIVITY_START');
    this.interrupt();
  }

  private activityEnded(heard: Int16Array): void {
    const { session, options } = this;
    this.reportActivity('ACTIVITY_END');
    const text = (options.mind.transcribe ?? wordsOf)(heard);
    session.remember('user', text);
    if (session.setup.inputAudioTranscription !== undefined) {
      // It comes in pieces.
      for (const piece of text.match(/\s*\S+(\s+\S+)?/g) ?? []) {
        this.send({ serverContent: { inputTranscription: { text: piece } } });
      }
    }
    this.answer({ kind: 'speech', heard });
  }

  private reportActivity(voiceActivityType: string): void {
    if (!isNewest(this.session.setup.model)) return;
    const offset = ((this.detector?.offsetMs ?? 0) / 1_000).toFixed(3);
    this.send({ voiceActivity: { voiceActivityType, audioOffset: `${offset}s` } });
  }

  /** The user's activity interrupts the model, unless the setup says that it does not. */
  private interrupt(): void {
    if (this.session.setup.realtimeInputConfig?.activityHandling === 'NO_INTERRUPTION') return;
    this.waiting.length = 0;
    this.turn?.interrupt();
  }

  /** The model answers now, or when it has finished. */
  private answer(input: GeminiInput): void {
    if (this.turn !== undefined && !this.turn.record.isComplete) {
      this.waiting.push(input);
      if (this.waiting.length > MOST_WAITING) this.waiting.shift();
      return;
    }
    const turn = new ModelTurn(this, input);
    this.turn = turn;
    // Proto3 leaves out what is false or empty.
    if (this.options.handles === 'turns' && this.session.setup.sessionResumption !== undefined) {
      this.send({ sessionResumptionUpdate: {} });
    }
    turn.run().then(
      () => this.turnEnded(turn),
      (error: Error) => this.close(1011, `The stand-in's mind failed: ${error.message}`),
    );
  }

  private turnEnded(turn: ModelTurn): void {
    if (this.turn !== turn || this.isFrozen) return;
    this.turn = undefined;
    if (this.options.handles === 'turns') this.sendHandle();
    const next = this.waiting.shift();
    if (next !== undefined) this.answer(next);
  }

  private end(code: number, reason: string): void {
    for (const timer of this.timers) this.clock.cancel(timer);
    for (const converter of this.converters.values()) converter.close();
    if (this.current !== undefined) this.current.closed = { code, reason };
    this.turn?.abandon();
    this.server.forget(this);
  }
}

/** What the messages allow but the models do not. */
function checkSetup(setup: Setup, models: readonly string[]): void {
  const { model, generationConfig = {}, tools = [] } = setup;
  if (model === undefined) throw invalidArgument();
  if (!models.includes(model)) {
    throw new Refusal(
      1008,
      `${model} is not found for API version v1beta, or is not supported for bidiGenerateContent.`,
    );
  }
  // The models that this stands in for speak; one that writes is another.
  if ((generationConfig.responseModalities ?? ['AUDIO']).join() !== 'AUDIO') throw invalidArgument();
  if (generationConfig.thinkingConfig !== undefined && isNewest(model)) throw invalidArgument();
  const voice = generationConfig.speechConfig?.voiceConfig?.prebuiltVoiceConfig?.voiceName;
  if (voice !== undefined && !VOICES.has(voice)) {
    throw new Refusal(1007, `Requested voice api_name '${voice}' is not available for model ${model}`);
  }
  const functions = tools.flatMap(({ functionDeclarations = [] }) => functionDeclarations);
  for (const { name, parameters, parametersJsonSchema } of functions) {
    if (!/^[a-zA-Z_][\w.:-]{0,127}$/.test(name ?? '')) throw invalidArgument();
    if (parameters !== undefined && parametersJsonSchema !== undefined) throw invalidArgument();
    const { type, properties } = parameters ?? {};
    if (/^object$/i.test(String(type)) && Object.keys(properties ?? {}).length === 0) throw invalidArgument();
  }
  if (new Set(functions.map(({ name }) => name)).size < functions.length) throw invalidArgument();
}
