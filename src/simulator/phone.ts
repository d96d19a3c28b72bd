import { EventEmitter } from 'node:events';
import { expected, GatewayError } from '../errors.js';
import { AudioSource } from './audio.js';
import { PhoneClock } from './clock.js';
import type { DialMapping } from './dial.js';
import { twilioCodeOf, twilioError } from './errors.js';
import { handoversOf, type StreamHandover } from './handover.js';
import type { Histogram } from './histogram.js';
import { newSid } from './identifiers.js';
import type { ProtocolWarning } from './inbox.js';
import type { LineProfile } from './line.js';
import type { StreamReport } from './measurement.js';
import { SoundDetector } from './sound-detector.js';
import { SimulatedStream, type SimulatedStreamEnd, type StreamFaults } from './stream.js';
import {
  MAX_REDIRECT_VERBS,
  MAX_REDIRECT_VERBS_A_CALL,
  parseTwiml,
  type StreamVerb,
  twimlOf,
  type Verb,
} from './twiml.js';
import { type Utterance, Voice } from './voice.js';
import { PHONE_RATE, writeWav } from './wav.js';
import {
  CallbackQueue,
  type CallDirection,
  type CallStatus,
  type StreamEvent,
  sendWebhook,
  statusParameters,
  streamStatusParameters,
  webhookParameters,
} from './webhook.js';

/** Deliberate faults of a call. */
export interface PhoneFaults extends StreamFaults {
  /** The webhook signature is omitted, or made with another token. */
  readonly webhookSignature?: 'missing' | 'wrong';
}

/** Options of a simulated call. */
export interface PhoneOptions {
  readonly accountSid: string;
  readonly authToken: string;
  /** Caller and callee: E.164, `client:…` or `sip:…`. */
  readonly from: string;
  readonly to: string;
  /** The number's voice URL. Needed unless there is `twiml`. */
  readonly webhookUrl?: string | undefined;
  readonly webhookMethod?: 'GET' | 'POST' | undefined;
  /** Inline TwiML, as of a call placed by REST. */
  readonly twiml?: string | undefined;
  readonly direction?: CallDirection | undefined;
  readonly callSid?: string | undefined;
  /** More webhook parameters, or other values for some. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  /** Called with the final status, as configured for a number. */
  readonly statusCallback?: string | undefined;
  readonly dial?: DialMapping | undefined;
  /** Shared by the phones of a process; default a new one. */
  readonly clock?: PhoneClock | undefined;
  /** What the caller says, in a loop; default silence. */
  readonly audio?: AudioSource | undefined;
  readonly profile?: LineProfile | undefined;
  readonly faults?: PhoneFaults | undefined;
  /** Keeps what the caller hears, for recordings and for the proof: a number of milliseconds, or `true` for five minutes. Default false. */
  readonly record?: boolean | number | undefined;
  /** Milliseconds of the recording that are compared to prove the echo; default 10,000. */
  readonly proofMs?: number | undefined;
  /** Detects sound in what is heard, see {@link SimulatedPhone.ear}; default false. */
  readonly listens?: boolean | undefined;
  /** Also records every round trip of the call. */
  readonly roundTrips?: Histogram | undefined;
  /**
   * Whether the server echoes what it hears, so that received frames are paired with sent ones by their sound; default true.
   * Otherwise the k-th received frame is paired with the k-th sent.
   */
  readonly echoes?: boolean | undefined;
  /** De-jitter delay of the far end in milliseconds, 0…1,000; default 20. */
  readonly dejitterMs?: number | undefined;
}

/** How a call went, once it is over. */
export interface CallOutcome {
  readonly status: CallStatus;
  /** From answer to end, whole seconds, rounded up as Twilio bills. */
  readonly seconds: number;
  /** The error on Twilio's side: webhook, TwiML or upgrade. */
  readonly error: GatewayError | undefined;
  /** The code that Twilio's debugger would show, e.g. 31920; 31921 if the server closed the stream. */
  readonly twilioCode: number | undefined;
  /** How the last stream ended. */
  readonly streamEnd: SimulatedStreamEnd | undefined;
  /** One for every stream that replaced another. */
  readonly handovers: readonly StreamHandover[];
  /** Texts of `<Say>`. */
  readonly said: readonly string[];
  /** Numbers dialled by `<Dial>`; the simulated callee is silent and hangs up at once. */
  readonly dialled: readonly string[];
  /** Status callbacks that were not answered with 2xx. */
  readonly failedCallbacks: readonly string[];
}

