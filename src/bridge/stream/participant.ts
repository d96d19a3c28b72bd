import type { Call, SfuModels, StreamVideoClient, StreamVideoParticipant } from '@stream-io/video-client';
import type { Clock } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import { DtmfTones } from '../../media/dtmf.js';
import { FRAME_SAMPLES, type FrameSink } from '../../media/frame.js';
import { FrameClock } from '../../media/frame-clock.js';
import { type IngressTime, ingressNow } from '../../telemetry/ingress-time.js';
import { Microphone } from './microphone.js';
import { isForPhones } from './phone-events.js';
import { type Listener, RemoteMixer, type Speaker } from './remote-mixer.js';
import { type AudioStream, BLOCK_MS, type RtcStack } from './rtc-stack.js';
import { type Measured, readTransport } from './transport.js';
import { type MediaPath, MediaWatchdog } from './watchdog.js';

/** After a longer stall, microphones resynchronise instead of sending silence for all of it. */
const MAX_CATCH_UP_MS = 500;

/** The clock of all participants in a process: one tick for each elapsed 10 ms. */
export function makeBlockClock(clock: Clock): FrameClock {
  return new FrameClock(clock, { periodMs: BLOCK_MS, phases: 1, catchUpMs: MAX_CATCH_UP_MS });
}

/** Who joins which call. Plain data: it may come from another process. */
export interface ParticipantRequest {
  readonly apiKey: string;
  /** Origin in place of Stream's own. */
  readonly baseUrl?: string | undefined;
  readonly userId: string;
  readonly userName?: string | undefined;
  readonly callType: string;
  readonly callId: string;
  /** Whether it was in the call before: a permission to speak that was revoked meanwhile may be granted again. */
  readonly isBack?: boolean;
  /** Milliseconds without a sign of life from the media server until the participant counts as lost; see {@link MediaWatchdog}. */
  readonly watchdogMs: number;
  /** Whether it hears the call and publishes nothing. */
  readonly onlyListens?: boolean;
}

/**
 * Why a participant is not in its call: the call has ended for it, it was lost and may rejoin, Stream refused it, or it lacks
 * a permission, whose name is then the reason.
 */
export type Departure = 'ended' | 'lost' | 'refused' | 'forbidden';

/**
 * What mutes or unmutes a phone: its own leg, a moderator, or the permission to speak, which was revoked or granted again.
 */
export type MutedBy = 'leg' | 'moderator' | 'permission';

/** Events of a participant. Its frames are for the phone. */
export interface ParticipantListener extends Listener {
  /** Returns a fresh user token for the client. */
  token(): Promise<string>;
  /** All invisible preparations are done: it is ready to appear. */
  prepared(): void;
  /** It has joined: audio flows in both directions. */
  joined(): void;
  /** The number of other participants has changed. */
  others(count: number): void;
  /** The phone was muted or unmuted in the call; `userId` is who did it, if known. */
  muted(isMuted: boolean, by: MutedBy, userId?: string): void;
  /** A custom event of the call, with its sender and the sender's role at Stream. */
  event(custom: unknown, userId: string, role: string): void;
  /** Tones could not be played. */
  tonesRefused(message: string): void;
  /** It has left the call other than by `leave`. Called once, as the last event. */
  departed(departure: Departure, reason: string): void;
}

/** A participant in this process or another. */
export interface PlacedParticipant extends FrameSink {
  /** Becomes visible in its call as soon as possible; idempotent. */
  appear(): void;
  /** Plays in-band DTMF to the phone. */
  playTones(digits: string): void;
  /** Mutes or unmutes the phone in the call. */
  mute(isMuted: boolean): void;
  /** Drops frames that wait to be sent. */
  clear(): void;
  /** Sets which users of the call are programs: their loudness is reported with each frame. */
  followPrograms(userIds: readonly string[]): void;
  /** Leaves a user's voice out of what it hears, for so many milliseconds. */
  hush(userId: string, ms: number): void;
  /** Leaves; idempotent. No event follows. */
  leave(): Promise<void>;
}

