import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import { CALL_HEADER, callHeaderOf } from '../agents/call-header.js';
import type { Clock, Timer } from '../clock.js';
import {
  type CallFacts,
  LEG_PROTOCOL,
  type LegCommand,
  MAX_MESSAGE_BYTES,
  parseLegCommand,
} from '../legs/leg-messages.js';
import type { LegRate } from '../legs/leg-rate.js';
import { bufferOf } from '../media/arguments.js';
import { secondsOf, signWebhook } from '../webhooks/signature.js';
import { isSound } from './sound.js';

/** A way to sign wrongly. */
export type WrongSignature = 'another secret' | 'other facts' | 'ten minutes old' | 'none';

export interface DialOptions {
  readonly url: string;
  readonly rate: LegRate;
  readonly facts: CallFacts;
  readonly secret?: string | undefined;
  readonly wrongSignature?: WrongSignature;
  readonly traceId: string;
  readonly clock: Clock;
  /** The connection before, whose audio is still played. */
  readonly before: AgentLine | undefined;
  /** Called with every message of the agent. */
  readonly onMessage: (data: Buffer, isBinary: boolean) => void;
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
  readonly by: 'agent' | 'gateway';
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
/** How often the agent is pinged, as by a gateway. */
const PING_MS = 500;
/** Most bytes of a call's audio that are kept. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

/** One connection to an agent, as a gateway has it, and everything that came over it. */
export class AgentLine {
  readonly pieces: Piece[] = [];
  readonly commands: SentCommand[] = [];
  readonly pings: Ping[] = [];
  /** What was wrong with its messages, by the WebSocket itself. */
  readonly errors: string[] = [];
  ended: Ended | undefined;
  /** While the gateway does not read. */
  isPaused = false;
  /** Running milliseconds at which the last sound will have been played. */
  soundUntil: number;
  private playsUntil: number;
  private halfSample: Buffer = Buffer.alloc(0);
  private keptBytes = 0;
  private pinging: Timer | undefined;

  private constructor(
    private readonly socket: WebSocket,
    readonly options: DialOptions,
    /** Header fields of the agent's answer, in lower case. */
    readonly headers: Readonly<Record<string, unknown>>,
  ) {
    this.soundUntil = options.before?.soundUntil ?? 0;
    this.playsUntil = options.before?.playsUntil ?? 0;
  }

  /** Dials once. @throws DialRefused */
  static async dial(options: DialOptions): Promise<AgentLine> {
    const { url, clock } = options;
    const socket = new WebSocket(url, [LEG_PROTOCOL], {
      headers: headersOf(options),
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    let headers: Record<string, unknown> = {};
    socket.on('upgrade', (answer: IncomingMessage) => {
      headers = { ...answer.headers };
      // `ws` refuses an answer without a subprotocol, which a leg allows, and reports extensions as an error.
      answer.headers['sec-websocket-protocol'] ??= LEG_PROTOCOL;
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

  /** Audio of several pieces in one. */
  audio(pieces: readonly Piece[]): Int16Array {
    const all = new Int16Array(pieces.reduce((sum, { pcm }) => sum + pcm.length, 0));
    let at = 0;
    for (const { pcm } of pieces) {
      all.set(pcm, at);
      at += pcm.length;
    }
    return all;
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
    this.end('gateway', 1006, 'dropped');
    this.socket.terminate();
  }

  /** Begins to close it from the gateway's side. */
  close(code: number, reason: string): void {
    this.end('gateway', code, reason);
    this.socket.close(code, reason);
  }

  /** Closes it after the call. Resolves with whether the agent has closed its side within `ms` milliseconds. */
  async finish(ms: number): Promise<boolean> {
    const { clock } = this.options;
    const closed = new Promise<true>((resolve) => {
      if (this.socket.readyState === WebSocket.CLOSED) resolve(true);
      else this.socket.once('close', () => resolve(true));
    });
    this.close(1000, 'the call has ended');
    const isClosed = (await clock.within(ms, closed)) === true;
    this.socket.terminate();
    return isClosed;
  }

  private get now(): number {
    return this.options.clock.runningMs();
  }

  /** Sends a message. The bytes are only lent. */
  send(message: string | Int16Array): boolean {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    const isBinary = typeof message !== 'string';
    this.socket.send(isBinary ? Buffer.from(bufferOf(message)) : message, { binary: isBinary });
    return true;
  }

  bufferedBytes(): number {
    return this.socket.bufferedAmount;
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
    this.pinging = options.clock.every(PING_MS, () => this.ping());
  }

  private receive(data: Buffer, isBinary: boolean): void {
    if (!this.isOpen) return;
    if (isBinary) this.addPiece(data);
    else this.addCommand(data.toString());
    this.options.onMessage(data, isBinary);
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
  const line = callHeaderOf(facts);
  const headers = {
    [CALL_HEADER]: line,
    traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01`,
  };
  if (secret === undefined || wrongSignature === 'none') return headers;
  const secrets = [wrongSignature === 'another secret' ? randomUUID() : secret];
  const signed = wrongSignature === 'other facts' ? callHeaderOf({ ...facts, from: '+15550009999' }) : line;
  const age = wrongSignature === 'ten minutes old' ? 600 : 0;
  return {
    ...headers,
    ...signWebhook(`msg_${randomUUID()}`, signed, secrets, secondsOf(clock.date()) - age),
  };
}