interface PhoneEvents {
  /** The call's status changed. */
  status: [status: CallStatus];
  /** A stream started. */
  stream: [stream: SimulatedStream];
  message: [text: string];
  mark: [name: string];
  clear: [];
  warning: [warning: ProtocolWarning];
  end: [outcome: CallOutcome];
}

const RECORD_MS = 300_000;

/**
 * One call on Twilio's side: requests the webhook, executes the TwiML, speaks and listens over the media
 * stream, and sends the status callbacks.
 */
export class SimulatedPhone extends EventEmitter<PhoneEvents> {
  readonly callSid: string;
  /** Resolves when the first stream runs; rejects with the reason if the call ends without one. */
  readonly started: Promise<SimulatedStream>;
  /** Resolves when the call is over and its callbacks are answered; never rejects. */
  readonly ended: Promise<CallOutcome>;
  /** Detects sound in what the caller hears, across all streams. Needs `listens`. */
  readonly ear = new SoundDetector();
  /** Duration of the first webhook and of the latest upgrade, in milliseconds. */
  webhookMs: number | undefined;
  handshakeMs: number | undefined;
  private readonly options: PhoneOptions;
  private readonly direction: CallDirection;
  private readonly clock: PhoneClock;
  private readonly voice: Voice;
  private readonly opened: SimulatedStream[] = [];
  private readonly said: string[] = [];
  private readonly callees: string[] = [];
  private readonly callbacks: CallbackQueue;
  /** Aborts requests for TwiML when the call ends. */
  private readonly questions = new AbortController();
  private readonly resolveStarted: (stream: SimulatedStream) => void;
  private readonly rejectStarted: (error: Error) => void;
  private readonly resolveEnded: (outcome: CallOutcome) => void;
  private currentStatus: CallStatus;
  private verbs: Verb[] = [];
  /** Redirects since the last stream, and in total. */
  private redirects = 0;
  private allRedirects = 0;
  /** Number of redirects by REST; each invalidates earlier requests for TwiML. */
  private orders = 0;
  private dialled = false;
  private over = false;
  private interrupt: (() => void) | undefined;
  private failure: GatewayError | undefined;
  private answeredAt: number | undefined;
  private current: SimulatedStream | undefined;
  private streamEnd: SimulatedStreamEnd | undefined;

  /** @throws TypeError for options out of range; nothing is dialled before {@link dial} */
  constructor(options: PhoneOptions) {
    super();
    if (options.webhookUrl === undefined && options.twiml === undefined) {
      throw expected('a webhookUrl or twiml', 'the call', undefined);
    }
    if (options.authToken === '') throw expected('a non-empty text', 'authToken', options.authToken);
    const { dejitterMs = 20 } = options;
    if (!(dejitterMs >= 0 && dejitterMs <= 1000)) throw expected('0 to 1000', 'dejitterMs', dejitterMs);
    this.options = options;
    this.callSid = options.callSid ?? newSid('CA');
    this.direction = options.direction ?? 'inbound';
    this.clock = options.clock ?? new PhoneClock();
    this.voice = new Voice(options.audio);
    this.callbacks = new CallbackQueue({
      authToken: options.authToken,
      dial: options.dial,
      clock: this.clock.time,
    });
    this.currentStatus = this.direction === 'inbound' ? 'ringing' : 'in-progress';
    let resolveStarted: (stream: SimulatedStream) => void = () => {};
    let rejectStarted: (error: Error) => void = () => {};
    this.started = new Promise((resolve, reject) => {
      resolveStarted = resolve;
      rejectStarted = reject;
    });
    // No unhandled rejection if nobody awaits it.
    this.started.catch(() => {});
    this.resolveStarted = resolveStarted;
    this.rejectStarted = rejectStarted;
    let resolveEnded: (outcome: CallOutcome) => void = () => {};
    this.ended = new Promise((resolve) => {
      resolveEnded = resolve;
    });
    this.resolveEnded = resolveEnded;
  }

