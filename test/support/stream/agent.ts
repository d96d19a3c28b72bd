import { randomUUID } from 'node:crypto';
import { StreamClient } from '@stream-io/node-sdk';
import { type Call, SfuModels, type StreamVideoClient } from '@stream-io/video-client';
import type { RtcStack } from '../../../src/bridge/stream/rtc-stack.js';
import { wrtcStack } from '../../../src/bridge/stream/wrtc.js';
import type { StreamDouble } from './double.js';
import { type FrameListener, type Gap, Hearing } from './hearing.js';
import { type FrameMaker, Voice } from './voice.js';

/** Where Stream is, and the keys to it. */
export interface StreamKeys {
  readonly url: string;
  readonly apiKey: string;
  readonly apiSecret: string;
}

export type AgentOptions = (StreamKeys | { readonly double: StreamDouble | StreamKeys }) & {
  readonly callId: string;
  readonly callType?: string;
  readonly userId: string;
  readonly name?: string;
  /** Ring the other members of the call on joining. */
  readonly ring?: boolean;
  /** Settings of the call, if this creates it. */
  readonly settings?: Readonly<Record<string, unknown>>;
};

/** A custom event of the call. */
export interface HeardEvent {
  readonly userId: string;
  readonly custom: Readonly<Record<string, unknown>>;
}

/** Longest history. */
const MAX_EVENTS = 1_000;
/** Tokens are good for this long. */
const TOKEN_SECONDS = 3600;

/** What the client keeps to itself, and a crash needs. */
interface Internals {
  sfuClient?: { isLeaving: boolean; signalWs: { terminate?(): void; close(code: number): void } };
}

/** Another participant of a call, as an app would make it: the real client, with a voice and with ears. */
export class Agent {
  /** Custom events received, its own among them; the oldest of very many are forgotten. */
  readonly events: HeardEvent[] = [];
  /** What state the client has been in, the present one last. */
  readonly states: string[] = [];
  private readonly hearing: Hearing;
  private readonly voice: Voice;
  private screen: Voice | undefined;
  private readonly subscriptions: { unsubscribe(): void }[] = [];
  private readonly device: { readonly deviceId: string };
  private leaving: Promise<void> | undefined;

  private constructor(
    readonly userId: string,
    private readonly client: StreamVideoClient,
    readonly call: Call,
    stack: RtcStack,
  ) {
    const source = stack.createAudioSource();
    this.voice = new Voice(source);
    this.hearing = new Hearing(stack);
    this.subscriptions.push(
      call.state.remoteParticipants$.subscribe((participants) => this.hearing.follow(participants)),
      call.state.callingState$.subscribe((state) => push(this.states, state)),
      {
        unsubscribe: call.on('custom', ({ custom, user }) => push(this.events, { userId: user.id, custom })),
      },
    );
    this.device = call.microphone.registerVirtualDevice({
      label: 'agent',
      getUserMedia: () => ({ stream: source.createStream() as never }),
    });
  }

  /** Joins a call, which is created if there is none. */
  static async join(options: AgentOptions): Promise<Agent> {
    const keys = 'double' in options ? options.double : options;
    const { url, apiKey, apiSecret } = keys;
    const { userId, name = userId, callType = 'default', callId } = options;
    const server = new StreamClient(apiKey, apiSecret, { basePath: url });
    await server.upsertUsers([{ id: userId, name }]);
    const data = {
      created_by_id: userId,
      ...(options.settings === undefined ? {} : { settings_override: options.settings }),
    };
    await server.video.call(callType, callId).getOrCreate({ data });

    wrtcStack.installGlobals();
    const { StreamVideoClient } = await import('@stream-io/video-client');
    const client = new StreamVideoClient({
      apiKey,
      options: {
        baseURL: `${url}/video`,
        locationHintUrl: `${url}/hint`,
        allowServerSideConnect: true,
        clientEventsReportingEnabled: false,
        // What it has to complain about, tests bring about on purpose. This holds for all clients of the process.
        logOptions: { default: { level: 'error', sink: () => {} } },
      },
    });
    // All different, even within one second: an expired one must not be issued again.
    const token = async () =>
      server.generateUserToken({ user_id: userId, validity_in_seconds: TOKEN_SECONDS, jti: randomUUID() });
    await client.connectUser({ id: userId, name }, token);
    const agent = new Agent(userId, client, client.call(callType, callId), wrtcStack);
    try {
      await agent.enter(options.ring === true);
    } catch (error) {
      await agent.leave();
      throw error;
    }
    return agent;
  }

