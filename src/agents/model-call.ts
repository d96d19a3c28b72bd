import { type Clock, systemClock, type Timeout, type Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import { mulawToPcm } from '../media/g711.js';
import type { AgentCall } from './agent-call.js';
import { Conversation } from './conversation.js';
import { DEFAULT_GREETING, DEFAULT_INSTRUCTIONS, type ModelOptions } from './model.js';
import { ModelSocket } from './model-socket.js';
import { type HeardItem, SpokenItems } from './spoken-items.js';
import { runTool } from './tool-run.js';

/** How long a model that owes an answer may be silent: before it speaks, the same after a loss, and in mid-answer. */
const FIRST_MS = 4_000;
const AGAIN_MS = 2_000;
const NEXT_MS = 2_000;
/** Connections lost without an answer in between after which there is no other. */
const MOST_LOSSES = 2;
/** Keys pressed one after another within this time belong together. */
const KEYS_MS = 1_000;
const MAX_KEYS = 32;
/** Most functions run at a time. */
const MAX_FUNCTIONS = 16;
const GO_ON =
  'The connection was lost for a moment. Go on where you stopped, without a word about it and without repeating yourself.';

/** What a model wants done. */
export interface FunctionCall {
  readonly id: string;
  readonly name: string;
  /** An object, or JSON of one. */
  readonly arguments: unknown;
}

export interface FunctionResult {
  readonly id: string;
  readonly name: string;
  readonly output: string;
}

/** A call and its connection to a model: what adapters of all vendors have in common. */
export abstract class ModelCall {
  protected readonly clock: Clock;
  protected readonly conversation: Conversation;
  protected readonly spoken: SpokenItems;
  protected readonly instructions: string;
  /** Set once the vendor is about to end the session; a new one follows the next answer. */
  protected isExpiring = false;
  private readonly mayGreet: boolean;
  private socket: ModelSocket | undefined;
  private ready: { done(): void; failed(error: GatewayError): void } | undefined;
  protected isReady = false;
  private isGreeted = false;
  private hasSpoken = false;
  private interruptions = 0;
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
  /** The socket is open: begins to configure the session. {@link configured} ends that. */
  protected abstract opened(): void;
  protected abstract receive(message: Readonly<Record<string, unknown>>): void;
  /** Sends the model 20 ms of what the caller says. */
  protected abstract hear(pcm: Int16Array): void;
  /** Has the model say something by these instructions. */
  protected abstract ask(instructions: string): void;
  /** Tells the model something in the caller's name, and has it answer. */
  protected abstract tell(text: string): void;
  /** Gives the model the result of a function. */
  protected abstract report(result: FunctionResult): void;
  /** Has the model answer with the results of its functions. */
  protected abstract goOn(): void;

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
    else if (call.isAnswered && this.mayGreet) this.greet();
  }

  // What the adapters share:

  /** Opens a socket; fulfilled once the session is configured. @param isRefusal of a close: it makes no sense to try again */
  protected open(
    url: string,
    headers: Readonly<Record<string, string>>,
    isRefusal: (code: number, reason: string) => boolean,
  ): Promise<void> {
    const { name, clock } = this;
    const { key } = this.options;
    return new Promise((done, failed) => {
      this.ready = { done, failed };
      const listener = {
        opened: () => this.opened(),
        message: (message: Readonly<Record<string, unknown>>) => this.receive(message),
        lost: (error: GatewayError) => this.lost(error),
      };
      this.socket = new ModelSocket({ url, headers, name, key, clock, isRefusal }, listener);
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

  /** The model owes an answer. @param item the caller's, if they spoke */
  protected asked(item?: string): void {
    if (item !== undefined) this.conversation.add('caller', item, '');
    this.conversation.isOwed = true;
    this.hasSpoken = false;
    this.watch(this.conversation.losses > 0 ? AGAIN_MS : FIRST_MS);
  }

  /** The model works on its answer. @param speaks says some of it */
  protected works(speaks = false): void {
    this.hasSpoken ||= speaks;
    this.watch(this.hasSpoken ? NEXT_MS : FIRST_MS);
  }

  /** The model waits for us. */
  protected waits(): void {
    this.watchdog?.cancel();
  }

  /** The model has answered. */
  protected answered(): void {
    this.waits();
    this.conversation.isOwed = false;
    this.conversation.losses = 0;
    if (this.isExpiring) this.call.close(1012, 'the session expires');
  }

  /** Barge-in: drops what the caller has not heard of the model, here and in the conversation. */
  protected async interrupt(): Promise<readonly HeardItem[]> {
    this.waits();
    this.interruptions += 1;
    this.conversation.isOwed = false;
    const items = await this.spoken.interrupt();
    for (const { id, heardMs, lengthMs } of items) this.conversation.cut(id, heardMs / lengthMs);
    return items;
  }

  /** Runs what the model asked for. If the caller interrupts meanwhile, the results are only noted. */
  protected runAll(calls: readonly FunctionCall[]): void {
    const { interruptions, call, clock, options } = this;
    this.waits();
    const runs = calls.slice(0, MAX_FUNCTIONS).map(async ({ id, name, arguments: args }) => {
      const output = await runTool(options.tools ?? [], name, args, call, clock, (...all) =>
        this.warn(...all),
      );
      if (!call.isClosed) this.report({ id, name, output });
    });
    void Promise.all(runs).then(() => {
      if (interruptions === this.interruptions && !call.isClosed) this.goOn();
    });
  }

  /** Says a piece of an item. @param isMulaw audio is µ-law, else 16-bit PCM at the call's `sendRate` */
  protected say(item: string, base64: string, isMulaw = false): void {
    this.works(true);
    const bytes = Buffer.from(base64, 'base64');
    if (isMulaw) this.spoken.say(item, mulawToPcm(bytes));
    else this.spoken.sayBytes(item, bytes);
  }

  /** The session ends of itself after some more time than this. */
  protected expireAfter(ms: number): void {
    this.expiry = this.clock.after(ms, () => {
      this.isExpiring = true;
    });
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

  private watch(ms: number): void {
    this.watchdog?.cancel();
    this.watchdog = this.clock.timeout(ms, () => this.lost(this.error('stopped answering')));
  }

  private greet(): void {
    const { greeting = DEFAULT_GREETING } = this.options;
    if (this.isGreeted || greeting === '' || this.conversation.spoken.length > 0) return;
    this.isGreeted = true;
    this.ask(greeting);
  }

  private press(digit: string): void {
    if (this.keys.length < MAX_KEYS) this.keys += digit;
    this.clock.cancel(this.keyTimer);
    this.keyTimer = this.clock.after(KEYS_MS, () => {
      this.tell(`The caller pressed ${this.keys}.`);
      this.keys = '';
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
