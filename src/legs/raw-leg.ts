import type { AnsweredFacts, MarkPlace, Program, ProgramLeg } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { bufferOf } from '../media/arguments.js';
import { DtmfTones } from '../media/dtmf.js';
import { FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import type { FrameClock } from '../media/frame-clock.js';
import type { ConverterMaker, RateConverter } from '../media/rate-converter.js';
import { TokenBucket } from '../phone/token-bucket.js';
import { NO_INGRESS_TIME } from '../telemetry/ingress-time.js';
import { type LegCommand, type LegEvent, parseLegCommand } from './leg-messages.js';
import { Pacer, type PacerSink } from './pacer.js';

/** Rates a program may speak, in samples a second. */
export const LEG_RATES = [16_000, 24_000, 48_000] as const;
export type LegRate = (typeof LEG_RATES)[number];

/** Milliseconds of a program's audio that may wait to be spoken, and the default. */
export const MIN_BUFFER_MS = 100;
export const MAX_BUFFER_MS = 120_000;
export const DEFAULT_BUFFER_MS = 30_000;

/** Largest message taken, in bytes: audio, eleven seconds of it at 48 kHz; text. */
export const MAX_AUDIO_BYTES = 1024 * 1024;
export const MAX_TEXT_BYTES = 16 * 1024;
/** Audio a program may leave unread before frames for it are dropped. */
const MAX_UNREAD_MS = 500;
/** Marks that may be under way at once. */
const MAX_MARKS = 256;
/** Marks and hang-ups that may wait behind audio. */
const MAX_WAYPOINTS = 512;
/** How much longer than its words a hang-up waits for phones that take none of them. */
const HANG_UP_PATIENCE_MS = 300;
/** Messages that could not be acted on, after which the leg is closed. */
const MAX_MISTAKES = 50;
/** One token a message, and one more for every 4 KiB of it: a minute of audio at once, in pieces of any size, is no flood. */
const FLOOD_TOKENS_PER_SECOND = 1_000;
const FLOOD_BURST = 10_000;
const BYTES_PER_TOKEN = 4_096;
const BYTES_PER_SAMPLE = 2;

export interface RawLegOptions {
  readonly room: string;
  readonly rate: LegRate;
  readonly bufferMs: number;
  /** Hears everybody and says nothing. */
  readonly onlyListens: boolean;
}

/** What came and went on a leg. */
export interface LegCounts {
  framesHeard: number;
  framesSpoken: number;
  /** Milliseconds of the program's audio that found no room. */
  droppedSentMs: number;
  /** Milliseconds that the program did not read in time. */
  droppedHeardMs: number;
}

/** Both ways between a program's rate and ours; nothing where they are the same. */
interface Converters {
  readonly up: RateConverter;
  readonly down: RateConverter;
}

/** A WebSocket as a raw leg needs it; any server's can be fitted. */
export interface LegSocket {
  /** Sends a message. Bytes are only lent. False where the message was dropped. */
  send(message: string | Int16Array, isBinary?: boolean): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; no more messages come of it. */
  close(code: number, reason: string): void;
}

/**
 * A program in a local room over a WebSocket of its own: PCM frames both ways and a few commands. What it sends may come
 * faster than it is spoken: it waits here and goes out at the pace of speech.
 */
export class RawLeg implements Program, PacerSink {
  readonly counts: LegCounts = { framesHeard: 0, framesSpoken: 0, droppedSentMs: 0, droppedHeardMs: 0 };
  private readonly pacer: Pacer;
  private readonly tones = new DtmfTones();
  private readonly toneFrame = new Int16Array(FRAME_SAMPLES);
  private readonly flood: TokenBucket;
  private readonly maxUnreadBytes: number;
  private socket: LegSocket | undefined;
  private roomLeg: ProgramLeg | undefined;
  /** First byte of a sample whose second is to come with the next message. */
  private halfSample: number | undefined;
  private marksUnderWay = 0;
  private hangUpsWaiting = 0;
  private mistakes = 0;
  /** What the program has not been told of yet. */
  private unreportedMs = 0;
  private ended = false;
  private onEnd = () => {};

  private readonly converters: Converters | undefined;

  /** @param convert makes its converters, which are freed when it ends */
  constructor(
    readonly options: RawLegOptions,
    convert: ConverterMaker,
    private readonly clock: Clock,
    frameClock: FrameClock,
  ) {
    this.flood = new TokenBucket(FLOOD_TOKENS_PER_SECOND, FLOOD_BURST, clock.now(), clock.stalledMs());
    const { rate, bufferMs } = options;
    if (rate !== SAMPLE_RATE) {
      this.converters = { up: convert(rate, SAMPLE_RATE), down: convert(SAMPLE_RATE, rate) };
    }
    this.pacer = new Pacer(this, rate, bufferMs, frameClock, clock);
    this.maxUnreadBytes = (rate * BYTES_PER_SAMPLE * MAX_UNREAD_MS) / 1_000;
  }

  /**
   * The socket is there: joins the room.
   * @param onEnd called once, when all is freed
   */
  open(socket: LegSocket, join: () => ProgramLeg, onEnd: () => void): void {
    this.socket = socket;
    this.onEnd = onEnd;
    const place = join();
    this.roomLeg = place;
    const { room, rate, bufferMs, onlyListens: listen } = this.options;
    this.sendEvent({ type: 'ready', room, rate, frameMs: FRAME_MS, bufferMs, listen, phones: place.phones });
  }

  // What the socket's owner calls:

  /**
   * A message of the program; its memory is only lent. Audio may come in pieces of any number of bytes: half a sample at the end
   * of one is completed by the next, or dropped by `clear`.
   */
  handleMessage(message: ArrayBuffer | Uint8Array, isBinary: boolean): void {
    if (this.ended) return;
    const { byteLength } = message;
    const now = this.clock.now();
    if (byteLength > (isBinary ? MAX_AUDIO_BYTES : MAX_TEXT_BYTES)) {
      this.finish(
        1009,
        `Expected at most ${isBinary ? MAX_AUDIO_BYTES : MAX_TEXT_BYTES} bytes a message but received more`,
      );
    } else if (!this.flood.take(1 + byteLength / BYTES_PER_TOKEN, now, this.clock.stalledMs(now))) {
      this.finish(1008, 'Expected audio at some multiple of the pace of speech but received a flood');
    } else if (isBinary) this.pushAudio(message);
    else this.handleCommand(bufferOf(message).toString());
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.reportDropped();
  }

  /** The socket went away without our doing. */
  disconnected(): void {
    this.socket = undefined;
    // Who says goodbye, hangs up and goes is heard to the end.
    if (this.hangUpsWaiting === 0) this.finish(1000, '');
  }

  /** Ends the leg from our side; idempotent. */
  close(code: number, reason: string): void {
    this.finish(code, reason);
  }

  // What the room calls:

  write(frame: Int16Array): void {
    const { socket, counts } = this;
    if (socket === undefined) return;
    if (socket.bufferedBytes() > this.maxUnreadBytes) {
      counts.droppedHeardMs += FRAME_MS;
      this.unreportedMs += FRAME_MS;
      return;
    }
    this.reportDropped();
    socket.send(this.converters === undefined ? frame : this.converters.down.process(frame), true);
    counts.framesHeard += 1;
  }

  phoneJoined(phone: string, { direction, ringSeconds }: AnsweredFacts = {}): void {
    this.sendEvent({ type: 'joined', phone, direction, ringSeconds });
  }

  phoneLeft(phone: string): void {
    this.sendEvent({ type: 'left', phone });
    // A program that has gone has no last words for whoever comes next.
    if (this.socket === undefined && this.roomLeg?.phones.length === 0) this.finish(1000, '');
  }

  pressed(phone: string, digit: string): void {
    this.sendEvent({ type: 'dtmf', phone, digit });
  }

  // What the pacer calls:

  get aheadMs(): number {
    return this.roomLeg?.aheadMs ?? 0;
  }

  get leadMs(): number {
    return this.roomLeg?.leadMs ?? 0;
  }

  get hasTone(): boolean {
    return this.tones.isActive;
  }

  sendFrame(frame: Int16Array): void {
    this.sendToRoom(this.converters === undefined ? frame : this.converters.up.process(frame));
  }

  sendTone(): void {
    this.tones.read(this.toneFrame);
    this.sendToRoom(this.toneFrame);
  }

  private mark(name: string): void {
    const reached = (place: MarkPlace) => {
      this.marksUnderWay -= 1;
      this.sendEvent({ type: 'mark', name, place });
    };
    this.marksUnderWay += 1;
    this.pacer.place({
      passed: () => (this.roomLeg === undefined ? reached('cleared') : this.roomLeg.mark(reached)),
      cleared: () => reached('cleared'),
    });
  }

  idle(): void {
    this.roomLeg?.endTalkspurt();
  }

  private sendToRoom(frame: Int16Array): void {
    this.roomLeg?.write(frame, NO_INGRESS_TIME);
    this.counts.framesSpoken += 1;
  }

  private pushAudio(message: ArrayBuffer | Uint8Array): void {
    if (this.options.onlyListens) {
      this.refuse('GW_LEG_LISTENS', 'Expected no audio on a leg that only listens but received some');
      return;
    }
    const ms = this.pacer.push(this.samplesOf(message));
    if (ms === 0) return;
    this.counts.droppedSentMs += ms;
    this.sendEvent({ type: 'dropped', of: 'sent', ms: Math.round(ms) });
  }

  /** A message's samples, with the half of one that the message before ended with; a half at its own end waits. */
  private samplesOf(message: ArrayBuffer | Uint8Array): Int16Array {
    const { halfSample } = this;
    const { buffer, byteOffset, byteLength } = bufferOf(message);
    // One that does not begin where a sample may is copied as well.
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
      this.refuse('GW_LEG_MESSAGE', 'Expected clear, mark, dtmf or hangup as JSON but received other text');
    } else if (this.options.onlyListens) {
      this.refuse(
        'GW_LEG_LISTENS',
        `Expected no commands on a leg that only listens but received ${command.type}`,
      );
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
            `Expected at most ${MAX_MARKS} marks under way but received one more`,
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
    }
  }

  /** Its last words are heard first, unless they are not wanted. */
  private hangUp({ phone, after }: Extract<LegCommand, { type: 'hangup' }>): void {
    const there = this.roomLeg?.phones ?? [];
    const meant = phone === undefined ? there : there.filter((id) => id === phone);
    if (after === 'now' || meant.length === 0) {
      if (this.roomLeg?.hangUp(phone, after === 'now') !== 0) return;
      this.refuse('GW_CALL_UNKNOWN', 'Expected a phone in this room to hang up but received none');
      return;
    }
    if (this.pacer.waitingWaypoints >= MAX_WAYPOINTS) {
      const most = `Expected at most ${MAX_WAYPOINTS} hang-ups and marks to wait but received one more`;
      this.refuse('GW_TOO_MANY_MARKS', most);
      return;
    }
    this.hangUpsWaiting += 1;
    const done = () => {
      this.hangUpsWaiting -= 1;
      // Whoever came meanwhile is not meant.
      for (const id of meant) this.roomLeg?.hangUp(id);
      // The program was no longer there to hear of it.
      if (this.socket === undefined && this.hangUpsWaiting === 0) this.finish(1000, '');
    };
    this.pacer.place({ passed: done, cleared: done }, HANG_UP_PATIENCE_MS);
  }

  private clear(): void {
    const discardedMs = this.pacer.clear();
    this.halfSample = undefined;
    this.tones.clear();
    // The few milliseconds within the filter are not to be heard before what comes next.
    this.converters?.up.flush();
    const unheardMs = this.roomLeg?.clear() ?? 0;
    this.sendEvent({ type: 'cleared', discardedMs: Math.round(discardedMs + unheardMs) });
  }

  /** Keys are dialled at once; the audio that waits comes after them. */
  private dial(digits: string): void {
    try {
      this.tones.push(digits);
    } catch {
      this.refuse('GW_DTMF_QUEUE_FULL', 'Expected at most 64 keys waiting to be dialled but received more');
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
    if (this.mistakes >= MAX_MISTAKES)
      this.finish(1008, `Expected a leg's protocol but received ${MAX_MISTAKES} mistakes`);
  }

  private sendEvent(event: LegEvent): void {
    this.socket?.send(JSON.stringify(event));
  }

  /** The one way out, from whichever side. */
  private finish(code: number, reason: string): void {
    if (this.ended) return;
    this.ended = true;
    const { socket } = this;
    this.socket = undefined;
    try {
      this.pacer.close();
      this.roomLeg?.close();
      this.converters?.up.close();
      this.converters?.down.close();
      socket?.close(code, reason);
    } finally {
      this.onEnd();
    }
  }
}