  get callingState(): string {
    return this.call.state.callingState;
  }

  get sessionId(): string | undefined {
    return this.call.state.localParticipant?.sessionId;
  }

  /** Says a steady tone from now on. `amplitude` is the peak, of 32767. */
  play(frequencyHz: number, amplitude = 8_000): void {
    this.voice.play(frequencyHz, amplitude);
  }

  /** Says nothing from now on; packets of silence are sent all the same. */
  silence(): void {
    this.voice.silence();
  }

  /** Says what `make` gives: 480 samples for each 10 ms. */
  playFrames(make: FrameMaker): void {
    this.voice.playFrames(make);
  }

  async mute(): Promise<void> {
    await this.call.microphone.disable();
  }

  async unmute(): Promise<void> {
    await this.call.microphone.enable();
  }

  /** How loud a frequency is heard: the peak of the sine, of the loudest remote user or of one in particular. */
  heard(frequencyHz: number, { from, seconds = 0.5 }: { from?: string; seconds?: number } = {}): number {
    return this.hearing.amplitude(frequencyHz, seconds, from);
  }

  /** Root mean square of the audio heard from the loudest remote user, or from a given one. */
  level({ from, seconds = 0.5 }: { from?: string; seconds?: number } = {}): number {
    return this.hearing.level(seconds, from);
  }

  /** The latest samples of a user, 48 kHz, up to 5 seconds. */
  latest(userId: string, seconds: number): Int16Array {
    return this.hearing.latest(userId, seconds);
  }

  /** The silences of a user between two sounds, 100 ms and longer, in order of time. */
  gaps(userId: string): readonly Gap[] {
    return this.hearing.gaps(userId);
  }

  /** Shares a screen that sounds: a steady tone, besides the voice. */
  async shareSound(frequencyHz: number, amplitude = 8_000): Promise<void> {
    const source = wrtcStack.createAudioSource();
    this.screen = new Voice(source);
    this.screen.play(frequencyHz, amplitude);
    await this.call.publish(source.createStream() as never, SfuModels.TrackType.SCREEN_SHARE_AUDIO);
  }

  async stopSharing(): Promise<void> {
    await this.call.stopPublish(SfuModels.TrackType.SCREEN_SHARE_AUDIO);
    this.screen?.stop();
  }

  /** Hands over every 10 ms that are heard of anybody. One listener at a time. */
  onFrame(listener: FrameListener | undefined): void {
    this.hearing.onFrame = listener;
  }

  remoteUserIds(): string[] {
    return this.hearing.userIds();
  }

  async sendEvent(custom: Record<string, unknown>): Promise<void> {
    await this.call.sendCustomEvent(custom);
  }

  async endCall(): Promise<void> {
    await this.call.endCall();
  }

  /** Leaves the call and disconnects; idempotent. */
  leave(): Promise<void> {
    this.leaving ??= this.exit();
    return this.leaving;
  }

  /** Disappears like a killed process: no goodbye, the sockets just break. */
  async crash(): Promise<void> {
    const { sfuClient } = this.call as unknown as Internals;
    if (sfuClient !== undefined) {
      // Otherwise the client would reconnect.
      sfuClient.isLeaving = true;
      const socket = sfuClient.signalWs;
      // Sockets of Node 22 and later can only be closed; to the SFU any code but 1000 means the same.
      if (socket.terminate === undefined) socket.close(4000);
      else socket.terminate();
    }
    await this.leave();
  }

  private async enter(isRinging: boolean): Promise<void> {
    const { call } = this;
    call.setStatsReportingIntervalInMs(0);
    // All that would ask a browser for something is answered or switched off.
    call.microphone.setSilenceThreshold(0);
    await call.microphone.disableSpeakingWhileMutedNotification();
    await call.camera.disable();
    await call.microphone.select(this.device.deviceId);
    await call.microphone.enable();
    await call.join({ create: false, ring: isRinging });
  }

  private async exit(): Promise<void> {
    for (const subscription of this.subscriptions.splice(0)) subscription.unsubscribe();
    this.hearing.close();
    this.voice.stop();
    this.screen?.stop();
    await this.call.leave().catch(() => {});
    await this.client.disconnectUser().catch(() => {});
  }
}

function push<Item>(history: Item[], item: Item): void {
  history.push(item);
  if (history.length > MAX_EVENTS) history.shift();
}
