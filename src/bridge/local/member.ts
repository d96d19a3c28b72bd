import type { FrameSink } from '../../media/frame.js';
import { FrameRing } from '../../media/frame-ring.js';
import type { Turn } from '../mix-turn.js';
import type { Room } from './room.js';

/** A member this many frames ahead of another no longer waits for it. */
export const PATIENCE_FRAMES = 2;

/** Where a member hears the others. */
export interface RoomEar extends FrameSink {
  /** Whether somebody listens there: a phone that still rings is in the room, but counts for nothing. */
  readonly isLive: boolean;
}

/** One that talks and hears in a room. */
export class RoomMember implements Turn {
  readonly queue = new FrameRing(PATIENCE_FRAMES + 1);
  talks = true;
  hasLeft = false;

  constructor(
    protected readonly room: Room,
    readonly ear: RoomEar,
  ) {}

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
