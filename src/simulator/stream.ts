import { EventEmitter, once } from 'node:events';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { Timer } from '../clock.js';
import { expected, type GatewayError } from '../errors.js';
import { align, alignPieces } from './alignment.js';
import { FRAME_BYTES, FRAME_MS } from './audio.js';
import type { PhoneClock, Ticker } from './clock.js';
import { type DelayTrack, delaysOf } from './delay-track.js';
import { type DialMapping, destinationOf } from './dial.js';
import type { LeftOut } from './echo-pairs.js';
import { twilioError } from './errors.js';
import type { StreamTimes } from './handover.js';
import type { Histogram } from './histogram.js';
import { newSid } from './identifiers.js';
import { Inbox, type ProtocolWarning } from './inbox.js';
import { Line, type LineProfile } from './line.js';
import { type AudioProof, Measurement, type Pairing, type StreamReport } from './measurement.js';
import { decodeMulaw } from './mulaw.js';
import { PlayoutBuffer } from './playout.js';
import { printableUrl } from './printable-url.js';
import type { SoundDetector } from './sound-detector.js';
import { Voice } from './voice.js';
import { signatureOf } from './webhook.js';

/** Twilio gives a server this long to answer an upgrade. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long a closing handshake may take before the socket is destroyed. */
const CLOSE_TIMEOUT_MS = 1000;
/** Unread bytes beyond which Twilio discards audio: about 4 s. */
const MAX_UNREAD_BYTES = 64 * 1024;
/** Longest message accepted, in bytes; Twilio documents no limit. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Audio compared for the proof by default, and its largest delay. */
const PROOF_MS = 10_000;
const PROOF_LAG_MS = 2000;
const BYTES_PER_MS = 8;
/** Sent audio is kept for this much longer, because the server may skip pauses. */
const MOST_LEFT_OUT_BYTES = 3000 * BYTES_PER_MS;
/** With this correlation all of it is in one place. */
const WHOLE_CORRELATION = 0.98;
/** The echo of a steady sound counts as paired within half a frame and above this correlation. */
const PAIRED_LAG_MS = FRAME_MS / 2;
const PAIRED_CORRELATION = 0.9;

/** From the server to the phone, and from the phone to the server. */
type Direction = 'reading' | 'sending';

/** Deliberate faults of a phone. */
export interface StreamFaults {
  /** The upgrade signature is omitted, or made with another token. */
  readonly signature?: 'missing' | 'wrong';
  /** An `Origin` header, as a browser would send. */
  readonly origin?: string;
  /** Another URL to dial and sign than the TwiML's, e.g. with a wrong token. */
  readonly rewriteUrl?: (url: string) => string;
  /** Another CallSid or AccountSid in `start`. */
  readonly callSid?: string;
  readonly accountSid?: string;
  /** Raw messages between `connected` and `start`. */
  readonly beforeStart?: readonly string[];
  /** Milliseconds between `connected` and `start`; default 0. */
  readonly startDelayMs?: number;
}

/** How a {@link SimulatedStream} behaves. */
export interface StreamOptions {
  /** The `wss://` URL of the TwiML, signed as it stands. */
  readonly url: string;
  readonly accountSid: string;
  readonly callSid: string;
  readonly authToken: string;
  readonly clock: PhoneClock;
  readonly customParameters?: Readonly<Record<string, string>>;
  /** What the caller says; default silence. */
  readonly voice?: Voice | undefined;
  /** Receives what the caller hears. */
  readonly ear?: SoundDetector | undefined;
  /** Also records every round trip. */
  readonly roundTrips?: Histogram | undefined;
  /** Whether the server echoes what it hears; default true. */
  readonly echoes?: boolean | undefined;
  readonly dial?: DialMapping | undefined;
  readonly profile?: LineProfile | undefined;
  readonly faults?: StreamFaults | undefined;
  /** Milliseconds of what the caller hears to keep; default 0. */
  readonly recordMs?: number | undefined;
  /** Milliseconds of the recording that are compared to prove the echo; default 10,000. */
  readonly proofMs?: number | undefined;
  /** See {@link PlayoutBuffer}; default 20. */
  readonly dejitterMs?: number | undefined;
}

