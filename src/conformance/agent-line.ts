import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { Clock, Timer } from '../clock.js';
import { type LegCommand, parseLegCommand } from '../legs/leg-messages.js';
import { DEFAULT_BUFFER_MS, type LegRate, MAX_AUDIO_BYTES, RawLeg } from '../legs/raw-leg.js';
import type { FrameClock } from '../media/frame-clock.js';
import type { ConverterMaker } from '../media/rate-converter.js';
import { secondsOf, signWebhook } from '../webhooks/signature.js';
import type { Handset } from './handset.js';
import { isSound } from './sound.js';

/** The call's facts, as the header `trunkline-call` has them. */
export interface Facts {
  readonly callId: string;
  readonly direction: 'inbound';
  readonly from: string;
  readonly to: string;
  readonly room: string;
  readonly startedAt: string;
  /** Counts the connections of the call from 1. */
  readonly connection: number;
}

/** A way to sign wrongly. */
export type WrongSignature = 'another secret' | 'other facts' | 'ten minutes old' | 'none';

export interface DialOptions {
  readonly url: string;
  readonly rate: LegRate;
  readonly facts: Facts;
  readonly secret?: string | undefined;
  readonly wrongSignature?: WrongSignature;
  readonly traceId: string;
  readonly handset: Handset;
  readonly clock: Clock;
  readonly frameClock: FrameClock;
  readonly convert: ConverterMaker;
}

/** A piece of audio from the agent. */
export interface Piece {
  /** Running milliseconds (`Clock.runningMs`) at which it came. */
  readonly at: number;
  readonly bytes: Buffer;
  /** Its samples, after half a sample of the piece before. */
  readonly pcm: Int16Array;
  readonly hasSound: boolean;
}

/** A text message from the agent; `command` is `undefined` if it is not a valid one. */
export interface SentCommand {
  readonly at: number;
  readonly text: string;
  readonly command: LegCommand | undefined;
  /** How many pieces of audio came before it. */
  readonly piecesBefore: number;
  /** When all audio before it will have been played. */
  readonly playsUntil: number;
}

interface Ping {
  readonly at: number;
  answeredAt?: number;
}

/** How a connection ended. */
interface Ended {
  readonly at: number;
  readonly by: 'agent' | 'caller';
  readonly code: number;
  readonly reason: string;
}

/** The agent did not accept a connection. `status`: of its answer, if it gave one. */
export class DialRefused extends Error {
  constructor(
    message: string,
    readonly status: number | undefined,
  ) {
    super(message);
  }
}

/** How long an agent may take to accept, as at a gateway. */
export const DIAL_MS = 2_000;
const PING_MS = 1_000;
const PROTOCOL = 'trunkline.leg';
/** Most bytes of a call's audio that are kept. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

/** One connection to an agent, as a gateway has it, and everything that came over it. */
export class AgentLine {
  readonly pieces: Piece[] = [];
  readonly commands: SentCommand[] = [];
  readonly pings: Ping[] = [];
  /** Milliseconds of audio that did not fit the leg's buffer. */
  droppedMs = 0;
  /** Errors that the leg answered with. */
  readonly errors: string[] = [];
  ended: Ended | undefined;
  /** While the gateway does not read. */
  isPaused = false;
  /** Running milliseconds at which the last sound will have been played. */
  soundUntil = 0;
  private playsUntil = 0;
  private halfSample: Buffer = Buffer.alloc(0);
  private keptBytes = 0;
  private pinging: Timer | undefined;
  private readonly leg: RawLeg;

  private constructor(
    private readonly socket: WebSocket,
    readonly options: DialOptions,
    /** Header fields of the agent's answer, in lower case. */
    readonly headers: Readonly<Record<string, unknown>>,
  ) {
    const { facts, rate, convert, clock, frameClock } = options;
    const leg = { room: facts.room, rate, bufferMs: DEFAULT_BUFFER_MS, onlyListens: false };
    this.leg = new RawLeg(leg, convert, clock, frameClock);
  }

