import type { Clock } from '../../clock.js';
import { FRAME_SAMPLES, SAMPLE_RATE } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import { core } from '../../media/thread-core.js';
import { type IngressTime, ingressNow } from '../../telemetry/ingress-time.js';
import { isMixDue, MixInputs, type Turn } from '../mix-turn.js';
import { loudnessOf, packLoudness } from './loudness.js';
import { type AudioSink, type AudioStream, BLOCK_MS, BLOCK_SAMPLES, type RtcStack } from './rtc-stack.js';
import { Tail } from './tail.js';

/** A voice that is further behind another is left out of the mix. */
const PATIENCE_MS = 20;
/** Blocks of a voice that may wait for the others. */
const WAITING_BLOCKS = 3;
const SILENCE = new Int16Array(FRAME_SAMPLES);

/** A session of a participant, with its audio while it sends any. */
export interface Speaker {
  readonly sessionId: string;
  readonly userId?: string;
  readonly audioStream?: AudioStream | undefined;
}

/** Takes what a participant hears. */
export interface Listener {
  /** Takes 20 ms. @param loudness of the programs in its halves, see {@link packLoudness} */
  write(frame: Int16Array, stamp: IngressTime, loudness: number): void;
}

/** Mixes the voices of all other participants into frames of 20 ms for the phone. */
export class RemoteMixer {
  private voices: readonly RemoteVoice[] = [];
  private speakers: readonly Speaker[] = [];
  private onSilent: (() => void) | undefined;
  private inputs: MixInputs;
  /** A block of the stack: half a frame, or all of it. */
  private readonly blockSamples: number;
  private readonly blockMs: number;
  private readonly mixed: Int16Array;
  private readonly silence: Int16Array;
  private readonly frame = new Int16Array(FRAME_SAMPLES);
  private readonly halves = [
    this.frame.subarray(0, BLOCK_SAMPLES),
    this.frame.subarray(BLOCK_SAMPLES),
  ] as const;
  private half = 0;
  private stamp: IngressTime = 0;
  /** Users who are programs of this gateway. */
  private programs: readonly string[] = [];
  /** How loud programs were in the first half of the frame, and are in the current block; 0 while none is there. */
  private loudBefore = 0;
  private loud = 0;

  constructor(
    private readonly stack: RtcStack,
    private readonly sink: Listener,
    private readonly clock: Clock,
  ) {
    this.blockSamples = stack.blockSamples;
    this.blockMs = (BLOCK_MS * stack.blockSamples) / BLOCK_SAMPLES;
    this.inputs = new MixInputs(0, stack.blockSamples);
    this.mixed = new Int16Array(stack.blockSamples);
    this.silence = SILENCE.subarray(0, stack.blockSamples);
  }

  /**
   * Listens to exactly these sessions. A replaced stream, e.g. after a reconnect, is subscribed again. The last audio of a
   * participant who has left is played to its end.
   */
  listenTo(speakers: readonly Speaker[]): void {
    this.speakers = speakers;
    const present = new Set(speakers.map(({ sessionId }) => sessionId));
    const heard = new Map(this.voices.map((voice) => [voice.stream, voice]));
    const voices: RemoteVoice[] = [];
    for (const { sessionId, userId, audioStream } of speakers) {
      const [track] = audioStream?.getAudioTracks() ?? [];
      if (audioStream === undefined || track === undefined) continue;
      const known = heard.get(audioStream);
      known?.stay();
      heard.delete(audioStream);
      voices.push(
        known ??
          new RemoteVoice(sessionId, userId, audioStream, this.blockSamples, (voice) =>
            this.stack.createAudioSink(track, (samples, sampleRate) => this.hear(voice, samples, sampleRate)),
          ),
      );
    }
    for (const voice of heard.values()) {
      const isLeaving = !present.has(voice.sessionId) && !voice.isSpent;
      if (isLeaving) {
        voice.tail ??= new Tail(this.clock, () => this.spend(voice));
        voices.push(voice);
      } else voice.close();
    }
    if (voices.length === this.voices.length && voices.every((voice) => this.voices.includes(voice))) return;
    // Audio queued for a mix with other voices would be stale in the next one.
    for (const voice of voices) {
      voice.queue.clear();
      voice.isProgram = this.isProgram(voice);
    }
    this.voices = voices;
    this.inputs = new MixInputs(voices.length, this.blockSamples);
  }

  /** Sets which users are programs, whose loudness is reported with each frame. */
  followPrograms(userIds: readonly string[]): void {
    this.programs = userIds;
    for (const voice of this.voices) voice.isProgram = this.isProgram(voice);
  }

