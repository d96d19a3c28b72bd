import type { FrameSink } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import type { Turn } from '../mix-turn.js';
import type { Room } from './room.js';

/** A member this many frames ahead of another stops waiting for it. */
export const PATIENCE_FRAMES = 2;

/** Where a member hears the others. */
export interface RoomEar extends FrameSink {
  /** False for a ringing phone: it is in the room but does not count. */
  readonly isLive: boolean;
}

/** A phone or program that talks and listens in a room. */
export class RoomMember implements Turn {
  talks = true;
  hasLeft = false;
  private waiting: FrameRing | undefined;

  constructor(
    protected readonly room: Room,
    readonly ear: RoomEar,
  ) {}

  /** Its frames that wait for the others'. Most members never need it: two hear each other without a mix. */
  get queue(): FrameRing {
    this.waiting ??= new FrameRing(PATIENCE_FRAMES + 1);
    return this.waiting;
  }

  /** Whether frames of it wait. */
  get isWaiting(): boolean {
    return this.waiting !== undefined && this.waiting.length > 0;
  }

  get isLive(): boolean {
    return this.ear.isLive;
  }

  write(frame: Int16Array, stamp: number): void {
    if (!this.hasLeft) this.room.pushFrame(this, frame, stamp);
  }

  /** Leaves; idempotent. */
  close(): void {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.room.leave(this);
  }
}