/** How a stream ended. */
export interface SimulatedStreamEnd {
  /** `stop`: Twilio said so. `abrupt`: the socket was destroyed without a close frame. `server`: it closed first. */
  readonly by: 'stop' | 'abrupt' | 'server';
  /** WebSocket close code as received; 1006 where there was none. */
  readonly code: number;
  readonly reason: string;
  /** What Twilio logs: 31921 for a close by the server, 31903 for one without a close frame, 31924 for broken frames. */
  readonly twilioCode: 31903 | 31921 | 31924 | undefined;
}

interface StreamEvents {
  /** Every text message of the server, as it came. */
  message: [text: string];
  /** A mark was echoed. */
  mark: [name: string];
  clear: [];
  warning: [warning: ProtocolWarning];
  end: [end: SimulatedStreamEnd];
}

/**
 * Twilio's side of one bidirectional media stream: signs the upgrade, sends `connected`, `start` and a
 * `media` message every 20 ms, plays received audio and measures it.
 * Source: twilio.com/docs/voice/media-streams/websocket-messages.
 */
export class SimulatedStream extends EventEmitter<StreamEvents> {
  readonly streamSid = newSid('MZ');
  /** Resolves when the socket is gone; never rejects. */
  readonly ended: Promise<SimulatedStreamEnd>;
  private readonly options: StreamOptions;
  private readonly measurement: Measurement;
  private readonly inbox: Inbox;
  private readonly line: Line;
  private readonly playout: PlayoutBuffer;
  private readonly finish: (end: SimulatedStreamEnd) => void;
  /** Reasons that block each direction. */
  private readonly held: Record<Direction, Set<unknown>> = { reading: new Set(), sending: new Set() };
  /** Stalls of one or both directions, in monotonic milliseconds. */
  private readonly stood: { from: number; until: number }[] = [];
  /** Functions that end the running stalls. */
  private readonly stalls = new Set<() => void>();
  /** What the WebSocket writes to. */
  private transport: Duplex | undefined;
  private readonly ticker: Ticker = { tick: (due, now) => this.tick(due, now) };
  private socket: WebSocket | undefined;
  private closeTimer: Timer | undefined;
  private startTimer: Timer | undefined;
  private endedAt: number | undefined;
  private endedBy: SimulatedStreamEnd['by'] | undefined;
  private closeCode: number | undefined;
  private brokenFrames = false;
  private startedAt = 0;
  private sequence = 0;
  private chunk = 0;
  private discarded = 0;
  private readonly voice: Voice;
  private firstTimestamp = -1;
  /** What the caller was saying when the stream began. */
  private begun: Voice['current'] | undefined;
  private timestamp = 0;
  /** The text of a media message behind its payload. */
  private readonly tail: string;
  /** For the proof: frames as spoken (lost ones too), as sent, and bytes as received. */
  private readonly proofBytes: number;
  private readonly sentBytes: number;
  private readonly spokenFrames: string[] = [];
  private readonly sentFrames: string[] = [];
  private received = new Uint8Array(0);
  private receivedLength = 0;

  constructor(options: StreamOptions) {
    super();
    this.options = options;
    this.measurement = new Measurement(options.roundTrips, options.echoes);
    this.voice = options.voice ?? new Voice();
    this.tail = `"},"streamSid":"${this.streamSid}"}`;
    this.inbox = new Inbox(this.streamSid, {
      media: (payload, bytes) => this.play(payload, bytes),
      mark: (name) => this.mark(name),
      clear: () => this.clear(),
      warning: (warning) => this.emit('warning', warning),
    });
    this.line = new Line(
      options.profile ?? {},
      {
        deliver: (payload, timestamp) => this.sendMedia(payload, timestamp),
        stall: (isStalled) => (isStalled ? this.block('reading', 'line') : this.unblock('reading', 'line')),
      },
      options.clock.time,
    );
    const recordMs = options.recordMs ?? 0;
    this.proofBytes = Math.min(recordMs, options.proofMs ?? PROOF_MS) * BYTES_PER_MS;
    this.sentBytes = this.proofBytes === 0 ? 0 : this.proofBytes + MOST_LEFT_OUT_BYTES;
    this.playout = new PlayoutBuffer({
      dejitterMs: options.dejitterMs ?? FRAME_MS,
      recordMs,
      onMark: (name) => this.sendMark(name),
      clock: options.clock.time,
    });
    let finish: (end: SimulatedStreamEnd) => void = () => {};
    this.ended = new Promise((resolve) => {
      finish = resolve;
    });
    this.finish = finish;
  }

