import { type Clock, systemClock, type Timeout, type Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import { mulawToPcm } from '../media/g711.js';
import type { AgentCall } from './agent-call.js';
import { Conversation, type Speaker } from './conversation.js';
import { DEFAULT_GREETING, DEFAULT_INSTRUCTIONS, type ModelOptions } from './model.js';
import { ModelSocket, type ModelSocketOptions } from './model-socket.js';
import { type HeardItem, SpokenItems } from './spoken-items.js';
import { runTool } from './tool-run.js';

/** How long a model may be silent before its answer, and in the middle of it. */
const FIRST_MS = 3_000;
const NEXT_MS = 2_000;
/** Connections lost without an answer in between after which there is no other. */
const MOST_LOSSES = 2;
/** Keys pressed one after another within this time belong together. */
const KEYS_MS = 1_000;
const MAX_KEYS = 32;
/** Most functions run at a time. */
const MAX_FUNCTIONS = 16;
/** Most times in a row that a model may call functions before it answers. */
const MAX_ROUNDS = 16;
const GO_ON =
  'The connection was lost for a moment. Go on where you stopped, without a word about it and without repeating yourself.';

/** What a model wants done. */
export interface FunctionCall {
  readonly id: string;
  readonly name: string;
  /** An object, or JSON of one. */
  readonly args: unknown;
}

/** Where a session is, and what begins it. */
interface SessionOptions extends Pick<ModelSocketOptions, 'url' | 'headers' | 'isRefusal'> {
  /** The first message. */
  readonly setup: object;
}

/** A call and its connection to a model: what adapters of all vendors have in common. */
export abstract class ModelCall {
  protected readonly clock: Clock;
  protected readonly conversation: Conversation;
  protected readonly spoken: SpokenItems;
  protected readonly instructions: string;
  /** How long the model may be silent before its first answer after a loss. */
  protected readonly againMs: number = FIRST_MS;
  private isExpiring = false;
  private readonly mayGreet: boolean;
  private socket: ModelSocket | undefined;
  private ready: { done(): void; failed(error: GatewayError): void } | undefined;
  protected isReady = false;
  private isGreeted = false;
  private hasSpoken = false;
  private interruptions = 0;
  /** How often the model has called functions since the caller spoke, or it answered. */
  private rounds = 0;
  /** The caller has interrupted, and has not finished. */
  private isListening = false;
  private expiry: Timer | undefined;
  private watchdog: Timeout | undefined;
  private keys = '';
  private keyTimer: Timer | undefined;

  /** @param name how errors call the model: `openai:gpt-realtime` */
  constructor(
    protected readonly name: string,
    protected readonly call: AgentCall,
    protected readonly options: ModelOptions,
  ) {
    this.clock = options.clock ?? systemClock;
    // Another node, or another process, may have greeted the caller.
    this.mayGreet = !call.isResumed || Conversation.isKnown(call.memory);
    this.conversation = Conversation.of(call.memory);
    this.spoken = new SpokenItems(call);
    this.instructions = options.instructions || DEFAULT_INSTRUCTIONS;
  }

  // What a vendor's adapter does:

  /** Calls {@link open}. */
  protected abstract connect(): Promise<void>;
  /** Handles a message. Calls {@link configured} once. */
  protected abstract receive(message: object): void;
  /** Sends the model 20 ms of what the caller says. */
  protected abstract hear(pcm: Int16Array): void;
  /** Has the model say something by these instructions. */
  protected abstract ask(instructions: string): void;
  /** Tells the model something in the caller's name, and has it answer. */
  protected abstract tell(text: string): void;

  /**
   * Connects to the model; fulfilled once it can listen.
   * @throws GatewayError `GW_AGENT_REFUSED`, `GW_AGENT_UNREACHABLE`
   */
  async start(): Promise<void> {
    const { call, conversation } = this;
    if (conversation.losses >= MOST_LOSSES)
      throw this.error(`was lost ${MOST_LOSSES} times without an answer`, true);
    call.once('close', () => this.end());
    await this.connect();
    if (call.isClosed) return;
    call.on('audio', (pcm) => this.hear(pcm));
    call.on('answered', () => this.greet());
    call.on('key', (digit) => this.press(digit));
    if (conversation.isOwed && conversation.spoken.length > 0) this.ask(GO_ON);
    else if (this.mayGreet) this.greet();
  }

  // What the adapters share:

  /** A WebSocket's address at the vendor, or at `baseUrl`. */
  protected addressOf(origin: string, path: string): string {
    const base = this.options.baseUrl || origin;
    return base.replace(/^http/, 'ws').replace(/(\/v1)?\/?$/, '') + path;
  }

  /** Opens a socket; fulfilled once the session is configured. */
  protected open({ setup, ...at }: SessionOptions): Promise<void> {
    const { name, clock } = this;
    const { key } = this.options;
    if (this.call.isClosed) return Promise.reject(this.error('was not reached before the call ended'));
    return new Promise((done, failed) => {
      this.ready = { done, failed };
      const listener = {
        opened: () => this.send(setup),
        message: (message: object) => this.receive(message),
        lost: (error: GatewayError) => this.lost(error),
      };
      this.socket = new ModelSocket({ ...at, name, key, clock }, listener);
    });
  }

  protected send(message: string | object): void {
    this.socket?.send(message);
  }

  /** The model can listen. */
  protected configured(): void {
    this.isReady = true;
    this.ready?.done();
  }

  /** The model owes an answer. @param ms how long it may take to begin */
  protected asked(ms = this.firstMs): void {
    this.conversation.isOwed = true;
    this.isListening = false;
    this.hasSpoken = false;
    this.watch(ms);
  }

  /** The caller has said something, whose words may come later. */
  protected heard(item: string): void {
    this.conversation.add('caller', item, '');
    this.rounds = 0;
    this.asked();
  }

  /** The model works on its answer. @param speaks says some of it */
  protected works(speaks = false): void {
    this.conversation.isOwed = true;
    this.isListening = false;
    this.hasSpoken ||= speaks;
    this.watch(this.hasSpoken ? NEXT_MS : this.firstMs);
  }

  /** The model waits for us. */
  protected waits(): void {
    this.watchdog?.cancel();
  }

  /** The model has answered. */
  protected answered(): void {
    this.waits();
    this.spoken.end();
    this.rounds = 0;
    this.conversation.isOwed = false;
    this.conversation.losses = 0;
    if (this.isExpiring) this.call.close(1012, 'the session expires');
  }

  /** Barge-in: drops what the caller has not heard of the model, here and in the conversation. */
  protected async interrupt(): Promise<readonly HeardItem[]> {
    this.waits();
    this.interruptions += 1;
    this.isListening = true;
    this.conversation.isOwed = false;
    const items = await this.spoken.interrupt().catch((error) => {
      this.lost(error);
      return [];
    });
    for (const { id, heardMs, lengthMs } of items) this.conversation.cut(id, heardMs / lengthMs);
    return items;
  }

  /**
   * Runs what the model asked for.
   * @param report called with each result
   * @param then called at the end, unless the caller has interrupted
   */
  protected runAll(
    calls: readonly FunctionCall[],
    report: (id: string, output: string, name: string) => void,
    then: () => void,
  ): void {
    const { interruptions, call, clock, options } = this;
    this.waits();
    this.spoken.end();
    this.rounds += 1;
    if (this.rounds > MAX_ROUNDS) {
      this.lost(this.error('calls functions without end'));
      return;
    }
    const runs = calls.slice(0, MAX_FUNCTIONS).map(async ({ id, name, args }) => {
      const output = await runTool(options.tools ?? [], name, args, call, clock, (...all) =>
        this.warn(...all),
      );
      if (!call.isClosed) report(id, output, name);
    });
    void Promise.all(runs).then(() => {
      if (interruptions === this.interruptions && !call.isClosed) then();
    });
  }

  protected note(speaker: Speaker, id: string, text: string): void {
    this.conversation.add(speaker, id, text);
  }

  /** Says a piece of an item. @param isMulaw audio is µ-law, else 16-bit PCM at the call's `sendRate` */
  protected say(item: string, base64: string, isMulaw = false): void {
    this.works(true);
    const bytes = Buffer.from(base64, 'base64');
    if (isMulaw) this.spoken.say(item, mulawToPcm(bytes));
    else this.spoken.sayBytes(item, bytes);
  }

  /** The vendor ends the session soon: the end of an answer is a good moment for a new one. */
  protected expire(): void {
    this.isExpiring = true;
    if (!this.conversation.isOwed && !this.isListening) this.answered();
  }

  protected expireAfter(ms: number): void {
    this.expiry = this.clock.after(ms, () => this.expire());
  }

  protected warn(message: string, error?: unknown): void {
    this.options.onWarning?.(message, error);
  }

  /** The model cannot be reached: the call is closed and dialled anew. */
  protected lost(error: GatewayError): void {
    this.ready?.failed(error);
    if (!this.isReady || this.call.isClosed) return;
    this.conversation.losses += 1;
    this.call.close(1011, error.message);
  }

  /** @param isFinal it makes no sense to try again */
  protected error(why: string, isFinal = false): GatewayError {
    return new GatewayError(isFinal ? 'GW_AGENT_REFUSED' : 'GW_AGENT_UNREACHABLE', `${this.name} ${why}`);
  }

  private get firstMs(): number {
    return this.conversation.losses > 0 ? this.againMs : FIRST_MS;
  }

  private watch(ms: number): void {
    this.watchdog?.cancel();
    this.watchdog = this.clock.timeout(ms, () => this.lost(this.error('stopped answering')));
  }

  private greet(): void {
    const { call, conversation } = this;
    const { greeting = DEFAULT_GREETING } = this.options;
    const { phones, facts, isAnswered } = call;
    const isThere = facts === undefined ? isAnswered : phones.includes(facts.callId);
    if (!isThere || this.isGreeted || greeting === '' || conversation.spoken.length > 0) return;
    this.isGreeted = true;
    this.ask(greeting);
  }

  private press(digit: string): void {
    if (this.keys.length < MAX_KEYS) this.keys += digit;
    this.clock.cancel(this.keyTimer);
    this.keyTimer = this.clock.after(KEYS_MS, () => {
      const text = `The caller pressed ${this.keys}.`;
      this.keys = '';
      this.tell(text);
      this.conversation.add('caller', this.conversation.newId(), text);
    });
  }

  private end(): void {
    this.waits();
    this.clock.cancel(this.keyTimer);
    this.clock.cancel(this.expiry);
    this.ready?.failed(new GatewayError('GW_AGENT_UNREACHABLE', 'The call is over'));
    this.socket?.close();
  }
}
