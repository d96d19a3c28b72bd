import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { LegConverterMaker } from '../legs/leg-converter.js';
import { type CallFacts, parseLegEvent } from '../legs/leg-messages.js';
import type { LegRate } from '../legs/leg-rate.js';
import { DEFAULT_BUFFER_MS, type LegSocket, RawLeg } from '../legs/raw-leg.js';
import type { FrameClock } from '../media/frame-clock.js';
import { AgentLine, DialRefused, type WrongSignature } from './agent-line.js';
import { NotApplicable } from './check.js';
import { Handset } from './handset.js';

/** What every call of an examination has in common. */
export interface Exchange {
  readonly url: string;
  readonly rate: LegRate;
  readonly secret: string | undefined;
  readonly clock: Clock;
  readonly frameClock: FrameClock;
  readonly convert: LegConverterMaker;
  /** Running milliseconds at which everything must be over. */
  readonly endsAt: number;
}

/** Something that the agent said. */
export interface Utterance {
  readonly line: AgentLine;
  /** Running milliseconds at which the question had been said. */
  readonly askedAt: number;
  /** Its pieces are those of the line from `from` to before `to`. */
  readonly from: number;
  readonly to: number;
  /** Whether it was heard to its end. */
  readonly isWhole: boolean;
}

/** The beginning of an answer: a piece of the line, and how long after the question it came. */
export interface Answer {
  readonly askedAt: number;
  readonly from: number;
  readonly afterMs: number;
}

/** The time of the examination is over. */
export class OutOfTime extends NotApplicable {
  constructor() {
    super('There was no time left for it');
  }
}

const RING_MS = 300;
/** Pauses before each try to dial a lost connection anew, as a gateway makes them. */
const REDIAL_MS = [0, 250, 500, 1_000] as const;
const POLL_MS = 10;
/** Silence that ends an answer, and the longest wait for it. */
const PAUSE_MS = 700;
const LONGEST_ANSWER_MS = 12_000;
/** Silence before a question, so that it meets no greeting, and the longest wait for it. */
const CALM_MS = 1_200;
const LONGEST_CALM_MS = 8_000;

/** A call as an agent sees it: one caller, a gateway's raw leg, and one connection after the other. */
export class SimulatedCall implements LegSocket {
  readonly lines: AgentLine[] = [];
  /** Milliseconds of audio that did not fit the leg's buffer. */
  droppedMs = 0;
  /** Errors that the leg answered with. */
  readonly errors: string[] = [];
  /** Whether the agent has hung up. */
  isHungUp = false;
  private readonly handset: Handset;
  private readonly leg: RawLeg;
  private readonly callId = `conformance-${randomBytes(6).toString('hex')}`;
  private readonly traceId = randomBytes(16).toString('hex');
  private readonly startedAt: string;
  private connections = 0;

  constructor(
    private readonly exchange: Exchange,
    private readonly from: string,
  ) {
    const { clock, frameClock, convert, rate } = exchange;
    this.startedAt = clock.date().toISOString();
    this.handset = new Handset(this.callId, clock, frameClock);
    const formats = { rate, sendRate: rate, bufferMs: DEFAULT_BUFFER_MS, onlyListens: false };
    const options = { ...formats, room: this.facts.room, call: () => this.facts };
    this.leg = new RawLeg(options, convert, clock, frameClock);
    this.handset.onVoice = (frame) => this.leg.write(frame);
    // As at a gateway, a hang-up ends the call.
    this.handset.onHangUp = () => {
      this.isHungUp = true;
      void this.end(0);
    };
  }

  private get facts(): CallFacts {
    const { callId, from, startedAt, connections: connection } = this;
    return {
      callId,
      direction: 'inbound',
      from,
      to: '+15550000000',
      room: `call:${callId}`,
      startedAt,
      connection,
    };
  }

  /** The current connection. */
  get line(): AgentLine {
    return this.lines.at(-1) as AgentLine;
  }

  get isOpen(): boolean {
    return this.lines.at(-1)?.isOpen === true;
  }

  /** Rings and is answered. @throws DialRefused */
  async place(): Promise<void> {
    await this.dial();
    this.leg.open(
      this,
      () => this.handset,
      () => {},
    );
    await this.until(() => false, RING_MS);
    this.handset.isAnswered = true;
    this.leg.phoneJoined(this.callId, { direction: 'inbound', ringSeconds: RING_MS / 1_000 });
  }

