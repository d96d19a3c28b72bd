import type { AnsweredFacts, MarkPlace, Program, ProgramLeg } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';
import { bufferOf } from '../media/arguments.js';
import { DtmfTones } from '../media/dtmf.js';
import { FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import type { FrameClock } from '../media/frame-clock.js';
import { CatchUp } from '../phone/catch-up.js';
import { TokenBucket } from '../phone/token-bucket.js';
import type { LatencyHistogram } from '../telemetry/histogram.js';
import {
  type IngressTime,
  ingressNow,
  ingressTicksBetween,
  NO_INGRESS_TIME,
} from '../telemetry/ingress-time.js';
import type { LegConverter, LegConverterMaker } from './leg-converter.js';
import {
  type CallFacts,
  LEG_VERSION,
  type LegCommand,
  type LegEvent,
  MAX_AUDIO_BYTES,
  MAX_TEXT_BYTES,
  parseLegCommand,
} from './leg-messages.js';
import type { LegRate } from './leg-rate.js';
import { Pacer, type PacerSink } from './pacer.js';

/** Bounds and default of a program's audio buffer, in milliseconds. */
export const MIN_BUFFER_MS = 100;
export const MAX_BUFFER_MS = 120_000;
export const DEFAULT_BUFFER_MS = 30_000;

/** Audio a program may leave unread before frames are dropped. */
const MAX_UNREAD_MS = 500;
/** Maximum marks in flight. */
const MAX_MARKS = 256;
/** Maximum marks and hang-ups waiting behind audio. */
const MAX_WAYPOINTS = 512;
/** How much longer than the audio a hang-up waits for phones that receive nothing. */
const HANG_UP_PATIENCE_MS = 300;
/** Invalid messages after which the leg is closed. */
const MAX_MISTAKES = 50;
/**
 * A message costs one token plus one per 4 KiB: a minute of audio at once, in pieces of any size, is allowed.
 */
const FLOOD_TOKENS_PER_SECOND = 1_000;
const FLOOD_BURST = 10_000;
const BYTES_PER_TOKEN = 4_096;
const BYTES_PER_SAMPLE = 2;

export interface RawLegOptions {
  readonly room: string;
  /** Rate of what the program hears. */
  readonly rate: LegRate;
  /** Rate of what it says. */
  readonly sendRate: LegRate;
  readonly bufferMs: number;
  /** Receives audio but may not send any. */
  readonly onlyListens: boolean;
  /** Numbers that callers may be transferred to; default any. */
  readonly mayTransfer?: (to: string) => boolean;
  /** The call that the gateway dialled this program for; its words then wait until the phone is answered. */
  readonly call?: () => CallFacts;
}

/** Counters of a leg. */
export interface LegCounts {
  framesHeard: number;
  framesSpoken: number;
  /** Milliseconds of the program's audio that did not fit the buffer. */
  droppedSentMs: number;
  /** Milliseconds of audio the program did not read in time. */
  droppedHeardMs: number;
}

/** The WebSocket a raw leg needs; any server's can be adapted. */
export interface LegSocket {
  /** Sends a message. The bytes are only lent. Returns false if the message was dropped. */
  send(message: string | Int16Array, isBinary?: boolean): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; no more messages arrive. */
  close(code: number, reason: string): void;
}

/**
 * A raw leg: a program in a room over its own WebSocket, with PCM frames in both directions and a few
 * commands. It may send faster than real time; the audio waits here and is played at the pace of speech.
 */
export class RawLeg implements Program, PacerSink {
  readonly counts: LegCounts = { framesHeard: 0, framesSpoken: 0, droppedSentMs: 0, droppedHeardMs: 0 };
  private readonly pacer: Pacer;
  private readonly tones = new DtmfTones();
  private catchUp: CatchUp | undefined;
  private readonly toneFrame = new Int16Array(FRAME_SAMPLES);
  private readonly flood: TokenBucket;
  private readonly maxUnreadBytes: number;
  private socket: LegSocket | undefined;
  private roomLeg: ProgramLeg | undefined;
  /** First byte of a sample split across two messages. */
  private halfSample: number | undefined;
  private marksUnderWay = 0;
  /** Hang-ups and transfers that wait for audio. */
  private departuresWaiting = 0;
  /** Milliseconds of the program's audio accepted, and cleared before the caller heard them. */
  private acceptedMs = 0;
  private clearedMs = 0;
  private latestPlayedMs = 0;
  /** Whether its words may be heard: a program that was dialled waits for its caller. */
  private mayTalk = false;
  private mistakes = 0;
  /** Dropped milliseconds not yet reported to the program. */
  private unreportedMs = 0;
  private ended = false;
  private onEnd = () => {};

  /** From the program's rate to 48 kHz, and back. */
  private readonly up: LegConverter | undefined;
  private readonly down: LegConverter | undefined;

  /**
   * @param convert creates its converters, which are freed with the leg
   * @param heardDelay gets the time from a caller's message to the message that the program gets
   */
  constructor(
    readonly options: RawLegOptions,
    convert: LegConverterMaker,
    private readonly clock: Clock,
    frameClock: FrameClock,
    private readonly heardDelay?: LatencyHistogram,
  ) {
    this.flood = new TokenBucket(FLOOD_TOKENS_PER_SECOND, FLOOD_BURST, clock.now(), clock.stalledMs());
    const { rate, sendRate, bufferMs } = options;
    this.up = sendRate === SAMPLE_RATE ? undefined : convert(sendRate, SAMPLE_RATE);
    this.down = rate === SAMPLE_RATE ? undefined : convert(SAMPLE_RATE, rate);
    this.pacer = new Pacer(this, sendRate, bufferMs, frameClock, clock);
    this.maxUnreadBytes = (rate * BYTES_PER_SAMPLE * MAX_UNREAD_MS) / 1_000;
  }

  /**
   * Attaches the socket and joins the room.
   * @param onEnd called once, when everything is freed
   */
  open(socket: LegSocket, join: () => ProgramLeg, onEnd: () => void): void {
    this.socket = socket;
    this.onEnd = onEnd;
    this.roomLeg = join();
    this.mayTalk = this.options.call === undefined || this.ownPhone !== undefined;
    socket.send(this.readyMessage(this.phones, false));
  }

  /** The first message of a connection. @param phones those that the program does not learn of by `joined` */
  readyMessage(phones: readonly string[], resumed: boolean): string {
    const { room, rate, sendRate, bufferMs, onlyListens: listen, call } = this.options;
    const formats = { rate, sendRate, frameMs: FRAME_MS, bufferMs, listen };
    const state = { phones: [...phones], playedMs: this.playedMs, resumed, call: call?.() };
    const ready: LegEvent = { type: 'ready', version: LEG_VERSION, room, ...formats, ...state };
    return JSON.stringify(ready);
  }

  /** The id of the call that the gateway dialled this program for, once it is answered. */
  get ownPhone(): string | undefined {
    const callId = this.options.call?.().callId;
    return callId !== undefined && this.phones.includes(callId) ? callId : undefined;
  }

  /** Call ids of the answered phones in the room. */
  get phones(): readonly string[] {
    return this.roomLeg?.phones ?? [];
  }

  // Called by the socket's owner:

  /**
   * Handles a message from the program; its memory is only lent. Audio may be split at any byte: half a
   * sample is completed by the next message, or dropped by `clear`.
   */
  handleMessage(message: ArrayBuffer | Uint8Array, isBinary: boolean): void {
    if (this.ended) return;
    const { byteLength } = message;
    const now = this.clock.now();
    if (byteLength > (isBinary ? MAX_AUDIO_BYTES : MAX_TEXT_BYTES)) {
      this.finish(1009, `Message exceeds ${isBinary ? MAX_AUDIO_BYTES : MAX_TEXT_BYTES} bytes`);
    } else if (!this.flood.take(1 + byteLength / BYTES_PER_TOKEN, now, this.clock.stalledMs(now))) {
      this.finish(1008, 'Too many messages per second');
    } else if (isBinary) this.pushAudio(message);
    else this.handleCommand(bufferOf(message).toString());
  }

  /** The socket accepts bytes again. */
  drained(): void {
    this.reportDropped();
  }

  /** Another connection of a dialled program begins, with a whole sample. */
  beginConnection(): void {
    this.halfSample = undefined;
  }

  /** The socket closed without our doing. */
  disconnected(): void {
    this.socket = undefined;
    // A program may hang up and disconnect; its last words are still played.
    if (this.departuresWaiting === 0) this.finish(1000, '');
  }

  /** The program has finished: once its last words were heard, its phone is hung up. */
  finished(phone: string): void {
    this.hangUp({ type: 'hangup', phone });
    this.disconnected();
  }

  /** Ends the leg from our side. Idempotent. */
  close(code: number, reason: string): void {
    this.finish(code, reason);
  }

  // Called by the room:

  write(frame: Int16Array, stamp: IngressTime = NO_INGRESS_TIME): void {
    const { socket, counts } = this;
    if (socket === undefined) return;
    if (socket.bufferedBytes() > this.maxUnreadBytes) {
      counts.droppedHeardMs += FRAME_MS;
      this.unreportedMs += FRAME_MS;
      return;
    }
    this.reportDropped();
    socket.send(this.down === undefined ? frame : this.down.process(frame), true);
    counts.framesHeard += 1;
    if (stamp !== NO_INGRESS_TIME)
      this.heardDelay?.record(ingressTicksBetween(stamp, ingressNow(this.clock)));
  }

  phoneJoined(phone: string, { direction, ringSeconds }: AnsweredFacts = {}): void {
    this.sendEvent({ type: 'joined', phone, direction, ringSeconds });
    if (this.mayTalk || phone !== this.options.call?.().callId) return;
    this.mayTalk = true;
    this.pacer.wake();
  }

  phoneLeft(phone: string): void {
    this.sendEvent({ type: 'left', phone });
    // The last words of a disconnected program are not for the next caller.
    if (this.socket === undefined && this.roomLeg?.phones.length === 0) this.finish(1000, '');
  }

  /** The call has ended, or was lost for good. */
  roomEnded(error?: GatewayError): void {
    if (error === undefined) this.finish(1000, 'the call has ended');
    else this.finish(1011, error.code);
  }

  commandFailed({ code, message }: GatewayError): void {
    this.refuse(code, message);
  }

  pressed(phone: string, digit: string): void {
    this.sendEvent({ type: 'dtmf', phone, digit });
  }

  // Called by the pacer:

  get aheadMs(): number {
    return this.roomLeg?.aheadMs ?? 0;
  }

  get leadMs(): number {
    if (!this.mayTalk) return Number.POSITIVE_INFINITY;
    return this.roomLeg?.leadMs ?? 0;
  }

  get hasTone(): boolean {
    return this.tones.isActive;
  }

  sendFrame(frame: Int16Array, isBehind: boolean): boolean {
    const sent = this.up === undefined ? frame : this.up.process(frame);
    if (isBehind) {
      this.catchUp ??= new CatchUp();
      // A pause that is left out counts as heard: nothing was said in it.
      if (this.catchUp.skipsFrame(sent)) return false;
    }
    this.sendToRoom(sent);
    return true;
  }

  sendTone(): void {
    this.tones.read(this.toneFrame);
    this.sendToRoom(this.toneFrame);
  }

  private mark(name: string): void {
    const positionMs = this.positionMs;
    const reached = (place: MarkPlace) => {
      this.marksUnderWay -= 1;
      const playedMs = place === 'cleared' ? this.playedMs : this.noted(positionMs);
      this.sendEvent({ type: 'mark', name, place, playedMs });
    };
    this.marksUnderWay += 1;
    this.pacer.place({
      passed: () => (this.roomLeg === undefined ? reached('cleared') : this.roomLeg.mark(reached)),
      cleared: () => reached('cleared'),
    });
  }

  /** Where the program's next audio begins, in milliseconds of what the caller hears of it. */
  private get positionMs(): number {
    return this.acceptedMs - this.clearedMs;
  }

  /** Milliseconds of the program's audio that the caller has certainly heard. */
  private get playedMs(): number {
    return Math.round(this.latestPlayedMs);
  }

  private noted(playedMs: number): number {
    this.latestPlayedMs = Math.max(this.latestPlayedMs, playedMs);
    return this.playedMs;
  }

  idle(): void {
    this.roomLeg?.endTalkspurt();
  }

  private sendToRoom(frame: Int16Array): void {
    // Without a time: what a program says is not dropped for being late.
    this.roomLeg?.write(frame, NO_INGRESS_TIME);
    this.counts.framesSpoken += 1;
  }

  private pushAudio(message: ArrayBuffer | Uint8Array): void {
    if (this.options.onlyListens) {
      this.refuse('GW_LEG_LISTENS', 'A listen-only leg cannot send audio');
      return;
    }
    const samples = this.samplesOf(message);
    const ms = this.pacer.push(samples);
    this.acceptedMs += (samples.length * 1_000) / this.options.sendRate - ms;
    if (ms === 0) return;
    this.counts.droppedSentMs += ms;
    this.sendEvent({ type: 'dropped', of: 'sent', ms: Math.round(ms) });
  }

  /**
   * The message's samples, including a byte left over from the previous message; an odd last byte is kept.
   */
  private samplesOf(message: ArrayBuffer | Uint8Array): Int16Array {
    const { halfSample } = this;
    const { buffer, byteOffset, byteLength } = bufferOf(message);
    // A message at an odd address must be copied as well.
    if (halfSample === undefined && (byteLength | byteOffset) % BYTES_PER_SAMPLE === 0)
      return new Int16Array(buffer, byteOffset, byteLength / BYTES_PER_SAMPLE);
    const before = halfSample === undefined ? 0 : 1;
    const bytes = new Uint8Array(before + byteLength);
    if (halfSample !== undefined) bytes[0] = halfSample;
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), before);
    this.halfSample = bytes.length % BYTES_PER_SAMPLE === 0 ? undefined : bytes.at(-1);
    return new Int16Array(bytes.buffer, 0, Math.floor(bytes.length / BYTES_PER_SAMPLE));
  }

  private handleCommand(text: string): void {
    const command = parseLegCommand(text);
    if (command === undefined) {
      this.refuse(
        'GW_LEG_MESSAGE',
        'Expected clear, mark, dtmf, hangup or transfer as JSON but received other text',
      );
    } else if (this.options.onlyListens) {
      this.refuse('GW_LEG_LISTENS', `A listen-only leg cannot send ${command.type}`);
    } else this.runCommand(command);
  }

  private runCommand(command: LegCommand): void {
    switch (command.type) {
      case 'clear':
        this.clear();
        return;
      case 'mark':
        if (this.marksUnderWay >= MAX_MARKS) {
          this.refuse(
            'GW_TOO_MANY_MARKS',
            `Expected at most ${MAX_MARKS} marks in flight but received one more`,
          );
          return;
        }
        this.mark(command.name);
        return;
      case 'dtmf':
        this.dial(command.digits);
        return;
      case 'hangup':
        this.hangUp(command);
        return;
      case 'transfer':
        this.transfer(command);
    }
  }

  /** By default, plays the program's last words first. */
  private hangUp({ phone, after }: Extract<LegCommand, { type: 'hangup' }>): void {
    const meant = this.phonesOf(phone);
    if (after === 'now' || meant.length === 0) {
      if (this.roomLeg?.hangUp(phone, after === 'now') !== 0) return;
      this.refuse('GW_CALL_UNKNOWN', 'There is no such phone in this room');
      return;
    }
    // Callers who joined since are not hung up.
    this.afterWords(() => {
      for (const id of meant) this.roomLeg?.hangUp(id);
    });
  }

  private transfer({ to, phone }: Extract<LegCommand, { type: 'transfer' }>): void {
    const meant = this.phonesOf(phone);
    if (this.options.mayTransfer?.(to) === false)
      this.refuse('GW_TRANSFER_REFUSED', 'Transfers to this number are not allowed');
    else if (meant.length === 0) this.refuse('GW_CALL_UNKNOWN', 'There is no such phone in this room');
    else this.afterWords(() => this.transferNow(to, meant));
  }

  private transferNow(to: string, phones: readonly string[]): void {
    try {
      for (const id of phones) this.roomLeg?.transfer(to, id);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.refuse(error.code, error.message);
    }
  }

  private phonesOf(phone: string | undefined): readonly string[] {
    return phone === undefined ? this.phones : this.phones.filter((id) => id === phone);
  }

  /** Runs `leave` once all audio so far was sent to the room, also if the program has disconnected by then. */
  private afterWords(leave: () => void): void {
    if (this.pacer.waitingWaypoints >= MAX_WAYPOINTS) {
      const most = `Expected at most ${MAX_WAYPOINTS} waiting marks and hang-ups but received one more`;
      this.refuse('GW_TOO_MANY_MARKS', most);
      return;
    }
    this.departuresWaiting += 1;
    const done = () => {
      this.departuresWaiting -= 1;
      leave();
      if (this.socket === undefined && this.departuresWaiting === 0) this.finish(1000, '');
    };
    this.pacer.place({ passed: done, cleared: done }, HANG_UP_PATIENCE_MS);
  }

  private clear(): void {
    this.halfSample = undefined;
    this.tones.clear();
    // The last milliseconds inside the filter must not be heard before the next audio.
    this.up?.flush();
    const discardedMs = this.pacer.waitingMs + (this.roomLeg?.clear() ?? 0);
    // In a mix, others were talking in part of what was dropped.
    this.clearedMs = Math.min(this.clearedMs + discardedMs, this.acceptedMs - this.latestPlayedMs);
    this.noted(this.positionMs);
    this.pacer.clear();
    this.sendEvent({ type: 'cleared', discardedMs: Math.round(discardedMs), playedMs: this.playedMs });
  }

  /** Plays tones at once; waiting audio follows them. */
  private dial(digits: string): void {
    try {
      this.tones.push(digits);
    } catch {
      this.refuse('GW_DTMF_QUEUE_FULL', 'More than 64 keys would wait to be dialled');
      return;
    }
    this.pacer.wake();
  }

  private reportDropped(): void {
    const { unreportedMs: ms } = this;
    if (ms === 0) return;
    this.unreportedMs = 0;
    this.sendEvent({ type: 'dropped', of: 'heard', ms });
  }

  private refuse(code: ErrorCode, message: string): void {
    this.sendEvent({ type: 'error', code, message });
    this.mistakes += 1;
    if (this.mistakes >= MAX_MISTAKES) this.finish(1008, `Too many invalid messages`);
  }

  private sendEvent(event: LegEvent): void {
    this.socket?.send(JSON.stringify(event));
  }

  /** The single way to end, from either side. */
  private finish(code: number, reason: string): void {
    if (this.ended) return;
    this.ended = true;
    const { socket } = this;
    this.socket = undefined;
    try {
      this.pacer.close();
      this.roomLeg?.close();
      this.up?.close();
      this.down?.close();
      socket?.close(code, reason);
    } finally {
      this.onEnd();
    }
  }
}
