import { FRAME_SAMPLES } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import { core } from '../../media/thread-core.js';
import type { Program } from '../bridge.js';
import { isMixDue, MixInputs, NO_INPUTS, type Turn } from '../mix-turn.js';
import type { RoomMember } from './member.js';

/**
 * A voice more than this many frames (160 ms) behind another is left out. Listeners can wait that long, and a program sends its
 * voice ahead of the phones.
 */
const PATIENCE_FRAMES = 8;

/** Mixes all voices for programs that only listen. Costs nothing without listeners. */
export class Monitor {
  private listeners: readonly Program[] = [];
  private voices: readonly MemberVoice[] = [];
  private inputs = NO_INPUTS;
  /** Created for the first mix. */
  private mixed: Int16Array | undefined;

  /** Sets the members to mix and the listeners. */
  follow(members: readonly RoomMember[], listeners: readonly Program[]): void {
    if (listeners.length === 0 && this.listeners.length === 0) return;
    this.listeners = listeners;
    const known = new Map(this.voices.map((voice) => [voice.member, voice]));
    this.voices =
      listeners.length === 0 ? [] : members.map((member) => known.get(member) ?? new MemberVoice(member));
    this.inputs = new MixInputs(this.voices.length);
  }

  /** Queues a member's frame and mixes when all have one. */
  pushFrame(member: RoomMember, frame: Int16Array, stamp: number): void {
    if (this.listeners.length === 0) return;
    const voice = this.voiceOf(member);
    if (voice === undefined) return;
    voice.talks = true;
    voice.queue.push(frame, stamp);
    while (isMixDue(this.voices, PATIENCE_FRAMES)) this.mix();
  }

  /** The member has stopped talking: the mix no longer waits for it. */
  stopWaitingFor(member: RoomMember): void {
    const voice = this.voiceOf(member);
    if (voice !== undefined) voice.talks = false;
  }

  /** Drops a member's queued audio. */
  forget(member: RoomMember): void {
    this.voiceOf(member)?.queue.clear();
  }

  private mix(): void {
    const stamp = this.inputs.take(this.voices);
    this.mixed ??= new Int16Array(FRAME_SAMPLES);
    const { mixed } = this;
    core.mix(this.inputs.samples, this.inputs.active, mixed);
    for (const listener of this.listeners) listener.write(mixed, stamp);
  }

  private voiceOf(member: RoomMember): MemberVoice | undefined {
    for (const voice of this.voices) if (voice.member === member) return voice;
    return undefined;
  }
}

/** A member's audio queued for the listeners. */
class MemberVoice implements Turn {
  readonly queue = new FrameRing(PATIENCE_FRAMES + 1);
  talks = false;

  constructor(readonly member: RoomMember) {}

  get isLive(): boolean {
    return this.member.isLive;
  }
}
