import { core } from '../../media/thread-core.js';
import type { PhoneLine, Program } from '../bridge.js';
import { isMixDue, MixInputs, NO_INPUTS } from '../mix-turn.js';
import { PATIENCE_FRAMES, type RoomMember } from './member.js';
import { Monitor } from './monitor.js';
import { PhoneMember } from './phone-member.js';
import { ProgramMember } from './program-member.js';

export type { RoomMember } from './member.js';

/**
 * In a mix, audio sent in advance only puts its sender out of step with the others: one frame, and half of one for a late
 * timer.
 */
const MIXED_AHEAD_MS = 30;

/**
 * Phones and programs that hear each other. No clock is needed: audio moves when audio arrives.
 * - one member: it hears its own echo, if it is a phone and no program has ever been here
 * - two: each frame goes straight to the other, without mixing
 * - more: a mix is made as soon as every talking member has a frame; a member that falls behind by two frames
 *   (40 ms) is left out of the mix until it talks again
 *
 * A ringing phone is in the room but does not count until it is answered. Programs that only listen are not members: they
 * hear the {@link Monitor}.
 */
export class Room {
  readonly monitor = new Monitor();
  /** Replaced, never mutated: a member may leave during the loop. */
  private members: readonly RoomMember[] = [];
  private listeners: readonly ProgramMember[] = [];
  private inputs = NO_INPUTS;
  /** False once a program has joined: after it leaves, the caller must not suddenly hear an echo. */
  private echoes = true;

  /**
   * @param onEmpty called when the last member has left
   * @param directMs how far ahead of a listener audio may be sent without mixing, in milliseconds
   */
  constructor(
    private readonly onEmpty: () => void = () => {},
    private readonly directMs = MIXED_AHEAD_MS,
  ) {}

  get size(): number {
    return this.members.length + this.listeners.length;
  }

  get phones(): PhoneMember[] {
    return this.members.filter((member) => member instanceof PhoneMember);
  }

  /** All programs, including those that only listen. */
  get programs(): Program[] {
    return [...this.members.filter((member) => member instanceof ProgramMember), ...this.listeners].map(
      ({ program }) => program,
    );
  }

  /** How far ahead of its listener a program may send, in milliseconds. */
  get aheadMs(): number {
    return this.liveCount() < 3 ? this.directMs : MIXED_AHEAD_MS;
  }

  /** The phone's lead in milliseconds; 0 in a mix, where a stalled phone must not silence the others. */
  get leadMs(): number {
    if (this.liveCount() > 2) return 0;
    for (const member of this.members) {
      if (member.isLive && member instanceof PhoneMember) return member.line.leadMs ?? 0;
    }
    return 0;
  }

  join(line: PhoneLine, callId = ''): PhoneMember {
    const member = new PhoneMember(this, line, callId);
    this.resize([...this.members, member]);
    return member;
  }

  joinProgram(program: Program, onlyListens: boolean): ProgramMember {
    const member = new ProgramMember(this, program, onlyListens);
    if (onlyListens) this.listen([...this.listeners, member]);
    else {
      this.echoes = false;
      this.resize([...this.members, member]);
    }
    return member;
  }

  leave(member: RoomMember): void {
    if (this.members.includes(member)) this.resize(this.members.filter((other) => other !== member));
    else this.listen(this.listeners.filter((other) => other !== member));
    if (this.size === 0) this.onEmpty();
  }

  /** Passes on or mixes a member's frame. */
  pushFrame(member: RoomMember, frame: Int16Array, stamp: number): void {
    this.monitor.pushFrame(member, frame, stamp);
    if (this.liveCount() < 3) {
      this.partnerOf(member)?.ear.write(frame, stamp);
      return;
    }
    member.queue.push(frame, stamp);
    member.talks = true;
    while (isMixDue(this.members, PATIENCE_FRAMES)) this.mix();
  }

  private liveCount(): number {
    let count = 0;
    for (const member of this.members) if (member.isLive) count += 1;
    return count;
  }

  /** The other one of two members; a lone phone is its own partner, for the echo. */
  private partnerOf(member: RoomMember): RoomMember | undefined {
    for (const other of this.members) if (other !== member && other.isLive) return other;
    return this.echoes ? member : undefined;
  }

  private mix(): void {
    const { members, inputs } = this;
    const stamp = inputs.take(members);
    core.mixMinus(inputs.samples, inputs.active, inputs.samples);
    for (let i = 0; i < members.length; i++) {
      const member = members[i] as RoomMember;
      if (!member.hasLeft && member.isLive) member.ear.write(inputs.frames[i] as Int16Array, stamp);
    }
  }

  private listen(listeners: readonly ProgramMember[]): void {
    this.listeners = listeners;
    this.follow();
  }

  private follow(): void {
    this.monitor.follow(
      this.members,
      this.listeners.map(({ program }) => program),
    );
  }

  private resize(members: readonly RoomMember[]): void {
    this.members = members;
    this.inputs = members.length < 3 ? NO_INPUTS : new MixInputs(members.length);
    this.follow();
    const live = this.liveCount();
    if (live > 2) return;
    // Without a mix, queued frames go straight to the other member.
    for (const member of members) {
      if (!member.isWaiting) continue;
      const partner = live === 2 ? this.partnerOf(member) : undefined;
      if (partner === undefined) member.queue.clear();
      else member.queue.drainInto(partner.ear);
    }
  }
}
