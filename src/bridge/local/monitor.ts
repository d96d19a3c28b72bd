import { FRAME_SAMPLES } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import { core } from '../../media/thread-core.js';
import type { Program } from '../bridge.js';
import { isMixDue, MixInputs, type Turn } from '../mix-turn.js';
import type { RoomMember } from './member.js';

/**
 * A voice this many frames (160 ms) behind another is no longer waited for: who only listens can wait, and a program's
 * voice comes in advance of the phones'.
 */
const PATIENCE_FRAMES = 8;

/** Everybody's voice in one mix, for those who only listen. Costs nothing while nobody does. */
export class Monitor {
  private listeners: readonly Program[] = [];
  private voices: readonly Voice[] = [];
  private inputs = new MixInputs(0);
  private readonly mixed = new Int16Array(FRAME_SAMPLES);

  /** These talk and those listen, from here on. */
  follow(members: readonly RoomMember[], listeners: readonly Program[]): void {
    this.listeners = listeners;
    const known = new Map(this.voices.map((voice) => [voice.member, voice]));
    this.voices =
      listeners.length === 0 ? [] : members.map((member) => known.get(member) ?? new Voice(member));
    this.inputs = new MixInputs(this.voices.length);
  }

  /** Takes a member's frame. */
  pushFrame(member: RoomMember, frame: Int16Array, stamp: number): void {
    if (this.listeners.length === 0) return;
    const voice = this.voiceOf(member);
    if (voice === undefined) return;
    voice.talks = true;
    voice.queue.push(frame, stamp);
    while (isMixDue(this.voices, PATIENCE_FRAMES)) this.mix();
  }

  /** A member says nothing for now: nobody waits for it. */
  stopWaitingFor(member: RoomMember): void {
    const voice = this.voiceOf(member);
    if (voice !== undefined) voice.talks = false;
  }

  /** What of a member's voice waits will not be heard. */
  forget(member: RoomMember): void {
    this.voiceOf(member)?.queue.clear();
  }

  private mix(): void {
    const stamp = this.inputs.take(this.voices);
    core.mix(this.inputs.samples, this.inputs.active, this.mixed);
    for (const listener of this.listeners) listener.write(this.mixed, stamp);
  }

  private voiceOf(member: RoomMember): Voice | undefined {
    for (const voice of this.voices) if (voice.member === member) return voice;
    return undefined;
  }
}

/** What of a member's voice waits to be heard by the listeners. */
class Voice implements Turn {
  readonly queue = new FrameRing(PATIENCE_FRAMES + 1);
  talks = false;

  constructor(readonly member: RoomMember) {}

  get isLive(): boolean {
    return this.member.isLive;
  }
}
