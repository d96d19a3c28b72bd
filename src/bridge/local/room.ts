import { FRAME_SAMPLES } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import { core } from '../../media/native.js';
import type { PhoneLine } from '../bridge.js';

/** A member this many frames ahead of another no longer waits for it. */
const PATIENCE_FRAMES = 2;
/** Most frames of a member that wait to be mixed: 100 ms. */
const QUEUE_FRAMES = 5;

/**
 * Phones that hear each other. No clock is needed: audio moves when audio arrives.
 * - one member: the echo agent answers it
 * - two: each frame goes straight to the other, there is nothing to mix
 * - more: a mix is made as soon as every talking member has a frame; a member that falls behind by two frames
 *   (40 ms) is left out of the mix until it talks again
 */
export class Room {
  /** Frames dropped because a member was too far ahead of the others. */
  dropped = 0;
  private readonly members: RoomMember[] = [];
  private inputs = new Int16Array(0);
  private outputs = new Int16Array(0);
  private active = new Uint8Array(0);
  private inputFrames: Int16Array[] = [];
  private outputFrames: Int16Array[] = [];

  constructor(readonly name: string) {}

  get size(): number {
    return this.members.length;
  }

  join(line: PhoneLine): RoomMember {
    const member = new RoomMember(this, line);
    this.members.push(member);
    this.resize();
    return member;
  }

  leave(member: RoomMember): void {
    const index = this.members.indexOf(member);
    if (index < 0) return;
    this.members.splice(index, 1);
    this.resize();
  }

  /** A member's frame has come in. */
  hear(member: RoomMember, frame: Int16Array, stamp: number): void {
    switch (this.members.length) {
      case 1:
        member.line.write(frame, stamp);
        return;
      case 2: {
        const other = this.members[0] === member ? this.members[1] : this.members[0];
        (other as RoomMember).line.write(frame, stamp);
        return;
      }
      default:
        if (member.queue.push(frame, stamp)) this.dropped += 1;
        member.talks = true;
        while (this.isMixDue()) this.mix();
    }
  }

  /** Every talking member has a frame, or somebody has waited long enough. */
  private isMixDue(): boolean {
    let longest = 0;
    let missing = false;
    for (const member of this.members) {
      if (member.queue.length > longest) longest = member.queue.length;
      if (member.talks && member.queue.length === 0) missing = true;
    }
    if (longest === 0) return false;
    if (!missing) return true;
    if (longest <= PATIENCE_FRAMES) return false;
    for (const member of this.members) if (member.queue.length === 0) member.talks = false;
    return true;
  }

  private mix(): void {
    let mixed = 0;
    let stamp = 0;
    for (let i = 0; i < this.members.length; i++) {
      const member = this.members[i] as RoomMember;
      const frame = member.queue.oldest;
      this.active[i] = frame === undefined ? 0 : 1;
      if (frame === undefined) continue;
      (this.inputFrames[i] as Int16Array).set(frame);
      // The mix is as old as the frame in it that waited longest (stamps wrap, hence the subtraction).
      const arrived = member.queue.oldestStamp;
      if (mixed++ === 0 || ((arrived - stamp) | 0) < 0) stamp = arrived;
      member.queue.drop();
    }
    core.mixMinus(this.inputs, this.active, this.outputs);
    // A line may hang up while it is written to; the list must then not shift under the loop.
    const { members } = this;
    for (let i = members.length - 1; i >= 0; i--) {
      (members[i] as RoomMember).line.write(this.outputFrames[i] as Int16Array, stamp);
    }
  }

  /** Buffers follow the number of members. With fewer than three nothing waits, so nobody is heard late. */
  private resize(): void {
    const count = this.members.length;
    if (count < 3) {
      for (const member of this.members) member.queue.clear();
      return;
    }
    this.inputs = new Int16Array(count * FRAME_SAMPLES);
    this.outputs = new Int16Array(count * FRAME_SAMPLES);
    this.active = new Uint8Array(count);
    const frames = (of: Int16Array) =>
      Array.from({ length: count }, (_, i) => of.subarray(i * FRAME_SAMPLES, (i + 1) * FRAME_SAMPLES));
    this.inputFrames = frames(this.inputs);
    this.outputFrames = frames(this.outputs);
  }
}

/** One phone in a room. */
export class RoomMember {
  readonly queue = new FrameRing(QUEUE_FRAMES);
  /** Whether others wait for its frames before they mix. */
  talks = false;

  constructor(
    private readonly room: Room,
    readonly line: PhoneLine,
  ) {}

  write(frame: Int16Array, stamp: number): void {
    this.room.hear(this, frame, stamp);
  }

  /** In a room of phones a key is heard as the tone it made; nobody else needs to know. */
  dtmf(): void {}

  close(): void {
    this.room.leave(this);
  }
}
