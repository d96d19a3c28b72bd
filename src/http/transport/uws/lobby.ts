/** A group of connections in a lobby. */
export interface LobbyRoom {
  /** Open connections. */
  readonly connections: number;
  /** Whether a WebSocket, perhaps of a call, was ever opened in it. */
  readonly hasSockets: boolean;
  /** Closes all its connections; new ones may follow. */
  clear(): void;
}

/** Turns of the event loop until a received webhook is answered: one each for signature, call and response. */
const TURNS = 6;

/**
 * Receives new connections while descriptors are short, and closes the oldest for the newest. So clients that send requests are
 * answered, however many others connect and stay silent.
 */
export class Lobby<R extends LobbyRoom> {
  /** One room receives new connections, the other has the previous ones. */
  private rooms: (R | undefined)[] = [];
  private at = 0;
  private isOpen = false;
  private readonly leaving = new Set<R>();

  /**
   * @param seats connections of one room
   * @param make returns nothing if it fails; all connections then stay where they are
   * @param direct sends new connections to a room, or to none of them
   */
  constructor(
    private readonly seats: number,
    private readonly make: () => R | undefined,
    private readonly direct: (room: R | undefined) => void,
  ) {}

  open(): void {
    this.isOpen = true;
    // Both now, while there is a descriptor to read the certificate.
    for (const at of [0, 1]) this.rooms[at] ??= this.make();
    this.next();
  }

  /** Sends new connections elsewhere; existing ones are still served. */
  close(): void {
    this.isOpen = false;
    this.direct(undefined);
  }

  /** Recreates its rooms with a new certificate. */
  renew(): void {
    this.rooms = [];
    if (this.isOpen) this.open();
  }

  /** Called for a connection in any room; ignores rooms outside the lobby. */
  entered(room: R): void {
    if (!this.isOpen || !this.rooms.includes(room) || room.connections < this.seats) return;
    if (room === this.rooms[this.at]) this.next();
    // Many are accepted in one turn of the event loop, before they can be sent elsewhere.
    if (room.connections > 2 * this.seats && !this.leaving.has(room)) void this.clearSoon(room);
  }

  /** Runs after pending requests were answered. */
  private async clearSoon(room: R): Promise<void> {
    this.leaving.add(room);
    for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
    this.leaving.delete(room);
    if (!room.hasSockets) room.clear();
  }

  private next(): void {
    const at = 1 - this.at;
    const last = this.rooms[at];
    // A room with a call is kept.
    const isFree = last !== undefined && !last.hasSockets;
    if (isFree) last.clear();
    const room = isFree ? last : this.make();
    if (room === undefined) return;
    this.rooms[at] = room;
    this.at = at;
    this.direct(room);
  }
}