  /** Places the call; once only. */
  dial(): this {
    if (!this.dialled) {
      this.dialled = true;
      void this.runCall();
    }
    return this;
  }

  get status(): CallStatus {
    return this.currentStatus;
  }

  get from(): string {
    return this.options.from;
  }

  get to(): string {
    return this.options.to;
  }

  /** The media stream, the last one where there were several; `undefined` before the first. */
  get stream(): SimulatedStream | undefined {
    return this.current;
  }

  /** Every stream that ran, in order. */
  get streams(): readonly SimulatedStream[] {
    return this.opened;
  }

  /** Hand-overs of the call to another stream. */
  get handovers(): readonly StreamHandover[] {
    return handoversOf(this.opened.map((stream) => stream.times));
  }

  /** What the caller has said so far, including silence, with start times. */
  get utterances(): readonly Utterance[] {
    return this.voice.utterances;
  }

  /** From the next frame on, the caller says this in a loop. */
  speak(audio: AudioSource): void {
    this.voice.loop(audio);
  }

  /** The caller says this once, then is silent. Resolves when it is said; waits while no stream runs. */
  say(audio: AudioSource): Promise<void> {
    return this.voice.once(audio);
  }

  /** Stops talking: the phone sends silence. */
  beQuiet(): void {
    this.voice.loop(AudioSource.silence());
  }

  /**
   * The caller presses keys.
   * @param digits of `0–9 * # A–D`
   * @throws GatewayError `GW_SIM_NO_STREAM` without a running stream
   */
  dtmf(digits: string): void {
    this.requireStream().dtmf(digits);
  }

  /** The caller hangs up: `stop`, socket closed, final status. Resolves when all is done. */
  hangUp(): Promise<CallOutcome> {
    this.end();
    return this.ended;
  }

  /** The socket dies without `stop` or close frame, and the call with it. */
  drop(): Promise<CallOutcome> {
    this.current?.destroy();
    this.end();
    return this.ended;
  }

  /**
   * Gives the live call new TwiML, as REST does; the running stream ends.
   * @throws GatewayError `GW_SIM_12100`, `GW_SIM_12200`, `GW_SIM_11100`, `GW_SIM_UNSUPPORTED`: see {@link parseTwiml}
   */
  redirect(twiml: string): void {
    this.verbs = parseTwiml(twiml);
    this.orders += 1;
    this.interrupt?.();
  }

  /** Measurements of the latest stream; `undefined` before the first. Costs CPU if it was recorded. */
  report(): StreamReport | undefined {
    return this.current?.report();
  }

  /**
   * What the caller heard, 8 kHz, from the start of the first stream; silent between streams. Needs `record`.
   * @throws GatewayError `GW_SIM_NO_STREAM` before the first stream
   */
  heard(): Int16Array {
    return this.timeline((stream) => stream.heard());
  }

  /**
   * What the caller said, on the same timeline. Needs `record`.
   * @throws GatewayError `GW_SIM_NO_STREAM` before the first stream
   */
  spoken(): Int16Array {
    return this.timeline((stream) => stream.spoken());
  }

  /**
   * Writes what the caller heard as WAV. Needs `record`.
   * @throws GatewayError `GW_SIM_NO_STREAM` before the first stream; the error of the file system
   */
  saveRecording(path: string): void {
    writeWav(path, this.heard());
  }

  /** Ends at once and frees everything: socket, timers, running requests. */
  close(): void {
    this.callbacks.abort();
    this.current?.close();
    this.end();
  }

  private end(): void {
    this.over = true;
    this.questions.abort();
    this.interrupt?.();
    if (!this.dialled) {
      this.dialled = true;
      void this.finish();
    }
  }

  private async runCall(): Promise<void> {
    try {
      this.verbs = await this.firstVerbs();
      if (this.direction !== 'inbound') this.answer();
      for (let verb = this.verbs.shift(); verb !== undefined && !this.over; verb = this.verbs.shift()) {
        await this.perform(verb);
      }
    } catch (error) {
      if (!this.over) this.failure = error instanceof GatewayError ? error : unexpected(error);
    }
    await this.finish();
  }