  /**
   * Dials, and resolves when `start` was sent.
   * @throws GatewayError `GW_SIM_31920` with the HTTP status of a refused upgrade, `GW_SIM_31902` nobody
   * listens, `GW_SIM_31901` no answer in time
   */
  async open(): Promise<void> {
    const { faults = {}, dial, authToken } = this.options;
    const url = faults.rewriteUrl?.(this.options.url) ?? this.options.url;
    const { url: real, headers, ca, servername } = destinationOf(url, dial);
    const token = faults.signature === 'wrong' ? `${authToken}!` : authToken;
    const socket = new WebSocket(real, {
      headers: {
        ...headers,
        'user-agent': 'Twilio.TmeWs/1.0',
        ...(faults.signature === 'missing' ? {} : { 'x-twilio-signature': signatureOf(token, url) }),
        ...(faults.origin === undefined ? {} : { origin: faults.origin }),
      },
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_MESSAGE_BYTES,
      ...(ca === undefined ? {} : { ca }),
      ...(servername === undefined ? {} : { servername }),
    });
    this.socket = socket;
    socket.on('upgrade', (response) => {
      this.transport = response.socket;
    });
    let refused: GatewayError | undefined;
    socket.on('unexpected-response', (request, response) => {
      const status = response.statusCode ?? 0;
      refused = twilioError(
        31920,
        `Expected status 101 for the upgrade of ${printableUrl(url)} but received ${status}`,
        {
          status,
        },
      );
      response.destroy();
      request.destroy();
      socket.terminate();
    });
    socket.on('error', (cause: Error & { code?: string }) => {
      if (cause.code?.startsWith('WS_ERR')) this.brokenFrames = true;
      refused ??= connectionError(url, cause);
    });
    socket.on('close', (code, reason) => this.closed(code, reason.toString('utf8')));
    // Registered before the upgrade, so that messages in the same packet are not missed.
    socket.on('message', (data, isBinary) => this.handleMessage(data as Buffer, isBinary));
    try {
      await once(socket, 'open');
    } catch (cause) {
      throw refused ?? connectionError(url, cause as Error);
    }
    await this.begin(faults);
  }

  /** `connected` to `ended`. */
  get isOpen(): boolean {
    return this.startedAt > 0 && this.endedAt === undefined;
  }

  get roundTrip(): Histogram {
    return this.measurement.roundTrip;
  }

  get times(): StreamTimes {
    const { startedAt, endedAt, closeCode, measurement } = this;
    const { firstArrivalAt, lastArrivalAt } = measurement;
    return {
      startedAt,
      endedAt,
      closeCode,
      firstAudioAt: firstArrivalAt > 0 ? firstArrivalAt : undefined,
      lastAudioAt: lastArrivalAt > 0 ? lastArrivalAt : undefined,
    };
  }

  /** The caller pressed a key. Twilio sends inbound DTMF only. @param digits 0-9, *, #, A-D */
  dtmf(digits: string): void {
    for (const digit of digits) {
      this.sendRaw(
        `{"event":"dtmf","streamSid":"${this.streamSid}","sequenceNumber":"${this.next()}",` +
          `"dtmf":{"track":"inbound_track","digit":${JSON.stringify(digit)}}}`,
      );
    }
  }

  /** Ends the stream as Twilio does when a call ends: `stop`, then the socket closes. */
  async stop(): Promise<void> {
    if (this.socket?.readyState === WebSocket.OPEN && this.endedBy === undefined && this.startedAt > 0) {
      this.line.flush();
      this.silence();
      const { accountSid, callSid } = this.options;
      this.sendRaw(
        `{"event":"stop","sequenceNumber":"${this.next()}","streamSid":"${this.streamSid}",` +
          `"stop":${JSON.stringify({ accountSid, callSid })}}`,
      );
      this.endedBy = 'stop';
      this.socket.close(1000);
      this.closeTimer = this.options.clock.time.after(CLOSE_TIMEOUT_MS, () => this.socket?.terminate());
    } else if (this.socket === undefined) this.closed(1006, '');
    else if (this.endedBy === undefined) this.destroy();
    await this.ended;
  }

  /** Destroys the socket without `stop` and without a close frame, as a broken network does. */
  destroy(): void {
    this.endedBy ??= 'abrupt';
    this.silence();
    if (this.socket === undefined) this.closed(1006, '');
    else this.socket.terminate();
  }

