import { FRAME_SAMPLES } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import { core } from '../../media/thread-core.js';
import type { BridgeLeg, PhoneLine } from '../bridge.js';

/** A member this many frames ahead of another no longer waits for it. */
const PATIENCE_FRAMES = 2;

/**
 * Phones that hear each other. No clock is needed: audio moves when audio arrives.
 * - one member: the echo agent answers it
 * - two: each frame goes straight to the other, there is nothing to mix
 * - more: a mix is made as soon as every talking member has a frame; a member that falls behind by two frames
 *   (40 ms) is left out of the mix until it talks again
 *
 * A phone that still rings is in the room, but counts for nothing until somebody is on it.
 */
export class Room {
  /** Replaced, never changed: a line that leaves while it is written to does not disturb the loop. */
  private members: readonly RoomMember[] = [];
  private buffers = new MixBuffers(0);

  /** @param onEmpty called when the last one has left */
  constructor(private readonly onEmpty: () => void = () => {}) {}

  get size(): number {
    return this.members.length;
  }

  join(line: PhoneLine): RoomMember {
    const member = new RoomMember(this, line);
    this.resize([...this.members, member]);
    return member;
  }

  leave(member: RoomMember): void {
    this.resize(this.members.filter((other) => other !== member));
    if (this.members.length === 0) this.onEmpty();
  }

  /** Takes a member's frame. */
  take(member: RoomMember, frame: Int16Array, stamp: number): void {
    if (this.liveCount() < 3) {
      this.partnerOf(member).line.write(frame, stamp);
      return;
    }
    member.queue.push(frame, stamp);
    member.talks = true;
    while (this.isMixDue()) this.mix();
  }

  private liveCount(): number {
    let count = 0;
    for (const member of this.members) if (member.line.isLive) count += 1;
    return count;
  }

  /** The other of two; a lone member is its own partner, by the echo agent. */
  private partnerOf(member: RoomMember): RoomMember {
    for (const other of this.members) if (other !== member && other.line.isLive) return other;
    return member;
  }

  /** Every talking member has a frame, or somebody has waited long enough. */
  private isMixDue(): boolean {
    let longest = 0;
    let missing = false;
    for (const member of this.members) {
      if (member.queue.length > longest) longest = member.queue.length;
      if (member.talks && member.line.isLive && member.queue.length === 0) missing = true;
    }
    if (longest === 0) return false;
    if (!missing) return true;
    if (longest <= PATIENCE_FRAMES) return false;
    this.stopWaiting();
    return true;
  }

  private stopWaiting(): void {
    for (const member of this.members) if (member.queue.length === 0) member.talks = false;
  }

  private mix(): void {
    const { members, buffers } = this;
    let mixed = 0;
    let stamp = 0;
    for (let i = 0; i < members.length; i++) {
      const { queue } = members[i] as RoomMember;
      const frame = queue.oldest;
      buffers.active[i] = frame === undefined ? 0 : 1;
      if (frame === undefined) continue;
      (buffers.inputFrames[i] as Int16Array).set(frame);
      // The mix is as old as the frame in it that waited longest (stamps wrap, hence the subtraction).
      const arrived = queue.oldestStamp;
      if (mixed++ === 0 || ((arrived - stamp) | 0) < 0) stamp = arrived;
      queue.drop();
    }
    core.mixMinus(buffers.inputs, buffers.active, buffers.outputs);
    for (let i = 0; i < members.length; i++) {
      const member = members[i] as RoomMember;
      if (!member.hasLeft && member.line.isLive)
        member.line.write(buffers.outputFrames[i] as Int16Array, stamp);
    }
  }

  private resize(members: readonly RoomMember[]): void {
    this.members = members;
    this.buffers = new MixBuffers(members.length < 3 ? 0 : members.length);
    const live = this.liveCount();
    if (live > 2) return;
    // Nothing waits any more: what was to be mixed goes straight to the other.
    for (const member of members) {
      if (live === 2) member.queue.drainInto(this.partnerOf(member).line);
      else member.queue.clear();
    }
  }
}

/** One phone in a room. */
export class RoomMember implements BridgeLeg {
  readonly queue = new FrameRing(PATIENCE_FRAMES + 1);
  /** Whether others wait for its frames before they mix. */
  talks = true;
  hasLeft = false;

  constructor(
    private readonly room: Room,
    readonly line: PhoneLine,
  ) {}

  write(frame: Int16Array, stamp: number): void {
    if (!this.hasLeft) this.room.take(this, frame, stamp);
  }

  /** In a room of phones a key is heard as the tone it made; nobody else needs to know. */
  dtmf(): void {}

  close(): void {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.room.leave(this);
  }
}

/** Memory of a mix: everybody's frames one after the other, and a view of each, made once. */
class MixBuffers {
  readonly inputs: Int16Array;
  readonly outputs: Int16Array;
  readonly active: Uint8Array;
  readonly inputFrames: readonly Int16Array[];
  readonly outputFrames: readonly Int16Array[];

  constructor(members: number) {
    this.inputs = new Int16Array(members * FRAME_SAMPLES);
    this.outputs = new Int16Array(members * FRAME_SAMPLES);
    this.active = new Uint8Array(members);
    const frames = (of: Int16Array) =>
      Array.from({ length: members }, (_, i) => of.subarray(i * FRAME_SAMPLES, (i + 1) * FRAME_SAMPLES));
    this.inputFrames = frames(this.inputs);
    this.outputFrames = frames(this.outputs);
  }
}