  /** Makes one connection. @throws DialRefused */
  async dial(wrongSignature?: WrongSignature): Promise<void> {
    const { exchange, traceId } = this;
    if (exchange.clock.runningMs() >= exchange.endsAt) throw new OutOfTime();
    this.connections = this.lines.length + 1;
    const { facts } = this;
    const before = this.lines.at(-1);
    const onMessage = (data: Buffer, isBinary: boolean) => this.leg.handleMessage(data, isBinary);
    const signature = wrongSignature === undefined ? {} : { wrongSignature };
    this.lines.push(await AgentLine.dial({ ...exchange, ...signature, facts, traceId, before, onMessage }));
  }

  /** Breaks the connection and dials anew, for as long as a gateway would. @throws DialRefused the last refusal */
  async reconnect(): Promise<void> {
    this.line.drop();
    let refusal: unknown;
    for (const pause of REDIAL_MS) {
      await this.exchange.clock.sleep(pause);
      try {
        await this.dial();
        this.line.send(this.leg.readyMessage(this.handset.phones, true));
        return;
      } catch (error) {
        if (!(error instanceof DialRefused)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  /** Says something. Resolves when it is said. @param pcm at 48 kHz */
  say(pcm: Int16Array): Promise<void> {
    return this.handset.say(pcm);
  }

  /** Waits until the agent has been silent for a while. */
  async calm(): Promise<void> {
    await this.silence(CALM_MS, LONGEST_CALM_MS);
  }

  /**
   * Asks something and waits for sound.
   * @returns `undefined` if no sound came within `ms`
   */
  async answerTo(question: Int16Array, ms: number): Promise<Answer | undefined> {
    await this.say(question);
    const { line } = this;
    const askedAt = this.exchange.clock.runningMs();
    let from = line.pieces.length;
    const first = () => {
      while (line.pieces[from]?.hasSound === false) from += 1;
      return line.pieces[from];
    };
    await this.until(() => first() !== undefined, ms);
    const piece = first();
    return piece === undefined ? undefined : { askedAt, from, afterMs: piece.at - askedAt };
  }

  /** Listens to an answer. */
  async listen({ askedAt, from }: Answer): Promise<Utterance> {
    const isWhole = (await this.silence(PAUSE_MS, LONGEST_ANSWER_MS)) || this.isHungUp;
    return { line: this.line, askedAt, from, to: this.line.pieces.length, isWhole };
  }

  /**
   * Waits for a condition, as long as the connection lasts.
   * @returns whether it holds
   * @throws OutOfTime
   */
  async until(condition: () => boolean, ms: number): Promise<boolean> {
    const { clock, endsAt } = this.exchange;
    const until = clock.runningMs() + ms;
    while (!condition()) {
      const now = clock.runningMs();
      if (now >= endsAt) throw new OutOfTime();
      if (now >= until || !this.isOpen) return false;
      await clock.sleep(POLL_MS);
    }
    return true;
  }

  press(digit: string): void {
    this.leg.pressed(this.callId, digit);
  }

  // Called by the leg:

  send(message: string | Int16Array): boolean {
    if (typeof message === 'string') this.note(message);
    return this.isOpen && this.line.send(message);
  }

  bufferedBytes(): number {
    return this.isOpen ? this.line.bufferedBytes() : 0;
  }

  close(code: number, reason: string): void {
    if (this.isOpen) this.line.close(code, reason);
  }

  /** Looks at what the leg tells the agent. */
  private note(text: string): void {
    const event = parseLegEvent(text);
    if (event?.type === 'dropped' && event.of === 'sent') this.droppedMs += event.ms;
    if (event?.type === 'error') this.errors.push(event.message);
  }

  /** Ends the call. @returns whether the agent closed its side within `ms` */
  async end(ms: number): Promise<boolean> {
    this.handset.putDown();
    if (this.isOpen) this.leg.phoneLeft(this.callId);
    const isClosed = this.isOpen ? this.line.finish(ms) : true;
    this.leg.disconnected();
    return isClosed;
  }

  private async silence(ms: number, longestMs: number): Promise<boolean> {
    const { clock } = this.exchange;
    let since = clock.runningMs();
    return this.until(() => {
      const now = clock.runningMs();
      if (this.line.isSpeaking) since = now;
      return now - since >= ms;
    }, longestMs);
  }
}
