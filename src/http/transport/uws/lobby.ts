/** A place for connections, as a lobby uses it. */
export interface LobbyRoom {
  /** Connections that came and did not go. */
  readonly connections: number;
  /** Whether a WebSocket was ever opened in it, a call's perhaps. */
  readonly hasSockets: boolean;
  /** Closes all that is in it; others may come afterwards. */
  clear(): void;
}

/** Turns of the event loop until a webhook that is here is answered: its signature, the call and the answer take one each. */
const TURNS = 6;

/**
 * Where new connections come while few descriptors are left: the oldest make room for the newest. So whoever connects and asks
 * is answered, however many connect and say nothing.
 */
export class Lobby<R extends LobbyRoom> {
  /** One takes who comes, the other has those before. */
  private rooms: (R | undefined)[] = [];
  private at = 0;
  private isOpen = false;
  private readonly leaving = new Set<R>();

  /**
   * @param seats connections of one room
   * @param make answers nothing where it cannot; all stay where they are then
   * @param direct has new connections come to a room, or to none of them
   */
  constructor(
    private readonly seats: number,
    private readonly make: () => R | undefined,
    private readonly direct: (room: R | undefined) => void,
  ) {}

  open(): void {
    this.isOpen = true;
    // Both now: a certificate can be read while there is a descriptor for it.
    for (const at of [0, 1]) this.rooms[at] ??= this.make();
    this.next();
  }

  /** New connections come elsewhere; those that are here are served. */
  close(): void {
    this.isOpen = false;
    this.direct(undefined);
  }

  /** Makes its rooms anew, for another certificate. */
  renew(): void {
    this.rooms = [];
    if (this.isOpen) this.open();
  }

  /** A connection has come to a room, of the lobby or another one, which is left alone. */
  entered(room: R): void {
    if (!this.isOpen || !this.rooms.includes(room) || room.connections < this.seats) return;
    if (room === this.rooms[this.at]) this.next();
    // Whole crowds are accepted in one turn of the event loop, before anybody can send them elsewhere.
    if (room.connections > 2 * this.seats && !this.leaving.has(room)) void this.clearSoon(room);
  }

  /** After those are answered who have asked by now. */
  private async clearSoon(room: R): Promise<void> {
    this.leaving.add(room);
    for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
    this.leaving.delete(room);
    if (!room.hasSockets) room.clear();
  }

  private next(): void {
    const at = 1 - this.at;
    const last = this.rooms[at];
    // A room in which a call began is left to it.
    const isFree = last !== undefined && !last.hasSockets;
    if (isFree) last.clear();
    const room = isFree ? last : this.make();
    if (room === undefined) return;
    this.rooms[at] = room;
    this.at = at;
    this.direct(room);
  }
}
