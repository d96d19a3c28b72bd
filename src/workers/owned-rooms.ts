import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { type Peers, SUPERVISOR } from './peers.js';
import {
  PLACE_ROOM,
  type PlaceRoom,
  RELEASE_ROOM,
  type ReleaseRoom,
  type RoomPlacement,
} from './room-owners.js';

/** How soon a room is released again after another worker had just sent a caller to it. */
const RETRY_MS = 5_000;

interface OwnedRoom {
  /** The newest generation that this worker has heard of. */
  generation: number;
  /** Calls and programs in the room, and those about to join. */
  tenants: number;
  retry: Timer | undefined;
}

/** The rooms that this worker owns, each kept for as long as somebody is in it. */
export class OwnedRooms {
  private readonly rooms = new Map<string, OwnedRoom>();

  constructor(
    private readonly peers: Peers,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** Number of rooms that this worker owns. */
  get size(): number {
    return this.rooms.size;
  }

  /**
   * Finds the worker that has a room. If it is this one, the caller {@link hold}s the room and has to
   * {@link leave} it.
   * @param refused an owner that did not take the call
   * @throws GatewayError `GW_NODE_GONE` (503) without a supervisor, `GW_FULL` (503)
   */
  async place(room: string, refused?: RoomPlacement): Promise<RoomPlacement> {
    const about: PlaceRoom = { room, ...(refused === undefined ? {} : { refused }) };
    const placement = (await this.peers.request(SUPERVISOR, PLACE_ROOM, about)) as RoomPlacement;
    if (placement.owner === this.peers.self) this.hold(room, placement.generation);
    return placement;
  }

  /**
   * Keeps a room for a tenant whom another worker sends here. A room without tenants may have been released
   * since then, so its owner is asked for again.
   * @param generation of the placement that led here
   * @throws GatewayError `GW_NODE_GONE` (503) if another worker has the room now, or without a supervisor
   */
  async receive(room: string, generation: number): Promise<void> {
    if ((this.rooms.get(room)?.tenants ?? 0) > 0) {
      this.hold(room, generation);
      return;
    }
    const { owner } = await this.place(room);
    if (owner !== this.peers.self)
      throw new GatewayError('GW_NODE_GONE', 'The room has moved to another worker');
  }

  /** Keeps a room for one more tenant. @param generation of the placement that led here, if any */
  hold(room: string, generation = 0): void {
    const known = this.rooms.get(room);
    if (known === undefined) {
      this.rooms.set(room, { generation, tenants: 1, retry: undefined });
      return;
    }
    this.clock.cancel(known.retry);
    known.retry = undefined;
    known.tenants += 1;
    known.generation = Math.max(known.generation, generation);
  }

  /** One tenant has left: the last one frees the room for any worker. */
  leave(room: string): void {
    const known = this.rooms.get(room);
    if (known === undefined) return;
    known.tenants -= 1;
    if (known.tenants === 0) void this.release(room, known);
  }

  /** Forgets what would be retried. */
  close(): void {
    for (const { retry } of this.rooms.values()) this.clock.cancel(retry);
    this.rooms.clear();
  }

  private async release(room: string, known: OwnedRoom): Promise<void> {
    if (!this.isEmpty(room, known)) return;
    const { generation } = known;
    const about: ReleaseRoom = { room, generation };
    try {
      const newer = (await this.peers.request(SUPERVISOR, RELEASE_ROOM, about)) as RoomPlacement | undefined;
      if (!this.isEmpty(room, known)) return;
      if (newer === undefined || newer === null) {
        this.rooms.delete(room);
        return;
      }
      // Another worker is sending a caller here, who may never arrive.
      known.generation = newer.generation;
    } catch (error) {
      if (!this.peers.isUp) return;
      this.log.warn({ err: error }, 'the supervisor did not release a room');
    }
    // Somebody may have arrived while the supervisor was asked.
    if (!this.isEmpty(room, known)) return;
    this.clock.cancel(known.retry);
    known.retry = this.clock.after(RETRY_MS, () => void this.release(room, known));
    known.retry.unref();
  }

  /** Whether the room is still kept, and without tenants. */
  private isEmpty(room: string, known: OwnedRoom): boolean {
    return known.tenants === 0 && this.rooms.get(room) === known;
  }
}
