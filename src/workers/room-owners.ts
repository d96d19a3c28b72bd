import { GatewayError } from '../errors.js';
import type { PostOffice } from './post-office.js';

/** Most bytes of a room's name: 256 characters of a decision, and the prefix of a Stream call or a number. */
const MAX_ROOM_BYTES = 1_280;
/** Most rooms of a machine: far above the calls and programs that it can carry. */
const MAX_ROOMS = 200_000;

/** Names of the requests to the supervisor. */
export const PLACE_ROOM = 'room.place';
export const RELEASE_ROOM = 'room.release';

/** Which worker has a room. */
export interface RoomPlacement {
  readonly owner: number;
  /** Grows with every placement: an owner that does not know the newest one keeps the room a little longer. */
  readonly generation: number;
}

/** What a worker asks with {@link PLACE_ROOM}. */
export interface PlaceRoom {
  readonly room: string;
  /** An owner that did not take the caller: gone, or draining. The room moves to the worker that asks. */
  readonly refused?: RoomPlacement;
}

/** What its owner asks with {@link RELEASE_ROOM}. */
export interface ReleaseRoom {
  readonly room: string;
  readonly generation: number;
}

/**
 * The supervisor's table of rooms: a room belongs to the worker that asked for it first, until that worker
 * has released it or is gone.
 */
export class RoomOwners {
  private readonly rooms = new Map<string, RoomPlacement>();
  private lastGeneration = 0;

  constructor(
    office: Pick<PostOffice, 'handle' | 'onGone'>,
    private readonly maxRooms = MAX_ROOMS,
  ) {
    office.handle(PLACE_ROOM, (about, from) => this.place(about as PlaceRoom, from));
    office.handle(RELEASE_ROOM, (about, from) => this.release(about as ReleaseRoom, from));
    office.onGone((worker) => this.free(worker));
  }

  /** Number of rooms that have an owner. */
  get size(): number {
    return this.rooms.size;
  }

  /** @throws GatewayError `GW_BAD_REQUEST` for a name that is too long, `GW_FULL` (503) for too many rooms */
  private place({ room, refused }: PlaceRoom, asker: number): RoomPlacement {
    const bytes = Buffer.byteLength(room);
    if (bytes > MAX_ROOM_BYTES) {
      const message = `Expected at most ${MAX_ROOM_BYTES} bytes for a room but received ${bytes}`;
      throw new GatewayError('GW_BAD_REQUEST', message);
    }
    const known = this.rooms.get(room);
    if (known === undefined && this.rooms.size >= this.maxRooms) {
      throw new GatewayError('GW_FULL', `The machine already has ${this.maxRooms} rooms`);
    }
    // Another worker may have met the same refusal, and have the room by now.
    const owner = known === undefined || known.owner === refused?.owner ? asker : known.owner;
    this.lastGeneration += 1;
    const placement = { owner, generation: this.lastGeneration };
    this.rooms.set(room, placement);
    return placement;
  }

  /** @returns undefined if the room is free now, or never was the worker's; else its placement, to try again later */
  private release({ room, generation }: ReleaseRoom, from: number): RoomPlacement | undefined {
    const known = this.rooms.get(room);
    if (known?.owner !== from) return undefined;
    if (known.generation !== generation) return known;
    this.rooms.delete(room);
    return undefined;
  }

  private free(worker: number): void {
    for (const [room, { owner }] of this.rooms) if (owner === worker) this.rooms.delete(room);
  }
}
