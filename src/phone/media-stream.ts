import { EventEmitter } from 'node:events';
import { type Clock, systemClock, type Timeout } from '../clock.js';
import { expected, GatewayError } from '../errors.js';
import { bufferOf } from '../media/arguments.js';
import { DEFAULT_LEAD_MS, FRAME_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';
import { FrameClock } from '../media/frame-clock.js';
import { core, frame, info, samples } from '../media/thread-core.js';
import { CallLatencies, STAGE } from '../telemetry/call-latencies.js';
import {
  arrivedAt,
  INGRESS_TICKS_PER_MICROSECOND,
  type IngressTime,
  ingressNow,
  ingressTicksBetween,
  NO_INGRESS_TIME,
} from '../telemetry/ingress-time.js';
import { isSampled, type Latencies } from '../telemetry/latencies.js';
import { Traffic, type TrafficCounts } from '../telemetry/traffic.js';
import { type MediaMessage, parseInboundMessage, type StartMessage } from '../twilio/messages.js';
import type { AudioFilter, AudioTap } from './audio-tap.js';
import { Backlog } from './backlog.js';
import { Framer } from './framer.js';
import { Intake } from './intake.js';
import { LeadProbe } from './lead-probe.js';
import type { CallLevels } from './level-meter.js';
import { MAX_PENDING_MARKS, type MarkEcho, Marks } from './marks.js';
import type { MediaSocket } from './media-socket.js';
import { PhoneSender } from './phone-sender.js';
import { Playout } from './playout.js';
import { TokenBucket } from './token-bucket.js';

/** Maximum size of a message from a phone, in bytes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;
/** At 48 kHz. */
const SAMPLES_PER_MS = 48;
/** µ-law bytes in 20 ms. */
const FRAME_PAYLOAD_BYTES = 160;
/**
 * A message costs one token plus one per 512 bytes. This allows three times a phone's pace, a network that
 * delivers ten seconds at once, and whatever arrived while this process was stalled.
 */
const FLOOD_TOKENS_PER_SECOND = 150;
const FLOOD_BURST = 600;
/** The start of a media message as Twilio writes it. */
const MEDIA_HEAD = Buffer.from('{"event":"media"');

/** Audio buffered for a caller who is not connected yet: the newest, in milliseconds. */
const KEEP_MS = 2_000;
/** Above this lead, audio counts as pre-sent rather than live. */
const LONGEST_LIVE_LEAD_MS = 1_000;
/** How long the echo of a call's last words may take beyond the lead. */
const LAST_WORDS_MS = 300;
/** After this much silence, there are no last words to wait for. */
const SPOKEN_MS = 1_000;

/** For streams created without a gateway. */
const sharedFrameClock = new FrameClock(systemClock);

/** Twilio's `start` message: call, account, tracks, custom parameters, media format. */
export type StreamStart = StartMessage['start'];

/** Why a stream ended: Twilio sent stop, its socket closed, it violated the protocol, or we closed it. */
export type StreamEnd = 'stop' | 'socket-closed' | 'protocol' | 'closed';

/** Optional settings of a media stream. */
export interface MediaStreamOptions {
  /** Maximum lead of the listener in milliseconds, 40 to 10,000; default 120. */
  readonly leadMs?: number;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
  /** Shared by all streams of a gateway; uses the time of `clock`. */
  readonly frameClock?: FrameClock;
  /** Checks `start`; a returned text rejects it (close code 1008). */
  readonly checkStart?: (start: StreamStart) => string | undefined;
  /** Shared by all streams of a gateway. */
  readonly latencies?: Latencies;
  /** Records this stream's latencies instead of its own recorder; a bench passes one that records nothing. */
  readonly recorder?: CallLatencies;
}

interface MediaStreamEvents {
  start: [start: StreamStart];
  /** Decoded audio, 48 kHz: 960 samples for Twilio's usual 20 ms. Valid only during the callback. */
  audio: [samples: Int16Array];
  dtmf: [digit: string];
  mark: [echo: MarkEcho];
  stop: [];
  /** The receiver of the caller's audio threw. */
  fault: [error: unknown];
  end: [end: StreamEnd, reason: string];
}

/**
 * One bidirectional Twilio media stream: Twilio's messages on one side, 48 kHz frames on the other. It exists
 * before its socket, so that the bridge can be joined while the phone still rings.
 */
export class TwilioMediaStream extends EventEmitter<MediaStreamEvents> {
  private readonly traffic = new Traffic();
  /** Latencies of this call's frames. */
  readonly latencies: CallLatencies;
  private audioFilter: AudioFilter | undefined;
  private wasSilenced = false;
  /** Callbacks for when the last words have been heard. */
  private readonly heardCallbacks: (() => void)[] = [];
  private heardTimeout: Timeout | undefined;
  private readonly transcoder = new core.Transcoder();
  private readonly intake: Intake;
  private readonly sender: PhoneSender;
  private readonly playout: Playout;
  private readonly probe: LeadProbe;
  private readonly frameClock: FrameClock;
  /** Whether audio from the user's own code counts as live. */
  private readonly sendsLive: boolean;
  private readonly outgoing: Framer;
  private readonly marks = new Marks();
  private readonly clock: Clock;
  private readonly flood: TokenBucket;
  private readonly backlog = new Backlog();
  private staleFrames = 0;
  private readonly checkStart: MediaStreamOptions['checkStart'];
  private startInfo: StreamStart | undefined;
  private sid: string | undefined;
  private ended = false;
  private confirmedMs = 0;
  /** When audio of the gateway itself was last sent. @internal */
  injectedAt = Number.NEGATIVE_INFINITY;
  /** When the latest audio arrived, how long it was in samples, and how long it took to decode. */
  private latestAt: IngressTime = NO_INGRESS_TIME;
  private latestSamples = 0;
  private decoding = 0;
  /** Whether the audio being forwarded has just arrived. */
  private isPassing = false;

  /** @throws TypeError for a lead out of range */
  constructor(options: MediaStreamOptions = {}) {
    super();
    const leadMs = options.leadMs ?? DEFAULT_LEAD_MS;
    if (!(leadMs >= 40 && leadMs <= 10_000)) throw expected('40 to 10000 milliseconds', 'leadMs', leadMs);
    const clock = options.clock ?? systemClock;
    this.clock = clock;
    this.flood = new TokenBucket(FLOOD_TOKENS_PER_SECOND, FLOOD_BURST, clock.now(), clock.stalledMs());
    this.latencies = options.recorder ?? new CallLatencies(options.latencies, clock);
    this.checkStart = options.checkStart;
    this.sender = new PhoneSender(this.transcoder, this.traffic, this.latencies);
    this.intake = new Intake(clock, Math.max(DEFAULT_LEAD_MS, Math.min(leadMs, LONGEST_LIVE_LEAD_MS)));
    this.playout = new Playout(this.sender, { limitMs: leadMs, keepMs: Math.max(KEEP_MS, leadMs) }, clock);
    this.probe = new LeadProbe(this, this.playout, leadMs);
    this.frameClock =
      options.frameClock ?? (clock === systemClock ? sharedFrameClock : new FrameClock(clock));
    this.sendsLive = leadMs <= LONGEST_LIVE_LEAD_MS;
    this.outgoing = new Framer({ write: (frame, stamp) => this.play(frame, stamp) });
  }

  /** Changes what is heard, if set. */
  get filter(): AudioFilter | undefined {
    return this.audioFilter;
  }

  set filter(filter: AudioFilter | undefined) {
    this.audioFilter = filter;
    const isSilenced = filter?.silencesCaller === true;
    // When a caller is muted, their buffered audio is not heard either.
    if (isSilenced && !this.wasSilenced) this.intake.discardWaiting();
    this.wasSilenced = isSilenced;
  }

  /** Listens to both directions, if set. */
  get tap(): AudioTap | undefined {
    return this.sender.tap;
  }

  set tap(tap: AudioTap | undefined) {
    this.sender.tap = tap;
  }

  /** Measures the levels of both directions while set. */
  get levels(): CallLevels | undefined {
    return this.sender.levels;
  }

  set levels(levels: CallLevels | undefined) {
    this.sender.levels = levels;
  }

  /** Twilio's id of the stream; `undefined` before `start`. */
  get streamSid(): string | undefined {
    return this.sid;
  }

  /** Whether audio can flow: `start` has arrived and the stream has not ended. */
  get isConnected(): boolean {
    return this.sid !== undefined && !this.ended;
  }

  /** Twilio's `start`: call, account, tracks, custom parameters, media format. */
  get start(): StreamStart | undefined {
    return this.startInfo;
  }

  /**
   * Milliseconds of audio the listener has heard: by the clock, or by the last mark if that is more. Never
   * decreases.
   */
  get playedMs(): number {
    this.confirmedMs = Math.max(this.playout.playedMs(), this.confirmedMs);
    return this.confirmedMs;
  }

  /** Milliseconds of audio sent and not yet heard, measured at the listener by echoes of marks. */
  get leadMs(): number {
    return this.playout.leadMs();
  }

  /** Milliseconds of audio waiting to be sent. */
  get waitingMs(): number {
    return this.playout.waitingMs;
  }

  /** Messages received from Twilio so far. */
  get messagesIn(): number {
    return this.traffic.messagesIn;
  }

  /** Traffic counters so far. */
  counts(): TrafficCounts {
    const counts = this.traffic.counts();
    const { intake, playout, probe } = this;
    counts.droppedIntake += intake.dropped + this.staleFrames;
    counts.droppedLead += playout.droppedLead;
    counts.droppedBackpressure += playout.droppedBackpressure;
    counts.underruns += playout.underruns;
    counts.silenceDroppedMs += playout.silenceDroppedMs + intake.silenceDroppedMs;
    counts.shortenedMs += playout.shortenedMs + intake.shortenedMs;
    counts.leadClears += probe.clears;
    return counts;
  }

  /** Whether the stream has ended, from either side. */
  get isEnded(): boolean {
    return this.ended;
  }

  /** Whether the caller's audio is connected to a sink. */
  get hasAudioSink(): boolean {
    return this.intake.isConnected;
  }

  /** Sends the caller's audio to `sink` from here on, starting with what is buffered. */
  connect(sink: FrameSink): void {
    this.intake.connect(new LegEntry(this, sink));
  }

  /** Plays a frame from the bridge to the caller; `stamp` is when its audio reached the gateway. */
  play(frame: Int16Array, stamp: IngressTime): void {
    const heard = this.audioFilter === undefined ? frame : this.audioFilter.replace(frame);
    if (heard !== undefined) this.playout.write(heard, stamp);
  }

  /** Like {@link play}, for audio of the gateway itself: bypasses the filter. */
  inject(frame: Int16Array): void {
    this.injectedAt = this.clock.now();
    this.playout.write(frame, NO_INGRESS_TIME);
  }

  /**
   * Whether audio for the caller is sent immediately: the stream has started, its socket is not full, and the
   * phone plays.
   */
  get isWritable(): boolean {
    return !this.ended && this.sender.isWritable() && !this.playout.isHolding;
  }

  /**
   * Plays live audio to the caller: 48 kHz mono int16, any length. Audio beyond the maximum lead is dropped,
   * silence first, then the oldest; a lasting delay is worked off by shorter pauses and slightly faster
   * words. To send recordings at once, raise `leadMs`: above 1,000 all of it is heard unchanged.
   * @throws TypeError if `pcm` is not an Int16Array
   */
  sendAudio(pcm: Int16Array): void {
    if (!(pcm instanceof Int16Array)) throw expected('an Int16Array', 'pcm', pcm);
    const stamp = this.sendsLive ? ingressNow(this.clock) : NO_INGRESS_TIME;
    if (pcm.length === FRAME_SAMPLES && this.outgoing.isEmpty) this.play(pcm, stamp);
    else this.outgoing.push(pcm, stamp);
  }

  /**
   * Stops playback at once: Twilio clears its buffer, and waiting audio is dropped.
   * @returns milliseconds actually heard so far, and milliseconds discarded
   */
  clear(): { playedMs: number; discardedMs: number } {
    const truth = this.playout.clear();
    this.tap?.cleared(0);
    this.audioFilter?.cleared();
    this.outgoing.clear();
    this.clearFarEnd();
    this.probe.cleared();
    return truth;
  }

  /**
   * Places a mark after all audio so far; the `mark` event reports when it was reached.
   * @param name not empty
   * @throws TypeError for an empty name
   * @throws GatewayError `GW_STREAM_CLOSED` without a connected stream, `GW_TOO_MANY_MARKS` with 256 marks in
   *   flight
   */
  mark(name: string): void {
    if (typeof name !== 'string' || name === '') throw expected('a non-empty string', 'mark name', name);
    if (this.sid === undefined || this.ended) {
      const message = 'The media stream is not connected';
      throw new GatewayError('GW_STREAM_CLOSED', message);
    }
    if (this.marks.count + this.playout.waypointCount >= MAX_PENDING_MARKS) {
      const message = `Expected at most ${MAX_PENDING_MARKS} marks in flight but received one more`;
      throw new GatewayError('GW_TOO_MANY_MARKS', message);
    }
    this.playout.after(() => {
      this.marks.place(name, this.playout.positionMs());
      this.sendMark(name);
    });
  }

  /**
   * Runs `done` once when the caller has heard all audio so far: at the echo of a mark, at the stream's end,
   * or 300 ms after the echo was due.
   */
  whenHeard(done: () => void): void {
    const { clock, playout } = this;
    if (!this.isConnected || (playout.waitingMs === 0 && playout.dryMs() > SPOKEN_MS)) {
      done();
      return;
    }
    this.heardCallbacks.push(done);
    if (this.heardCallbacks.length > 1) return;
    playout.finish();
    this.heardTimeout = clock.timeout(playout.leadMs() + LAST_WORDS_MS, () => this.runHeardCallbacks());
    this.probe.whenReached(() => this.runHeardCallbacks());
  }

  private runHeardCallbacks(): void {
    this.heardTimeout?.cancel();
    for (const done of this.heardCallbacks.splice(0)) done();
  }

  // For the lead probe:

  /** @internal */
  sendMark(name: string): void {
    if (this.sid !== undefined)
      this.sender.sendControl({ event: 'mark', streamSid: this.sid, mark: { name } });
  }

  private clearFarEnd(): void {
    this.marks.clear();
    if (this.sid !== undefined) this.sender.sendControl({ event: 'clear', streamSid: this.sid });
  }

  /** @internal */
  dropUnheard(unheardMs: number, sinceMs: number): void {
    this.playout.discardUnheard(unheardMs);
    this.tap?.cleared(sinceMs);
    this.clearFarEnd();
  }

  /** @internal */
  get heardMs(): number {
    return this.traffic.framesIn * FRAME_MS;
  }

  /** @internal */
  get pieceMs(): number {
    return this.latestSamples / SAMPLES_PER_MS;
  }

  /** @internal */
  get isBehind(): boolean {
    return !this.backlog.isRead;
  }

  /** No audio arrived: bridge legs and listeners hear 20 ms that fade to the line's own noise. */
  private concealGap(): void {
    this.transcoder.conceal(FRAME_SAMPLES);
    if (this.audioFilter?.silencesCaller === true) frame.fill(0);
    this.traffic.filledMs += FRAME_MS;
    this.intake.fill(frame);
  }

  /** Called every 20 ms. @internal */
  tick(): void {
    const now = this.frameClock.tickedAt;
    this.backlog.tick(this.clock.stalledMs(now), this.traffic.framesIn * FRAME_MS);
    this.playout.tick();
    this.intake.tick();
    if (this.intake.hasGap(now)) this.concealGap();
    this.probe.tick(now);
  }

  /**
   * Ends the stream from our side. Idempotent.
   * @param code WebSocket close code, 1000 to 4999 (RFC 6455, section 7.4)
   * @throws TypeError for another code, or a reason that is not a string
   */
  close(code = 1000, reason = ''): void {
    if (!Number.isInteger(code) || code < 1000 || code > 4999) throw expected('1000 to 4999', 'code', code);
    if (typeof reason !== 'string') throw expected('a string', 'reason', reason);
    this.finish('closed', code, reason);
  }

  // Called by the socket's owner:

  /**
   * Attaches the socket. Reading starts with its first message.
   * @throws GatewayError `GW_STREAM_OPEN` if the stream already has a socket or has ended
   */
  open(socket: MediaSocket): void {
    if (this.sender.hasSocket || this.ended) {
      throw new GatewayError('GW_STREAM_OPEN', 'The stream already has a socket');
    }
    this.sender.open(socket);
  }

  /**
   * Handles a message. Its memory is only lent and may start at any offset.
   * @param arrived when it reached this machine; default now
   */
  handleMessage(message: ArrayBuffer | Uint8Array, isBinary: boolean, arrived?: IngressTime): void {
    if (this.ended) return;
    const now = this.clock.now();
    const stamp = arrived ?? arrivedAt(now, this.clock);
    this.traffic.messagesIn += 1;
    if (message.byteLength > MAX_MESSAGE_BYTES) {
      this.finish('protocol', 1009, `Message exceeds ${MAX_MESSAGE_BYTES} bytes`);
      return;
    }
    const lostMs = this.clock.stalledMs(now);
    this.backlog.note(lostMs);
    if (!this.flood.take(1 + (message.byteLength >> 9), now, lostMs)) {
      this.finish('protocol', 1008, 'Too many messages per second');
      return;
    }
    if (!isBinary && this.sid !== undefined) {
      if (!this.backlog.isRead && this.dropStale(message)) return;
      const count = this.transcoder.receive(message);
      if (count >= 0) {
        this.deliverAudio(count, stamp);
        return;
      }
    }
    this.handleOtherMessage(message, isBinary, stamp);
  }

  /** Whether this is stale audio from a stall of ours. Decoding all of it would cause another stall. */
  private dropStale(message: ArrayBuffer | Uint8Array): boolean {
    const ms = this.latestSamples / SAMPLES_PER_MS;
    if (ms === 0 || this.tap !== undefined || this.listenerCount('audio') > 0) return false;
    const head = bufferOf(message).subarray(0, MEDIA_HEAD.length);
    if (!head.equals(MEDIA_HEAD) || !this.backlog.isTooOld(ms)) return false;
    this.traffic.framesIn += ms / FRAME_MS;
    this.staleFrames += ms / FRAME_MS;
    return true;
  }

  /** The socket accepts bytes again. */
  drained(): void {
    this.playout.flush();
  }

  /** The socket closed without our doing. */
  disconnected(): void {
    this.sender.close();
    this.finish('socket-closed', 1000, '');
  }

  /** Delivers `count` decoded samples from the shared buffer. */
  private deliverAudio(count: number, stamp: IngressTime): void {
    if (isSampled(this.traffic.messagesIn)) {
      this.decoding = ingressTicksBetween(stamp, this.latencies.now());
      this.latencies.record(STAGE.transcodeIn, this.decoding);
    }
    this.recordJitter(count, stamp);
    this.traffic.framesIn += (info[1] as number) / FRAME_PAYLOAD_BYTES;
    this.traffic.filledMs += info[2] as number;
    const audio = count === FRAME_SAMPLES ? frame : samples.subarray(0, count);
    this.levels?.in.sampleLevel(audio);
    const isSilent = this.audioFilter?.silencesCaller === true;
    if (isSilent) {
      // Taps hear a muted caller.
      this.tap?.callerAudio(audio, (info[0] as number) - (info[2] as number));
      audio.fill(0);
    }
    if (this.listenerCount('audio') > 0) this.emit('audio', audio);
    this.isPassing = true;
    this.intake.push(audio, stamp);
    this.isPassing = false;
    if (!isSilent) this.tap?.callerAudio(audio, (info[0] as number) - (info[2] as number));
  }

  /** A message is due one duration after the previous message; the difference is jitter. */
  private recordJitter(count: number, stamp: IngressTime): void {
    if (this.latestAt !== NO_INGRESS_TIME) {
      const due = ((this.latestSamples * INGRESS_TICKS_PER_MICROSECOND * 1_000) / SAMPLES_PER_MS) | 0;
      const late = ingressTicksBetween(this.latestAt, stamp) - due;
      this.latencies.record(STAGE.intakeJitter, late < 0 ? -late : late);
    }
    this.latestAt = stamp;
    this.latestSamples = count;
  }

  /** Records a frame's latency to the leg: forwarded immediately or after buffering. @internal */
  recordHandOver(stamp: IngressTime): void {
    if (this.isPassing && !isSampled(this.traffic.messagesIn)) return;
    this.latencies.record(STAGE.decodedLeg, ingressTicksBetween(stamp, this.latencies.now()) - this.decoding);
  }

  /** Handles everything but plain media messages: readable, and rare. A bad message never ends the call. */
  private handleOtherMessage(bytes: ArrayBuffer | Uint8Array, isBinary: boolean, stamp: IngressTime): void {
    const message = isBinary ? undefined : parseInboundMessage(bufferOf(bytes).toString());
    if (message?.event === 'connected') return;
    if (message?.event === 'start') {
      this.handleStart(message);
      return;
    }
    if (message?.event === 'media' && this.sid === undefined) {
      this.finish('protocol', 1008, 'Expected start before media');
      return;
    }
    if (message === undefined || message.streamSid !== this.sid) {
      this.traffic.badMessages += 1;
      return;
    }
    switch (message.event) {
      case 'media':
        this.handleMedia(message, stamp);
        return;
      case 'dtmf':
        this.traffic.dtmf += 1;
        this.emit('dtmf', message.dtmf.digit);
        return;
      case 'mark':
        this.handleMark(message.mark.name);
        return;
      case 'stop':
        this.emit('stop');
        this.finish('stop', 1000, '');
    }
  }

  private handleStart({ streamSid, start }: StartMessage): void {
    // Ignore a second start: the stream stays the one that was checked.
    const { encoding } = start.mediaFormat;
    if (this.sid !== undefined || encoding !== 'audio/x-mulaw' || !/^[A-Za-z0-9_-]{1,64}$/.test(streamSid)) {
      this.traffic.badMessages += 1;
      return;
    }
    const refusal = this.checkStart?.(start);
    if (refusal !== undefined) {
      this.finish('protocol', 1008, refusal);
      return;
    }
    this.transcoder.bind(streamSid);
    this.sid = streamSid;
    this.startInfo = start;
    this.sender.hasListener = true;
    this.frameClock.join(this);
    this.emit('start', start);
    this.playout.flush();
  }

  private handleMedia({ media }: MediaMessage, stamp: IngressTime): void {
    // Only the caller's own track counts, not the played one; count the others, so that a wrong track setting
    // shows.
    if (media.track !== undefined && media.track !== 'inbound') {
      this.traffic.otherTracks += 1;
      return;
    }
    const timestamp = /^\d+$/.test(media.timestamp ?? '') ? Number(media.timestamp) : Number.NaN;
    const count = this.transcoder.receivePayload(Buffer.from(media.payload, 'latin1'), timestamp);
    if (count < 0) {
      this.traffic.badMessages += 1;
      return;
    }
    this.traffic.slowMessages += 1;
    this.deliverAudio(count, stamp);
  }

  private handleMark(name: string): void {
    if (this.probe.reached(name, this.clock.now())) {
      this.flood.refund(1);
      return;
    }
    const echo = this.marks.reached(name, this.playout.playedMs());
    if (echo === undefined) {
      this.traffic.badMessages += 1;
      return;
    }
    if (!echo.cleared) this.confirmedMs = Math.max(this.confirmedMs, echo.playedMs);
    this.traffic.marks += 1;
    // We requested this echo, so it does not count as a flood.
    this.flood.refund(1);
    this.emit('mark', echo);
  }

  /** The single way to end, from either side. */
  private finish(end: StreamEnd, code: number, reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.frameClock.leave(this);
    this.playout.close();
    this.intake.close();
    this.transcoder.close();
    this.marks.close();
    try {
      this.sender.close()?.close(code, reason);
    } finally {
      this.emit('end', end, reason);
      this.runHeardCallbacks();
    }
  }
}

/** Forwards to the bridge leg and records the latency. */
class LegEntry implements FrameSink {
  constructor(
    private readonly stream: TwilioMediaStream,
    private readonly leg: FrameSink,
  ) {}

  write(frame: Int16Array, stamp: IngressTime): void {
    if (stamp !== NO_INGRESS_TIME) this.stream.recordHandOver(stamp);
    try {
      this.leg.write(frame, stamp);
    } catch (error) {
      // The frame may have waited until the end of the turn; then no caller can attribute the error.
      if (!this.stream.emit('fault', error)) throw error;
    }
  }
}