  /** Frees socket and timers at once; safe to call at any time. */
  close(): void {
    if (this.endedAt === undefined) this.destroy();
  }

  /** Stops reading, like a hung phone; backpressure reaches the server. */
  pauseReading(): void {
    this.block('reading', 'told');
  }

  /** Ends {@link pauseReading}. */
  resumeReading(): void {
    this.unblock('reading', 'told');
  }

  /**
   * Stalls the direction to the phone: the socket is not read, so sent data stays in the kernel and is then read at once.
   * Meanwhile the phone plays its buffer, then silence.
   * @param ms how long, at least 0
   * @returns resolves when the stall or the stream ends
   * @throws TypeError for less than 0
   */
  stallReading(ms: number): Promise<void> {
    return this.stall('reading', ms);
  }

  /**
   * Stalls the direction from the phone: its audio and mark echoes leave all at once afterwards. As always, Twilio discards what
   * exceeds its buffer of some seconds.
   * @param ms how long, at least 0
   * @returns resolves when the stall or the stream ends
   * @throws TypeError for less than 0
   */
  stallSending(ms: number): Promise<void> {
    return this.stall('sending', ms);
  }

  /** Sends anything: text as a text message, bytes as a binary one. Ignored once the socket is gone. */
  sendRaw(message: string | Uint8Array): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  /** Sends `start`; a second time is a protocol violation. */
  sendStart(): void {
    const { accountSid, callSid, faults = {}, customParameters = {} } = this.options;
    const start = {
      accountSid: faults.accountSid ?? accountSid,
      streamSid: this.streamSid,
      callSid: faults.callSid ?? callSid,
      tracks: ['inbound'],
      mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
      customParameters,
    };
    this.sendRaw(
      `{"event":"start","sequenceNumber":"${this.next()}","start":${JSON.stringify(start)},` +
        `"streamSid":"${this.streamSid}"}`,
    );
  }

  /** What the caller said, 8 kHz, on the timeline that begins with `start`; as far as it is recorded. */
  spoken(): Int16Array {
    const silence = Math.max(0, Math.round(this.firstTimestamp * BYTES_PER_MS));
    const frames = decodeFrames(this.spokenFrames);
    const pcm = new Int16Array(silence + frames.length);
    pcm.set(frames, silence);
    return pcm;
  }

  /** What the caller heard on the same timeline, silence included; as far as it is recorded. */
  heard(): Int16Array {
    return this.playout.heard(this.endedAt);
  }

  /** Forgets times and gaps so far; see {@link Measurement.restart}. */
  restartMeasurement(): void {
    this.measurement.restart(this.options.clock.time.now());
  }

  /** Everything measured so far. With a recording it takes about half a second of CPU for the proof. */
  report(): StreamReport {
    const now = this.endedAt ?? this.options.clock.time.now();
    const { measurement } = this;
    const proof = this.proof();
    const leftOut = measurement.leftOut(now);
    return {
      framesSent: measurement.framesSent,
      framesReceived: measurement.framesReceived,
      messagesReceived: measurement.messagesReceived,
      framesLost: this.line.lost,
      framesDiscarded: this.discarded,
      ...leftOut,
      roundTrip: measurement.roundTrip.percentiles(),
      pairing: pairingOf(measurement.isPaired, proof, leftOut),
      gaps: measurement.gaps,
      maxGapMs: measurement.maxGapMs,
      firstAudioMs: measurement.firstArrivalAt > 0 ? measurement.firstArrivalAt - this.startedAt : undefined,
      playout: this.playout.counts(now),
      warnings: this.inbox.warnings,
      proof,
    };
  }

  private async stall(way: Direction, ms: number): Promise<void> {
    if (!(ms >= 0)) throw expected('at least 0 milliseconds', 'the stall', ms);
    if (this.endedAt !== undefined) return;
    await new Promise<void>((resolve) => {
      const { time } = this.options.clock;
      const end = () => {
        time.cancel(timer);
        this.stalls.delete(end);
        this.unblock(way, end);
        resolve();
      };
      const timer = time.after(ms, end);
      this.stalls.add(end);
      this.block(way, end);
    });
  }

