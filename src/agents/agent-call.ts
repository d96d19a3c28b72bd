import { captureRejectionSymbol, EventEmitter } from 'node:events';
import { expected, GatewayError } from '../errors.js';
import { type CallFacts, type LegCommand, type LegEvent, parseLegEvent } from '../legs/leg-messages.js';
import type { LegRate } from '../legs/leg-rate.js';
import { bufferOf } from '../media/arguments.js';

/** The socket of an agent's call: a WebSocket, or a link within the process. */
interface AgentSocket {
  /** Sends a message to the gateway. The bytes are only lent. */
  send(message: string | Int16Array): void;
  close(code: number, reason: string): void;
}

/** A phone that was answered. */
export interface AnsweredPhone {
  /** Call id. */
  readonly phone: string;
  /** `inbound`, or `outbound-api` for a call that the gateway placed; absent if unknown. */
  readonly direction?: string | undefined;
  /** Seconds from webhook or placement to answer; absent if unknown. */
  readonly ringSeconds?: number | undefined;
}

/** What became of a mark. */
export interface ReachedMark {
  /** `sent`: it is under way, and more cannot be known, since the room has no phone or several. */
  readonly place: 'heard' | 'cleared' | 'sent';
  /** Milliseconds of the agent's audio that the caller has heard in this call. */
  readonly playedMs: number;
}

interface AgentCallEvents {
  /** 20 ms of what the agent hears, at `rate`. The memory is only lent: copy what you keep. */
  audio: [pcm: Int16Array];
  /** The phone was answered. */
  answered: [phone: AnsweredPhone];
  /** A phone hung up, or went elsewhere. */
  left: [phone: string];
  /** The caller pressed a key: one of `0–9 * # A–D`. */
  key: [digit: string, phone: string];
  /** A mark was reached or dropped. */
  mark: [mark: ReachedMark & { readonly name: string }];
  /** Audio was lost: `sent` did not fit the buffer, `heard` was not read in time. */
  dropped: [lost: { readonly of: 'sent' | 'heard'; readonly ms: number }];
  /** The gateway refused a message. */
  refused: [fault: { readonly code: string; readonly message: string }];
  /** The connection is over. */
  close: [code: number, reason: string];
}

/** Most marks and clears that wait for their answer. */
const MAX_WAITING = 256;

/**
 * A phone call as its agent has it: what the caller says, and what the caller is to hear. It speaks the raw-leg
 * protocol over any socket. Audio is 16-bit mono PCM.
 */
export class AgentCall extends EventEmitter<AgentCallEvents> {
  /** The call that the gateway dialled for; absent if the agent joined a room itself. */
  readonly facts: CallFacts | undefined;
  /** Samples a second of `audio`. */
  readonly rate: number;
  /** Samples a second of {@link send}. */
  readonly sendRate: number;
  /** Whether an earlier connection of this call was lost. */
  readonly isResumed: boolean;
  /** Your own notes on this call. Within the gateway's process they outlast a lost connection. */
  readonly memory: Map<string, unknown>;
  private readonly present: Set<string>;
  private readonly marks = new Map<string, ((mark: ReachedMark) => void)[]>();
  private readonly clears: {
    readonly done: (cleared: { discardedMs: number; playedMs: number }) => void;
    sentSinceMs: number;
  }[] = [];
  private positionMs: number;
  private heardMs: number;
  private isOver = false;

  /** @internal */
  constructor(
    private readonly socket: AgentSocket,
    ready: Extract<LegEvent, { type: 'ready' }>,
    memory: Map<string, unknown> = new Map(),
  ) {
    super({ captureRejections: true });
    this.facts = ready.call;
    this.rate = ready.rate;
    this.sendRate = ready.sendRate;
    this.isResumed = ready.resumed;
    this.memory = memory;
    this.present = new Set(ready.phones);
    this.positionMs = ready.playedMs;
    this.heardMs = ready.playedMs;
  }

  /** Call ids of the answered phones. */
  get phones(): readonly string[] {
    return [...this.present];
  }

  /** Whether somebody is on the phone. */
  get isAnswered(): boolean {
    return this.present.size > 0;
  }

  get isClosed(): boolean {
    return this.isOver;
  }

  /**
   * Where the next audio begins, in milliseconds on the scale of `playedMs`: something that began at x was heard for
   * `playedMs - x`.
   */
  get sentMs(): number {
    return this.positionMs;
  }

  /** Milliseconds of the agent's audio that the caller has heard, as last reported. */
  get playedMs(): number {
    return this.heardMs;
  }

  /**
   * Says something after what was said before, at the pace of speech. The memory is only lent.
   * @param pcm samples at {@link sendRate}, any number at a time, up to 1 MiB
   * @throws TypeError if `pcm` is not an Int16Array
   */
  send(pcm: Int16Array): void {
    if (!(pcm instanceof Int16Array)) throw expected('an Int16Array', 'pcm', pcm);
    if (this.isOver || pcm.length === 0) return;
    const ms = (pcm.length * 1_000) / this.sendRate;
    this.positionMs += ms;
    for (const clear of this.clears) clear.sentSinceMs += ms;
    this.socket.send(pcm);
  }

  /**
   * Barge-in: drops everything that the caller has not heard.
   * @returns how much that was, and how much the caller has heard so far
   * @throws GatewayError `GW_TOO_MANY_MARKS` with 256 unanswered ones
   */
  clear(): Promise<{ discardedMs: number; playedMs: number }> {
    this.checkWaiting(this.clears.length);
    if (this.isOver) return Promise.resolve({ discardedMs: 0, playedMs: this.heardMs });
    return new Promise((done) => {
      this.clears.push({ done, sentSinceMs: 0 });
      this.command({ type: 'clear' });
    });
  }