/** User ids of programs that only listen begin with it. */
export const LISTENER_PREFIX = 'listener-';
/** Longest wait for the media path of a join; earlier audio would be lost. */
const MEDIA_TIMEOUT_MS = 3_000;
const MEDIA_POLL_MS = 20;
/** Longest wait for the client to leave a call: its own requests time out after five seconds. */
const LEAVE_TIMEOUT_MS = 8_000;
/** The client is asked again to turn its microphone, at most for two seconds. */
const MICROPHONE_TRIES = 20;
const MICROPHONE_PAUSE_MS = 100;
/** Longest wait for the name of the moderator who muted a phone. */
const MODERATOR_MS = 300;
/** The client gives up reconnecting after this. */
const RECONNECT_SECONDS = 20;

type Sdk = typeof import('@stream-io/video-client');

/** The phone in a Stream call: the unmodified client with our own microphone and mixer. */
export class Participant implements PlacedParticipant {
  readonly microphone: Microphone;
  private readonly ear: RemoteMixer;
  private readonly tones = new DtmfTones();
  private readonly toneFrame = new Int16Array(FRAME_SAMPLES);
  private isEvenTick = false;
  private readonly clock: Clock;
  private readonly source;
  private client: StreamVideoClient | undefined;
  private call: Call | undefined;
  private watchdog: MediaWatchdog | undefined;
  private readonly subscriptions: { unsubscribe(): void }[] = [];
  private isIn = false;
  /** Whether its leg or a moderator has muted it. */
  private isSilenced: boolean;
  private maySpeak = true;
  /** The cause of the next change of the microphone. */
  private silencer: MutedBy = 'leg';
  private moderator: string | undefined;
  private isOver = false;
  /** Whether it is leaving: the reason is being determined, or the last audio played. */
  private isEnding = false;
  private endReason: string | undefined;
  private othersCount = -1;
  private hasSpeakers = false;
  /** Sessions that share a screen with sound. */
  private screens = '';
  /** Whether it may appear, and the wait for that. */
  private isDue = false;
  private awaken = () => {};
  private joining: Promise<void> | undefined;
  private leaving: Promise<void> | undefined;

  constructor(
    private readonly stack: RtcStack,
    private readonly request: ParticipantRequest,
    private readonly listener: ParticipantListener,
    private readonly blockClock: FrameClock,
  ) {
    this.clock = blockClock.clock;
    this.isSilenced = request.onlyListens === true;
    this.source = stack.createAudioSource();
    this.microphone = new Microphone(this.source, this.clock);
    const heard: Listener = {
      write: (frame, stamp, loudness) => {
        // A tone replaces other audio, as on a telephone's keypad.
        if (!this.isOver && !this.tones.isActive) listener.write(frame, stamp, loudness);
      },
    };
    this.ear = new RemoteMixer(stack, heard, this.clock);
  }

  write(frame: Int16Array, stamp: IngressTime): void {
    if (!this.isOver) this.microphone.write(frame, stamp);
  }

  playTones(digits: string): void {
    if (this.isOver) return;
    try {
      this.tones.push(digits);
    } catch (error) {
      this.listener.tonesRefused((error as Error).message);
    }
  }

  mute(isMuted: boolean): void {
    if (this.isOver) return;
    this.isSilenced = isMuted;
    this.silencer = 'leg';
    void this.turnMicrophone();
  }

  clear(): void {
    this.microphone.clear();
  }

  followPrograms(userIds: readonly string[]): void {
    this.ear.followPrograms(userIds);
  }

  hush(userId: string, ms: number): void {
    this.ear.hush(userId, ms);
  }

  /** Turns the microphone on if the phone may speak and is not muted. */
  private async turnMicrophone(): Promise<void> {
    const { call } = this;
    for (let tries = 0; tries < MICROPHONE_TRIES; tries++) {
      if (this.isOver || call === undefined) return;
      const isOn = !this.isSilenced && this.maySpeak;
      // The client may learn of a permission later than we do, and refuse.
      await (isOn ? call.microphone.enable() : call.microphone.disable()).catch(() => {});
      if (call.microphone.enabled === (!this.isSilenced && this.maySpeak)) return;
      await this.clock.sleep(MICROPHONE_PAUSE_MS);
    }
  }

  tick(): void {
    this.microphone.tick();
    this.isEvenTick = !this.isEvenTick;
    if (this.isEvenTick && this.tones.read(this.toneFrame))
      this.listener.write(this.toneFrame, ingressNow(this.clock), 0);
  }

  appear(): void {
    this.isDue = true;
    this.awaken();
  }