  private async firstVerbs(): Promise<Verb[]> {
    const { twiml, webhookUrl, webhookMethod } = this.options;
    if (twiml !== undefined) return parseTwiml(twiml);
    const begun = this.clock.time.now();
    const verbs = await this.fetch(webhookUrl as string, webhookMethod ?? 'POST');
    this.webhookMs = this.clock.time.now() - begun;
    return verbs;
  }

  private async fetch(url: string, method: 'GET' | 'POST', extra?: Record<string, string>): Promise<Verb[]> {
    const parameters = webhookParameters(this.call, this.currentStatus, {
      ...extra,
      ...this.options.parameters,
    });
    const fault = this.options.faults?.webhookSignature;
    const { authToken, dial } = this.options;
    const answer = await sendWebhook(url, parameters, {
      authToken: fault === 'missing' ? undefined : fault === 'wrong' ? `${authToken}!` : authToken,
      dial,
      method,
      signal: this.questions.signal,
      clock: this.clock.time,
    });
    return this.over ? [] : twimlOf(answer);
  }

  private async perform(verb: Verb): Promise<void> {
    switch (verb.verb) {
      case 'reject':
        this.over = true;
        // Only an unanswered call can be rejected; later on it is a hang-up.
        if (this.answeredAt === undefined) this.setStatus(verb.reason === 'busy' ? 'busy' : 'failed');
        this.failure ??= new GatewayError(
          'GW_SIM_REJECTED',
          `Expected a media stream for call ${this.callSid} but received <Reject reason="${verb.reason}">`,
        );
        return;
      case 'hangup':
        this.over = true;
        return;
      case 'say':
        this.answer();
        this.said.push(verb.text);
        return;
      case 'dial':
        this.answer();
        this.callees.push(verb.to);
        return;
      case 'pause':
        return this.pause(verb.seconds);
      case 'redirect':
        return this.follow(verb.url, verb.method);
      case 'stream':
        this.answer();
        return this.connect(verb);
    }
  }

  /** Continues with the TwiML of another URL. */
  private async follow(url: string, method: 'GET' | 'POST'): Promise<void> {
    this.redirects += 1;
    this.allRedirects += 1;
    if (this.redirects > MAX_REDIRECT_VERBS || this.allRedirects > MAX_REDIRECT_VERBS_A_CALL) {
      const most =
        this.redirects > MAX_REDIRECT_VERBS
          ? `${MAX_REDIRECT_VERBS} redirects without a stream`
          : `${MAX_REDIRECT_VERBS_A_CALL} redirects`;
      throw twilioError(11215, `Expected at most ${most} for call ${this.callSid} but received more`);
    }
    const { orders } = this;
    const verbs = await this.fetch(url, method);
    if (this.orders === orders) this.verbs = verbs;
  }