  /** Dials once. @throws DialRefused */
  static async dial(options: DialOptions): Promise<AgentLine> {
    const { url, clock } = options;
    const socket = new WebSocket(url, [PROTOCOL], {
      headers: headersOf(options),
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: 2 * MAX_AUDIO_BYTES,
    });
    let headers: Record<string, unknown> = {};
    socket.on('upgrade', (answer: IncomingMessage) => {
      headers = { ...answer.headers };
      // `ws` refuses an answer without a subprotocol, which a leg allows, and reports extensions as an error.
      answer.headers['sec-websocket-protocol'] ??= PROTOCOL;
    });
    // Messages may follow the answer at once.
    const early: [Buffer, boolean][] = [];
    const keep = (data: Buffer, isBinary: boolean) => early.push([data, isBinary]);
    socket.on('message', keep);
    const late = clock.timeout(DIAL_MS, () => socket.terminate());
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('open', resolve);
        socket.once('unexpected-response', (_, { statusCode }) => {
          socket.terminate();
          reject(new DialRefused(`It answered ${statusCode}`, statusCode));
        });
        socket.on('error', ({ message }) => reject(new DialRefused(message, undefined)));
        socket.once('close', () => reject(new DialRefused(`No answer within ${DIAL_MS} ms`, undefined)));
      });
    } finally {
      late.cancel();
    }
    const line = new AgentLine(socket, options, headers);
    socket.off('message', keep);
    line.open();
    for (const [data, isBinary] of early) line.receive(data, isBinary);
    return line;
  }

  get rate(): LegRate {
    return this.options.rate;
  }

  get isOpen(): boolean {
    return this.ended === undefined;
  }

  /** Whether the caller hears sound now. */
  get isSpeaking(): boolean {
    return this.soundUntil > this.now;
  }

  /** The audio from a piece on, in one. */
  audio(pieces: readonly Piece[] = this.pieces): Int16Array {
    const all = new Int16Array(pieces.reduce((sum, { pcm }) => sum + pcm.length, 0));
    let at = 0;
    for (const { pcm } of pieces) {
      all.set(pcm, at);
      at += pcm.length;
    }
    return all;
  }

  /** Tells the agent that the caller is on the line. */
  answer(): void {
    const { handset, facts } = this.options;
    for (const phone of handset.phones) {
      this.leg.phoneJoined(phone, { direction: facts.direction, ringSeconds: 0.5 });
    }
  }

  press(digit: string): void {
    this.leg.pressed(this.options.facts.callId, digit);
  }

  /** Pings once; what is not read is not answered. */
  ping(): void {
    if (this.isPaused || this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.ping(String(this.pings.length));
    this.pings.push({ at: this.now });
  }

  /** Stops reading, or reads again. */
  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (isPaused) this.socket.pause();
    else this.socket.resume();
  }

  /** Breaks the connection without a word. */
  drop(): void {
    this.end('caller', 1006, 'dropped');
    this.socket.terminate();
  }

  /** Ends the call. Resolves with whether the agent has closed its side within `ms` milliseconds. */
  async finish(ms: number): Promise<boolean> {
    const { clock } = this.options;
    this.leg.phoneLeft(this.options.facts.callId);
    const closed = new Promise<true>((resolve) => {
      if (this.socket.readyState === WebSocket.CLOSED) resolve(true);
      else this.socket.once('close', () => resolve(true));
    });
    this.end('caller', 1000, 'the call has ended');
    this.socket.close(1000);
    const isClosed = (await clock.within(ms, closed)) === true;
    this.socket.terminate();
    return isClosed;
  }

  private get now(): number {
    return this.options.clock.runningMs();
  }

  private open(): void {
    const { socket, options } = this;
    socket.on('message', (data: Buffer, isBinary) => this.receive(data, isBinary));
    socket.on('pong', (data) => {
      const ping = this.pings[Number(data.toString())];
      if (ping !== undefined) ping.answeredAt ??= this.now;
    });
    socket.on('error', ({ message }) => this.errors.push(message));
    socket.on('close', (code, reason) => this.end('agent', code, String(reason)));
    this.leg.open(
      {
        send: (message, isBinary = false) => this.send(message, isBinary),
        bufferedBytes: () => socket.bufferedAmount,
        close: (code, reason) => {
          this.end('caller', code, reason);
          socket.close(code, reason);
        },
      },
      () => options.handset,
      () => {},
    );
    options.handset.onVoice = (frame) => this.leg.write(frame);
    const { clock } = options;
    this.pinging = clock.every(PING_MS, () => this.ping());
  }

  private send(message: string | Int16Array, isBinary: boolean): boolean {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    if (typeof message === 'string') this.note(message);
    // The leg only lends its memory.
    const data =
      typeof message === 'string'
        ? message
        : Buffer.from(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
    this.socket.send(data, { binary: isBinary, compress: false });
    return true;
  }

  /** Looks at what the leg tells the agent. */
  private note(text: string): void {
    const event = JSON.parse(text);
    if (event.type === 'dropped' && event.of === 'sent') this.droppedMs += event.ms;
    if (event.type === 'error') this.errors.push(event.message);
  }

  private receive(data: Buffer, isBinary: boolean): void {
    if (!this.isOpen) return;
    if (isBinary) this.addPiece(data);
    else this.addCommand(data.toString());
    this.leg.handleMessage(data, isBinary);
  }

  private addPiece(data: Buffer): void {
    this.keptBytes += data.length;
    if (this.keptBytes > MAX_KEPT_BYTES) return;
    const at = this.now;
    const bytes = Buffer.concat([this.halfSample, data]);
    this.halfSample = bytes.subarray(bytes.length & ~1);
    const pcm = new Int16Array(bytes.length >> 1);
    for (let i = 0; i < pcm.length; i++) pcm[i] = bytes.readInt16LE(2 * i);
    const from = Math.max(this.playsUntil, at);
    const { rate } = this;
    this.playsUntil = from + (pcm.length * 1_000) / rate;
    const last = lastSound(pcm, rate);
    if (last > 0) this.soundUntil = from + (last * 1_000) / rate;
    this.pieces.push({ at, bytes: data, pcm, hasSound: last > 0 });
  }

  private addCommand(text: string): void {
    const command = parseLegCommand(text);
    const { now: at, playsUntil } = this;
    this.commands.push({ at, text, command, piecesBefore: this.pieces.length, playsUntil });
    if (command?.type !== 'clear') return;
    this.halfSample = Buffer.alloc(0);
    this.playsUntil = Math.min(this.playsUntil, at);
    this.soundUntil = Math.min(this.soundUntil, at);
  }

  private end(by: Ended['by'], code: number, reason: string): void {
    if (this.ended !== undefined) return;
    this.ended = { at: this.now, by, code, reason };
    this.options.clock.cancel(this.pinging);
    this.leg.disconnected();
  }
}

/** Samples up to the end of the last 20 ms with sound. */
function lastSound(pcm: Int16Array, rate: number): number {
  const window = rate / 50;
  for (let end = pcm.length; end > 0; end -= window) {
    if (isSound(pcm.subarray(Math.max(0, end - window), end))) return end;
  }
  return 0;
}

function headersOf({ facts, secret, wrongSignature, traceId, clock }: DialOptions): Record<string, string> {
  const line = asciiJson(facts);
  const headers = {
    'trunkline-call': line,
    traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01`,
  };
  if (secret === undefined || wrongSignature === 'none') return headers;
  const secrets = [wrongSignature === 'another secret' ? randomUUID() : secret];
  const signed = wrongSignature === 'other facts' ? asciiJson({ ...facts, from: '+15550009999' }) : line;
  const age = wrongSignature === 'ten minutes old' ? 600 : 0;
  return {
    ...headers,
    ...signWebhook(`msg_${randomUUID()}`, signed, secrets, secondsOf(clock.date()) - age),
  };
}

function asciiJson(value: object): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