  /** Prepares, then joins when it may appear. Ends with `joined` or `departed`. */
  join(): Promise<void> {
    this.joining ??= this.enter().then(
      () => {
        if (this.isOver) return;
        this.isIn = true;
        this.listener.joined();
        if (this.request.isBack) this.listener.muted(!this.maySpeak, 'permission');
        if (!this.maySpeak || this.microphone.isMuted) void this.turnMicrophone();
      },
      async (error) => {
        const refused = isRefusal(error);
        // Asking for the call's state may make the client leave by itself.
        this.isEnding = true;
        if (refused && (await this.hasCallEnded())) this.endReason ??= 'the call was ended';
        const reason = this.endReason ?? (error instanceof Error ? error.message : String(error));
        if (this.endReason !== undefined) this.depart('ended', reason);
        else if (error instanceof MissingPermission) this.depart('forbidden', error.permission);
        else this.depart(refused ? 'refused' : 'lost', reason);
      },
    );
    return this.joining;
  }

  leave(): Promise<void> {
    this.isOver = true;
    this.awaken();
    this.leaving ??= this.exit();
    return this.leaving;
  }

  private async enter(): Promise<void> {
    this.stack.installGlobals();
    // Not earlier: the client checks for a browser while it loads.
    const sdk = await import('@stream-io/video-client');
    const { userId, userName, callType, callId, onlyListens } = this.request;
    const client = new sdk.StreamVideoClient({ apiKey: this.request.apiKey, options: this.clientOptions() });
    this.client = client;
    await client.connectUser({ id: userId, ...(userName === undefined ? {} : { name: userName }) }, () =>
      this.listener.token(),
    );
    this.checkWanted();
    const call = client.call(callType, callId);
    this.call = call;
    await this.plugIn(call);
    this.checkWanted();
    this.watchCall(call, sdk);
    // The client itself would request it only while joining.
    void client.streamClient.getLocationHint();
    if (!this.isDue) await this.lieInWait(call);
    this.checkWanted();
    this.blockClock.join(this);
    await call.join({ create: false });
    this.checkWanted();
    const maySpeak = call.state.ownCapabilities.includes(SEND_AUDIO);
    if (!maySpeak && !this.request.isBack && !onlyListens) throw new MissingPermission(SEND_AUDIO);
    if (maySpeak || onlyListens) await this.mediaPath(call);
    else await call.microphone.disable();
    this.watchdog = new MediaWatchdog(
      this.waysOf(call),
      this.request.watchdogMs,
      (reason) => this.depart('lost', reason),
      this.clock,
    );
  }

  /**
   * Waits until it may appear. Meanwhile it watches the call, so that events reach the phone: the end of the call, or a command
   * to hang up. Joining the media server makes it visible, so only that is done later.
   */
  private async lieInWait(call: Call): Promise<void> {
    await call.get().catch((error) => {
      // A user who may not read a call may still be allowed to join it.
      if (!isRefusal(error)) throw error;
    });
    if (call.state.endedAt !== undefined) this.endReason ??= 'the call was ended';
    this.checkWanted();
    this.listener.prepared();
    await new Promise<void>((resolve) => {
      this.awaken = resolve;
      if (this.isDue || this.isOver || this.endReason !== undefined) resolve();
    });
  }

  /** Provides or disables everything the client would ask a browser for. */
  private async plugIn(call: Call): Promise<void> {
    call.setDisconnectionTimeout(RECONNECT_SECONDS);
    call.setStatsReportingIntervalInMs(0);
    call.microphone.setSilenceThreshold(0);
    await call.microphone.disableSpeakingWhileMutedNotification();
    await call.camera.disable();
    const device = call.microphone.registerVirtualDevice({
      label: 'phone',
      // A new track each time: muting stops the old one for good.
      getUserMedia: () => ({ stream: this.source.createStream() as never }),
    });
    await call.microphone.select(device.deviceId);
    await (this.isSilenced ? call.microphone.disable() : call.microphone.enable());
  }