  /** Blocks a direction for a reason; it stays blocked until every reason is removed. */
  private block(way: Direction, reason: unknown): void {
    const { socket, transport } = this;
    const reasons = this.held[way];
    if (this.held.reading.size + this.held.sending.size === 0) {
      this.stood.push({ from: this.options.clock.time.now(), until: Number.POSITIVE_INFINITY });
    }
    reasons.add(reason);
    if (reasons.size > 1) return;
    if (way === 'reading') socket?.pause();
    else transport?.cork();
  }

  private unblock(way: Direction, reason: unknown): void {
    const { socket, transport } = this;
    const reasons = this.held[way];
    if (!reasons.delete(reason) || reasons.size > 0) return;
    const stall = this.stood.at(-1);
    if (stall !== undefined && this.held.reading.size + this.held.sending.size === 0) {
      stall.until = this.options.clock.time.now();
    }
    if (way === 'reading') socket?.resume();
    else transport?.uncork();
  }

  /**
   * Delay from mouth to ear over time; seconds count from the start of the stream. Needs a recording, and one looped sound
   * throughout. Costs some milliseconds of CPU per second.
   */
  delays(): DelayTrack {
    const { begun, firstTimestamp, startedAt } = this;
    if (begun === undefined) return { samples: [], stalls: [] };
    const now = this.endedAt ?? this.options.clock.time.now();
    const seconds = (time: number) => (Math.min(time, now) - startedAt) / 1000;
    return {
      samples: delaysOf(begun.audio.pcm, firstTimestamp - begun.saidMs, this.heard()),
      stalls: this.stood.map(({ from, until }) => ({ from: seconds(from), until: seconds(until) })),
    };
  }

  private tick(due: number, now: number): void {
    if (this.firstTimestamp < 0) {
      this.firstTimestamp = Math.max(0, due - this.startedAt);
      this.begun = this.voice.current;
      this.timestamp = Math.round(this.firstTimestamp);
    }
    const payload = this.voice.next(due);
    if (this.spokenFrames.length * FRAME_BYTES < this.proofBytes) this.spokenFrames.push(payload);
    this.line.push(payload, this.timestamp, now);
    this.timestamp += FRAME_MS;
  }

  private play(payload: string, bytes: number): void {
    const now = this.options.clock.time.now();
    this.measurement.mediaReceived(payload, bytes, now);
    const { ear } = this.options;
    if (!this.playout.records && ear === undefined) {
      this.playout.append(bytes, now);
      return;
    }
    const mulaw = Buffer.from(payload, 'base64');
    ear?.addFrames(mulaw, this.playout.nextAt(now));
    this.playout.append(bytes, now, mulaw);
    this.keepReceived(mulaw);
  }

  private mark(name: string): void {
    if (!this.playout.mark(name)) this.inbox.warn(31951, 'too many marks wait', name);
  }

  private clear(): void {
    this.playout.clear();
    this.options.ear?.clear(this.options.clock.time.now());
    this.emit('clear');
  }

  private async begin(faults: StreamFaults): Promise<void> {
    this.sendRaw('{"event":"connected","protocol":"Call","version":"1.0.0"}');
    for (const message of faults.beforeStart ?? []) this.sendRaw(message);
    if (faults.startDelayMs !== undefined) {
      await Promise.race([
        new Promise<void>((resolve) => {
          this.startTimer = this.options.clock.time.after(faults.startDelayMs ?? 0, resolve);
        }),
        this.ended,
      ]);
    }
    if (this.socket?.readyState !== WebSocket.OPEN) {
      throw twilioError(31921, 'Expected an open socket for start but received a close');
    }
    this.startedAt = this.options.clock.time.now();
    this.playout.begin(this.startedAt);
    this.inbox.start();
    this.sendStart();
    this.options.clock.join(this.ticker);
  }

  private handleMessage(data: Buffer, isBinary: boolean): void {
    if (this.endedBy !== undefined) return;
    if (!isBinary && this.listenerCount('message') > 0) this.emit('message', data.toString('utf8'));
    this.inbox.handleMessage(data, isBinary);
  }