  /** Leaves a user's voice out of the mix for so many milliseconds. */
  hush(userId: string, ms: number): void {
    for (const voice of this.voices)
      if (voice.userId === userId) voice.hushedBlocks = Math.ceil(ms / this.blockMs);
  }

  /** Plays the audio still on its way, then stops listening. */
  async finish(): Promise<void> {
    const silent = new Promise<void>((resolve) => {
      this.onSilent = resolve;
    });
    this.listenTo([]);
    if (this.voices.length > 0) await silent;
  }

  close(): void {
    for (const voice of this.voices) voice.close();
    this.voices = [];
    this.onSilent?.();
  }

  private isProgram({ userId }: RemoteVoice): boolean {
    return userId !== undefined && this.programs.includes(userId);
  }

  private spend(voice: RemoteVoice): void {
    voice.isSpent = true;
    this.listenTo(this.speakers);
    if (this.voices.length === 0) this.onSilent?.();
  }

  private hear(voice: RemoteVoice, samples: Int16Array, sampleRate: number): void {
    // Before the first packet the track delivers silence at another rate.
    if (sampleRate !== SAMPLE_RATE || samples.length !== this.blockSamples) return;
    const stamp = ingressNow(this.clock);
    if (this.voices.length === 1) {
      this.forgetLoudness();
      this.heed(voice, samples);
      this.emit(voice.isHushed() ? this.silence : samples, stamp);
    } else {
      voice.talks = true;
      voice.queue.push(samples, stamp);
      while (isMixDue(this.voices, PATIENCE_MS / this.blockMs)) this.mix();
    }
    voice.tail?.pushFrame(samples);
  }

  private mix(): void {
    const { voices, inputs } = this;
    const stamp = inputs.take(voices);
    this.forgetLoudness();
    for (let i = 0; i < voices.length; i++) {
      const voice = voices[i] as RemoteVoice;
      if (inputs.active[i] === 0) continue;
      this.heed(voice, inputs.frames[i] as Int16Array);
      if (voice.isHushed()) inputs.active[i] = 0;
    }
    core.mix(inputs.samples, inputs.active, this.mixed);
    this.emit(this.mixed, stamp);
  }

  private forgetLoudness(): void {
    this.loud = 0;
    if (this.blockSamples === FRAME_SAMPLES) this.loudBefore = 0;
  }

  /** Notes how loud a program is. */
  private heed(voice: RemoteVoice, samples: Int16Array): void {
    if (!voice.isProgram) return;
    const second = samples.length - BLOCK_SAMPLES;
    if (second > 0) this.loudBefore = Math.max(this.loudBefore, loudnessOf(samples, 0, second));
    this.loud = Math.max(this.loud, loudnessOf(samples, second));
  }

  private emit(block: Int16Array, stamp: IngressTime): void {
    if (block.length === FRAME_SAMPLES) {
      this.sink.write(block, stamp, packLoudness(this.loudBefore, this.loud));
      return;
    }
    // A frame is as old as its first half.
    if (this.half === 0) {
      this.stamp = stamp;
      this.loudBefore = this.loud;
    }
    (this.halves[this.half] as Int16Array).set(block);
    this.half ^= 1;
    if (this.half === 0) this.sink.write(this.frame, this.stamp, packLoudness(this.loudBefore, this.loud));
  }
}

/** One remote track and its blocks that wait to be mixed. */
class RemoteVoice implements Turn {
  readonly queue: FrameRing;
  readonly isLive = true;
  talks = false;
  /** The audio still on its way after the participant has left. */
  tail: Tail | undefined;
  isSpent = false;
  isProgram = false;
  /** Blocks that are still left out of the mix. */
  hushedBlocks = 0;
  private readonly sink: AudioSink;

  constructor(
    readonly sessionId: string,
    readonly userId: string | undefined,
    readonly stream: AudioStream,
    blockSamples: number,
    open: (voice: RemoteVoice) => AudioSink,
  ) {
    this.queue = new FrameRing(WAITING_BLOCKS, blockSamples);
    this.sink = open(this);
  }

  /** Whether its next block is left out of the mix. */
  isHushed(): boolean {
    if (this.hushedBlocks === 0) return false;
    this.hushedBlocks -= 1;
    return true;
  }

  /** The participant has returned. */
  stay(): void {
    this.tail?.close();
    this.tail = undefined;
  }

  close(): void {
    this.tail?.close();
    this.sink.stop();
  }
}