  private async pause(seconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const { time } = this.clock;
      const timer = time.after(seconds * 1000, resolve);
      this.interrupt = () => {
        time.cancel(timer);
        resolve();
      };
    });
    this.interrupt = undefined;
  }

  private async connect(verb: StreamVerb): Promise<void> {
    const stream = new SimulatedStream({
      ...this.options,
      url: verb.url,
      callSid: this.callSid,
      clock: this.clock,
      voice: this.voice,
      ear: this.options.listens === true ? this.ear : undefined,
      customParameters: verb.parameters,
      recordMs: this.recordMs,
    });
    this.current = stream;
    stream.on('mark', (name) => this.emit('mark', name));
    stream.on('clear', () => this.emit('clear'));
    stream.on('warning', (warning) => this.emit('warning', warning));
    this.interrupt = () => void stream.stop();
    // Only with listeners: forwarding every message costs CPU.
    if (this.listenerCount('message') > 0) stream.on('message', (text) => this.emit('message', text));
    const begun = this.clock.time.now();
    try {
      await stream.open();
    } catch (error) {
      stream.close();
      this.interrupt = undefined;
      if (this.over) return;
      this.failure ??= error as GatewayError;
      this.streamCallback(
        verb,
        'stream-error',
        `${twilioCodeOf(error) ?? 31920}: ${(error as Error).message}`,
      );
      // Twilio continues with the next verb, as after any stream.
      return;
    }
    this.handshakeMs = this.clock.time.now() - begun;
    // A stream that runs clears an earlier failure.
    this.failure = undefined;
    this.redirects = 0;
    this.opened.push(stream);
    this.streamCallback(verb, 'stream-started');
    this.resolveStarted(stream);
    this.emit('stream', stream);
    this.streamEnd = await stream.ended;
    this.interrupt = undefined;
    this.streamCallback(verb, 'stream-stopped');
    if (verb.action !== undefined && !this.over && this.streamEnd.by === 'server') {
      await this.follow(verb.action, verb.method);
    }
  }

  /** Remaining recording time of the call, in milliseconds. */
  private get recordMs(): number {
    const { record = false } = this.options;
    const [first] = this.opened;
    const whole = record === true ? RECORD_MS : record === false ? 0 : record;
    return first === undefined ? whole : Math.max(0, whole - (this.clock.time.now() - first.times.startedAt));
  }

  /** The audio of all streams, each at its own time. */
  private timeline(soundOf: (stream: SimulatedStream) => Int16Array): Int16Array {
    const [first] = this.opened;
    if (first === undefined || this.opened.length === 1) return soundOf(this.requireStream());
    const parts = this.opened.map((stream) => ({
      at: Math.round(((stream.times.startedAt - first.times.startedAt) * PHONE_RATE) / 1000),
      pcm: soundOf(stream),
    }));
    const pcm = new Int16Array(Math.max(...parts.map((part) => part.at + part.pcm.length)));
    for (const part of parts) pcm.set(part.pcm, part.at);
    return pcm;
  }

  private answer(): void {
    if (this.answeredAt !== undefined) return;
    this.answeredAt = this.clock.time.now();
    this.setStatus('in-progress');
  }

  private setStatus(status: CallStatus): void {
    if (this.currentStatus === status) return;
    this.currentStatus = status;
    this.emit('status', status);
  }

  private async finish(): Promise<void> {
    this.over = true;
    const seconds =
      this.answeredAt === undefined
        ? 0
        : Math.max(1, Math.ceil((this.clock.time.now() - this.answeredAt) / 1000));
    if (this.answeredAt !== undefined) this.setStatus('completed');
    else if (this.failure === undefined) this.setStatus('canceled');
    else if (this.currentStatus !== 'busy') this.setStatus('failed');
    const { statusCallback } = this.options;
    if (statusCallback !== undefined) {
      this.callbacks.send(
        statusCallback,
        statusParameters(this.call, this.currentStatus, 0, seconds),
        'POST',
      );
    }
    this.rejectStarted(this.failure ?? notStreamed(this.callSid));
    await this.callbacks.settled;
    const outcome: CallOutcome = {
      status: this.currentStatus,
      seconds,
      error: this.failure,
      twilioCode: twilioCodeOf(this.failure) ?? this.streamEnd?.twilioCode,
      streamEnd: this.streamEnd,
      handovers: this.handovers,
      said: this.said,
      dialled: this.callees,
      failedCallbacks: this.callbacks.failed,
    };
    this.resolveEnded(outcome);
    this.emit('end', outcome);
  }

  private streamCallback(verb: StreamVerb, event: StreamEvent, error?: string): void {
    if (verb.statusCallback === undefined) return;
    const streamSid = (this.current as SimulatedStream).streamSid;
    const { accountSid } = this.options;
    const stream = { accountSid, callSid: this.callSid, streamSid, name: verb.name ?? streamSid };
    this.callbacks.send(
      verb.statusCallback,
      streamStatusParameters(stream, event, error),
      verb.statusCallbackMethod,
    );
  }

  private get call() {
    const { accountSid, from, to } = this.options;
    return { callSid: this.callSid, accountSid, from, to, direction: this.direction };
  }

  private requireStream(): SimulatedStream {
    if (this.current !== undefined) return this.current;
    throw new GatewayError(
      'GW_SIM_NO_STREAM',
      `Expected a running stream for call ${this.callSid} but received none`,
    );
  }
}

function notStreamed(callSid: string): GatewayError {
  return new GatewayError(
    'GW_SIM_NO_STREAM',
    `Expected a media stream for call ${callSid} but received an end without one`,
  );
}

function unexpected(cause: unknown): GatewayError {
  return new GatewayError('GW_SIM_INTERNAL', `The simulated call failed: ${String(cause)}`, {
    cause,
  });
}