  private sendMedia(payload: string, timestamp: number): void {
    const { socket } = this;
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > MAX_UNREAD_BYTES) {
      this.discarded += 1;
      if (this.discarded === 1) this.inbox.warn(31930, 'the server reads too slowly, audio is discarded', '');
      return;
    }
    this.chunk += 1;
    if (this.sentFrames.length * FRAME_BYTES < this.sentBytes) this.sentFrames.push(payload);
    this.measurement.frameSent(payload, this.options.clock.time.now());
    socket.send(
      `{"event":"media","sequenceNumber":"${this.next()}","media":{"track":"inbound","chunk":"${this.chunk}",` +
        `"timestamp":"${timestamp}","payload":"${payload}${this.tail}`,
    );
  }

  private sendMark(name: string): void {
    this.sendRaw(
      `{"event":"mark","sequenceNumber":"${this.next()}","streamSid":"${this.streamSid}",` +
        `"mark":{"name":${JSON.stringify(name)}}}`,
    );
    this.emit('mark', name);
  }

  private next(): number {
    this.sequence += 1;
    return this.sequence;
  }

  /** No more audio, no more timers. */
  private silence(): void {
    this.options.clock.leave(this.ticker);
    for (const end of [...this.stalls]) end();
    this.line.close();
    this.playout.close();
    this.options.clock.time.cancel(this.startTimer);
  }

  private closed(code: number, reason: string): void {
    if (this.endedAt !== undefined) return;
    this.endedAt = this.options.clock.time.now();
    this.closeCode = code;
    this.silence();
    this.options.clock.time.cancel(this.closeTimer);
    const by = this.endedBy ?? 'server';
    const closedBy = code === 1006 ? 31903 : 31921;
    const twilioCode = this.brokenFrames ? 31924 : by === 'server' ? closedBy : undefined;
    const end: SimulatedStreamEnd = { by, code, reason, twilioCode };
    this.finish(end);
    this.emit('end', end);
  }

  private keepReceived(mulaw: Uint8Array): void {
    if (this.received.length === 0) this.received = new Uint8Array(this.proofBytes);
    const room = this.received.length - this.receivedLength;
    this.received.set(mulaw.subarray(0, room), this.receivedLength);
    this.receivedLength += Math.min(room, mulaw.length);
  }

  private proof(): AudioProof | undefined {
    const sent = decodeFrames(this.sentFrames);
    if (sent.every((sample) => sample === 0)) return undefined;
    const received = decodeMulaw(this.received.subarray(0, this.receivedLength));
    const heard = this.heard().subarray(0, this.proofBytes + PROOF_LAG_MS * BYTES_PER_MS);
    const whole = align(sent.subarray(0, this.proofBytes), received, {
      minLagMs: -100,
      maxLagMs: PROOF_LAG_MS,
    });
    const wholeHeard = align(this.spoken(), heard, { maxLagMs: PROOF_LAG_MS });
    return {
      received: whole.correlation >= WHOLE_CORRELATION ? whole : alignPieces(sent, received),
      heard: wholeHeard.correlation >= WHOLE_CORRELATION ? wholeHeard : alignPieces(this.spoken(), heard),
    };
  }
}

function decodeFrames(payloads: readonly string[]): Int16Array {
  return decodeMulaw(Buffer.concat(payloads.map((payload) => Buffer.from(payload, 'base64'))));
}

/** The loudness of a steady sound proves nothing, but its recording may. */
function pairingOf(isPaired: boolean | undefined, proof: AudioProof | undefined, leftOut: LeftOut): Pairing {
  if (proof === undefined) return isPaired === undefined ? 'unverified' : isPaired ? 'valid' : 'invalid';
  const { lagMs, correlation } = proof.received;
  if (isPaired !== undefined) return isPaired && correlation > PAIRED_CORRELATION ? 'valid' : 'invalid';
  const inPlace = correlation > PAIRED_CORRELATION && Math.abs(lagMs) < PAIRED_LAG_MS;
  return inPlace && leftOut.framesMissing === 0 ? 'valid' : 'invalid';
}

function connectionError(url: string, cause: Error & { code?: string }): GatewayError {
  if (cause.code === 'ECONNREFUSED') {
    return twilioError(31902, `Expected a server at ${printableUrl(url)} but received a refused connection`, {
      cause,
    });
  }
  if (/timed out/.test(cause.message)) {
    return twilioError(
      31901,
      `Expected an answer from ${printableUrl(url)} within ${HANDSHAKE_TIMEOUT_MS} ms but received none`,
    );
  }
  return twilioError(
    31920,
    `Expected a WebSocket at ${printableUrl(url)} but received an error: ${cause.message}`,
    {
      cause,
    },
  );
}