  private watchCall(call: Call, { CallingState, SfuModels: { TrackType, TrackUnpublishReason } }: Sdk): void {
    const { state } = call;
    const end = (reason: string) => () => {
      this.endReason ??= reason;
      this.awaken();
    };
    this.subscriptions.push(
      subscribed(call.on('call.ended', end('the call was ended'))),
      subscribed(call.on('callEnded', end('the call was ended'))),
      subscribed(
        call.on('call.blocked_user', ({ user }) => {
          if (user.id === this.request.userId) end('the phone was blocked')();
        }),
      ),
      subscribed(
        call.on('call.kicked_user', ({ user }) => {
          if (user.id === this.request.userId) end('the phone was removed')();
        }),
      ),
      subscribed(
        call.on('custom', ({ custom, user }) => {
          if (!this.isOver && isForPhones(custom)) this.listener.event(custom, user.id, user.role);
        }),
      ),
      subscribed(
        call.on('call.user_muted', ({ from_user_id: userId, muted_user_ids: muted }) => {
          if (muted.includes(this.request.userId)) this.moderator = userId;
        }),
      ),
      subscribed(
        call.on('trackUnpublished', ({ sessionId, type, cause }) => {
          const isOurs = sessionId === state.localParticipant?.sessionId && type === TrackType.AUDIO;
          if (isOurs && cause === TrackUnpublishReason.MODERATION) this.silencer = 'moderator';
        }),
      ),
      state.ownCapabilities$.subscribe((capabilities) => {
        const maySpeak = capabilities.includes(SEND_AUDIO);
        if (maySpeak === this.maySpeak) return;
        this.maySpeak = maySpeak;
        if (!this.isIn || this.isOver || this.isEnding) return;
        this.silencer = 'permission';
        this.listener.muted(!maySpeak, 'permission');
        void this.turnMicrophone();
      }),
      call.microphone.state.status$.subscribe((status) => this.heed(status === 'disabled')),
      state.remoteParticipants$.subscribe((participants) => this.meet(participants)),
      state.callingState$.subscribe((callingState) => {
        if (this.isEnding) return;
        if (callingState === CallingState.LEFT) {
          if (this.endReason === undefined) this.depart('lost', 'the client left');
          else void this.playTail(this.endReason);
        } else if (callingState === CallingState.RECONNECTING_FAILED) {
          this.depart('lost', 'the client could not reconnect');
        }
      }),
    );
  }

  /** The client's microphone was turned on or off. */
  private heed(isMuted: boolean): void {
    if (isMuted === this.microphone.isMuted) return;
    this.microphone.isMuted = isMuted;
    if (!this.isIn || this.isOver || this.isEnding) return;
    if (this.silencer === 'leg') this.listener.muted(isMuted, 'leg');
    else if (this.silencer === 'moderator') {
      this.isSilenced = true;
      void this.publishModeration();
    }
  }

  /** Publishes a moderator's mute; the moderator's name arrives separately, perhaps later. */
  private async publishModeration(): Promise<void> {
    if (this.moderator === undefined) await this.clock.sleep(MODERATOR_MS);
    const { moderator } = this;
    this.moderator = undefined;
    // The phone may have been unmuted meanwhile.
    if (!this.isOver && this.isSilenced) this.listener.muted(true, 'moderator', moderator);
  }

  /** The other participants, without stale sessions of this phone. */
  private meet(participants: readonly StreamVideoParticipant[]): void {
    if (this.isOver || this.isEnding) return;
    this.hasSpeakers = hasSpeakers(participants);
    const others = participants.filter(({ userId }) => userId !== this.request.userId);
    this.ear.listenTo(others.flatMap(speakersOf));
    this.followScreens(others);
    // A listener is no company.
    const count = others.filter(({ userId }) => !userId.startsWith(LISTENER_PREFIX)).length;
    if (count === this.othersCount) return;
    this.othersCount = count;
    this.listener.others(count);
  }

  /** The call has ended; audio received before is played to its end. */
  private async playTail(reason: string): Promise<void> {
    this.isEnding = true;
    await this.ear.finish();
    this.depart('ended', reason);
  }

  /** Subscribes to the sound of shared screens, without video. */
  private followScreens(others: readonly StreamVideoParticipant[]): void {
    const screens = others.filter(({ publishedTracks }) => publishedTracks.includes(SCREEN_SHARE_AUDIO));
    const key = screens.map(({ sessionId }) => sessionId).join();
    if (key === this.screens) return;
    this.screens = key;
    this.call?.setIncomingVideoEnabled(false);
  }