  /**
   * Resolves once the caller has heard everything said before, or that was cleared.
   * @param name 1 to 128 characters
   * @throws GatewayError `GW_TOO_MANY_MARKS` with 256 unanswered ones
   */
  mark(name: string): Promise<ReachedMark> {
    if (typeof name !== 'string' || name === '' || name.length > 128)
      throw expected('1 to 128 characters', 'name', name);
    let waiting = 0;
    for (const { length } of this.marks.values()) waiting += length;
    this.checkWaiting(waiting);
    if (this.isOver) return Promise.resolve({ place: 'cleared', playedMs: this.heardMs });
    return new Promise((done) => {
      this.marks.set(name, [...(this.marks.get(name) ?? []), done]);
      this.command({ type: 'mark', name });
    });
  }

  /** Plays keys in-band: `0–9 * # A–D`, and pauses `w` (0.5 s) and `W` (1 s); at most 32. */
  dial(digits: string): void {
    this.command({ type: 'dtmf', digits });
  }

  /**
   * Hangs up, by default after the caller has heard everything said before.
   * @param options `phone`: only this one
   */
  hangUp(options: { readonly phone?: string; readonly after?: 'words' | 'now' } = {}): void {
    this.command({ type: 'hangup', ...options });
  }

  /**
   * Hands the caller over to another number or SIP address, after everything said before.
   * @param options `phone`: only this one
   */
  transfer(to: string, options: { readonly phone?: string } = {}): void {
    this.command({ type: 'transfer', to, ...options });
  }

  /**
   * Ends the connection.
   * @param code 1000: the agent has finished, and a call that it was dialled for ends after its last words. With any other
   *   code the gateway dials again.
   */
  close(code = 1000, reason = ''): void {
    if (this.isOver) return;
    this.socket.close(code, reason);
    this.closed(code, reason);
  }

  /** @internal */
  handleMessage(message: string | Int16Array | Uint8Array): void {
    if (this.isOver) return;
    try {
      if (typeof message === 'string') this.handleEvent(message);
      else this.emit('audio', message instanceof Int16Array ? message : samplesOf(message));
    } catch (error) {
      this[captureRejectionSymbol](error);
    }
  }

  /** A listener threw or rejected: other calls do not notice, and the gateway dials again. @internal */
  override [captureRejectionSymbol](error: unknown, ..._event: unknown[]): void {
    process.emitWarning(error instanceof Error ? error : String(error));
    this.close(1011, 'internal error');
  }

  /** The socket is gone. @internal */
  closed(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    const playedMs = this.heardMs;
    for (const { done } of this.clears.splice(0)) done({ discardedMs: 0, playedMs });
    for (const waiting of this.marks.values())
      for (const done of waiting) done({ place: 'cleared', playedMs });
    this.marks.clear();
    try {
      this.emit('close', code, reason);
    } catch (error) {
      this[captureRejectionSymbol](error);
    }
  }

  private handleEvent(text: string): void {
    const event = parseLegEvent(text);
    switch (event?.type) {
      case 'joined': {
        const { type: _, ...phone } = event;
        this.present.add(event.phone);
        this.emit('answered', phone);
        return;
      }
      case 'left':
        this.present.delete(event.phone);
        this.emit('left', event.phone);
        return;
      case 'dtmf':
        this.emit('key', event.digit, event.phone);
        return;
      case 'mark':
        this.reached(event);
        return;
      case 'cleared':
        this.cleared(event);
        return;
      case 'dropped':
        if (event.of === 'sent') this.positionMs -= event.ms;
        this.emit('dropped', { of: event.of, ms: event.ms });
        return;
      case 'error':
        this.emit('refused', { code: event.code, message: event.message });
    }
  }

  private reached({ name, place, playedMs }: Extract<LegEvent, { type: 'mark' }>): void {
    this.heardMs = playedMs;
    const waiting = this.marks.get(name);
    const done = waiting?.shift();
    if (waiting?.length === 0) this.marks.delete(name);
    done?.({ place, playedMs });
    this.emit('mark', { name, place, playedMs });
  }

  private cleared({ discardedMs, playedMs }: Extract<LegEvent, { type: 'cleared' }>): void {
    const clear = this.clears.shift();
    this.heardMs = playedMs;
    this.positionMs = playedMs + (clear?.sentSinceMs ?? 0);
    clear?.done({ discardedMs, playedMs });
  }

  private command(command: LegCommand): void {
    if (!this.isOver) this.socket.send(JSON.stringify(command));
  }

  private checkWaiting(count: number): void {
    if (count < MAX_WAITING) return;
    throw new GatewayError('GW_TOO_MANY_MARKS', `${MAX_WAITING} marks or clears wait for their answer`);
  }
}

/** Answers a phone: the caller hears ringback until its promise is fulfilled; a rejection is a failed try. */
export interface AgentHandler {
  (call: AgentCall): void | Promise<void>;
  /** Samples a second of what it hears and says; default `agents.rate`. A decision's `rate` comes first. */
  readonly rates?: { readonly rate: LegRate; readonly sendRate: LegRate };
}

/** A handler for calls at these rates. @internal */
export function handlerAt(rates: NonNullable<AgentHandler['rates']>, answer: AgentHandler): AgentHandler {
  return Object.assign((call: AgentCall) => answer(call), { rates });
}

/** The samples of a message; half a sample at its end is dropped. */
function samplesOf(message: Uint8Array): Int16Array {
  const { buffer, byteOffset, byteLength } = bufferOf(message);
  const count = Math.floor(byteLength / 2);
  if (byteOffset % 2 === 0) return new Int16Array(buffer, byteOffset, count);
  return new Int16Array(Uint8Array.prototype.slice.call(message, 0, 2 * count).buffer);
}