  /** Waits until audio flows to and from the media server, up to a limit. */
  private async mediaPath(call: Call): Promise<void> {
    const deadline = this.clock.runningMs() + MEDIA_TIMEOUT_MS;
    let isHeard = this.request.onlyListens === true;
    while (this.clock.runningMs() < deadline) {
      this.checkWanted();
      isHeard ||= await isConnected(call.publisher);
      if (isHeard && (!hasSpeakers(call.state.remoteParticipants) || (await isConnected(call.subscriber))))
        return;
      await this.clock.sleep(MEDIA_POLL_MS);
    }
    // If only the receiving path is missing, the watchdog handles it.
    if (isHeard) return;
    throw new GatewayError('GW_STREAM_MEDIA', `No media path to Stream within ${MEDIA_TIMEOUT_MS} ms`);
  }

  /** Stream's error for a call that has ended is the same as for other refusals. */
  private async hasCallEnded(): Promise<boolean> {
    await this.call?.get().catch(() => {});
    return this.call?.state.endedAt !== undefined;
  }

  private checkWanted(): void {
    if (this.endReason !== undefined) throw new GatewayError('GW_STREAM_CALL_ENDED', this.endReason);
    if (this.isOver) throw new GatewayError('GW_STREAM_LEFT', 'Left before the join completed');
  }

  /**
   * What the client sends and what it hears: it has a connection for each, and may have none for a while. The client's own
   * answers cost more than the rest of a check.
   */
  private waysOf(call: Call): MediaPath[] {
    return [
      {
        name: 'what the phone says',
        connection: () => call.publisher,
        isDue: () => !this.microphone.isMuted,
      },
      {
        name: 'what the phone hears',
        connection: () => call.subscriber,
        isDue: () => this.hasSpeakers,
      },
    ];
  }

  private depart(departure: Departure, reason: string): void {
    if (this.isOver) return;
    this.listener.departed(departure, reason);
    void this.leave();
  }

  private async exit(): Promise<void> {
    this.blockClock.leave(this);
    this.watchdog?.close();
    for (const subscription of this.subscriptions.splice(0)) subscription.unsubscribe();
    this.ear.close();
    this.tones.clear();
    await this.clock.within(LEAVE_TIMEOUT_MS, this.letGo());
  }

  private async letGo(): Promise<void> {
    // The client cannot leave before it has finished joining.
    await this.joining?.catch(() => {});
    this.watchdog?.close();
    const { call, client } = this;
    this.call = undefined;
    this.client = undefined;
    if (call !== undefined) await call.leave().catch(() => {});
    await client?.disconnectUser().catch(() => {});
  }

  private clientOptions() {
    const { baseUrl } = this.request;
    return {
      allowServerSideConnect: true,
      // The leg retries by itself; the client's own retries cannot be stopped and leave unhandled rejections.
      maxConnectUserRetries: 1,
      clientEventsReportingEnabled: false,
      logLevel: 'error' as const,
      ...(baseUrl === undefined ? {} : { baseURL: `${baseUrl}/video`, locationHintUrl: `${baseUrl}/hint` }),
    };
  }
}

/** Stream's numbers of track types. */
const AUDIO: SfuModels.TrackType.AUDIO = 1;
const SCREEN_SHARE_AUDIO: SfuModels.TrackType.SCREEN_SHARE_AUDIO = 4;

/** A participant's voice and the sound of a shared screen. */
function speakersOf(participant: StreamVideoParticipant): Speaker[] {
  const { sessionId, userId, audioStream, screenShareAudioStream } = participant;
  const voice = { sessionId, userId, audioStream: audioStream as AudioStream | undefined };
  if (screenShareAudioStream === undefined) return [voice];
  const screen = screenShareAudioStream as unknown as AudioStream;
  return [voice, { sessionId: `${sessionId}/screen`, audioStream: screen }];
}

/** The permission without which nobody would hear the caller. */
const SEND_AUDIO = 'send-audio';

/** The call lets the phone in, but not speak. */
class MissingPermission extends Error {
  constructor(readonly permission: string) {
    super(`the permission ${permission} is missing`);
  }
}

/** An answer of Stream's that another try will not change. */
function isRefusal(error: unknown): boolean {
  const { status = 0 } = (error ?? {}) as { status?: number };
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

async function isConnected(connection: Measured | undefined): Promise<boolean> {
  return connection !== undefined && (await readTransport(connection)).isConnected;
}

/** Whether there is anybody to hear. */
function hasSpeakers(participants: readonly StreamVideoParticipant[]): boolean {
  return participants.some(({ publishedTracks }) => publishedTracks.includes(AUDIO));
}

function subscribed(unsubscribe: () => void): { unsubscribe(): void } {
  return { unsubscribe };
}
