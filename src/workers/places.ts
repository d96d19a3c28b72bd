import type { Admission } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Fleet } from '../fleet/fleet.js';
import type { Logger } from '../telemetry/log.js';
import type { Metric } from '../telemetry/metric.js';
import { OwnedRooms } from './owned-rooms.js';
import type { Peers } from './peers.js';
import { Relay } from './relay.js';
import type { RoomPlacement } from './room-owners.js';
import type { SocketEnd } from './socket-end.js';

/** Kinds of relayed sockets. */
const MEDIA = 'media';
const LEG = 'leg';
/** Name of the question whether a worker has a call. */
const HAS_CALL = 'call.here';
/** A program may send all that its buffer takes at once: two minutes of audio. */
const MAX_LEG_BYTES = 16 * 1024 * 1024;
/** How often a caller is placed again because the owner of its room did not take it. */
const MOST_TRIES = 4;
/** Pause before that while the owner still serves: it may be overrun, or have died without our knowledge. */
const RETRY_MS = 100;

/** What a worker is asked to serve. */
interface PlacedMedia {
  readonly callId: string;
  readonly token: string;
  readonly room: string;
  readonly generation: number;
}

interface PlacedLeg {
  /** The leg's own options. */
  readonly options: unknown;
  /** Where it joins: a room that the worker owns, or a call that it has. */
  readonly room?: string;
  readonly generation?: number;
  readonly callId?: string;
}

/** What a gateway gives to {@link Places}. */
export interface OwnCalls {
  readonly switchboard: Switchboard;
  readonly fleet: Pick<Fleet, 'connect' | 'roomOf' | 'handOverTo' | 'hasAcceptingPeers'>;
  /** Whether a room lives in one process. False for Stream calls, which span all of them. */
  readonly hasLocalRooms: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Decides where sockets are served: at this worker, or at the one that has their room. Whoever is first in a
 * room brings it to the worker where their socket arrived; it stays there until it is empty.
 */
export class Places {
  /** The rooms that calls of this worker keep, by call id. */
  private readonly kept = new Map<string, string>();

  private readonly rooms: OwnedRooms;
  private readonly relay: Relay;

  /** @param socketDir directory of the workers' sockets */
  constructor(
    private readonly peers: Peers,
    socketDir: string,
    private readonly own: OwnCalls,
  ) {
    const { clock, log, switchboard } = own;
    this.rooms = new OwnedRooms(peers, clock, log);
    this.relay = new Relay({ self: peers.self, socketDir, clock, log });
    peers.handle(HAS_CALL, (about) => switchboard.has((about as { callId: string }).callId));
  }

  get metrics(): readonly Metric[] {
    return this.relay.metrics;
  }

  /** Serves media streams that arrive at other workers. */
  serveMedia(endOf: (session: Session) => SocketEnd): void {
    this.relay.serve(MEDIA, async (about) => {
      const { callId, token, room, generation } = about as PlacedMedia;
      this.checkOpen();
      await this.rooms.receive(room, generation);
      return endOf(await this.connect(callId, token, room));
    });
  }

  /**
   * Serves programs that arrive at other workers.
   * @param admit makes the leg of a room
   * @param roomOf finds the room of a call of this worker
   */
  serveLegs(admit: (room: string, options: unknown) => SocketEnd, roomOf: (callId: string) => string): void {
    this.relay.serve(LEG, async (about) => {
      const { options, room, generation, callId } = about as PlacedLeg;
      this.checkOpen();
      if (room === undefined) {
        const id = callId as string;
        return this.admitAtCall(id, () => admit(roomOf(id), options));
      }
      await this.rooms.receive(room, generation ?? 0);
      return this.tenant(room, () => admit(room, options));
    });
  }

  /**
   * Connects a media stream to its call.
   * @param endOf makes what serves it, if this worker does
   * @throws GatewayError as `Fleet.connect`, and `GW_OVERLOADED` (503) if another worker does not answer
   */
  async connectMedia(
    callId: string,
    token: string,
    endOf: (session: Session) => SocketEnd,
  ): Promise<SocketEnd> {
    const { fleet, hasLocalRooms } = this.own;
    this.checkOpen();
    const room = hasLocalRooms ? await fleet.roomOf(callId) : undefined;
    if (room === undefined) return endOf(await fleet.connect(callId, token));
    return this.place(
      room,
      async () => endOf(await this.connect(callId, token, room)),
      MEDIA,
      (generation): PlacedMedia => ({ callId, token, room, generation }),
    );
  }

  /**
   * Connects a program to a room.
   * @param options the leg's own, in JSON
   * @param admit makes the leg, if this worker has the room
   */
  async connectLeg(room: string, options: unknown, admit: () => SocketEnd): Promise<SocketEnd> {
    if (!this.own.hasLocalRooms) return admit();
    return this.place(
      room,
      async () => this.tenant(room, admit),
      LEG,
      (generation): PlacedLeg => ({ room, generation, options }),
      MAX_LEG_BYTES,
    );
  }

  /** Connects a program to the room of a call, at the worker that has the call. @param admit for a call of this worker */
  async connectLegOfCall(callId: string, options: unknown, admit: () => SocketEnd): Promise<SocketEnd> {
    const { peers, relay } = this;
    if (this.own.switchboard.has(callId)) return this.admitAtCall(callId, admit);
    // The first that has it: others may be slow to answer.
    const asked = peers.serving.filter((worker) => worker !== peers.self);
    const found = await Promise.any(asked.map((worker) => this.findCall(worker, callId))).catch(
      () => undefined,
    );
    if (found === undefined) return this.admitAtCall(callId, admit);
    return relay.request(found, LEG, { callId, options } satisfies PlacedLeg, MAX_LEG_BYTES);
  }

  /**
   * Moves a call to another room of the bridge: at once if this worker has the room or nobody does; otherwise
   * the call is handed over, and the worker that has the room gets its next socket.
   * @throws GatewayError as `Session.moveTo`
   */
  async move(session: Session, place: Pick<Admission, 'room' | 'streamCall'>): Promise<void> {
    const { rooms, peers } = this;
    const { fleet, hasLocalRooms } = this.own;
    const { room } = place;
    if (room === undefined || !hasLocalRooms) {
      await session.moveTo(place);
      return;
    }
    const { owner } = await rooms.place(room);
    if (owner !== peers.self) {
      await fleet.handOverTo(session, place);
      return;
    }
    try {
      await session.moveTo(place);
    } catch (error) {
      rooms.leave(room);
      throw error;
    }
    const { callId } = session.call;
    const before = this.kept.get(callId);
    if (before === undefined) this.keep(session, room);
    else {
      this.kept.set(callId, room);
      rooms.leave(before);
    }
  }

  /** The worker, if it has the call. @throws GatewayError if it has not, or does not answer */
  private async findCall(worker: number, callId: string): Promise<number> {
    if ((await this.peers.request(worker, HAS_CALL, { callId })) === true) return worker;
    throw new GatewayError('GW_CALL_UNKNOWN', `Worker ${worker} does not have call ${callId}`);
  }

  /** Lets other workers relay sockets to this one. */
  open(): Promise<void> {
    return this.relay.open();
  }

  /**
   * Has other workers take the calls whose sockets arrived here, or waits for their end.
   * @param graceMs most milliseconds to wait
   * @param leave makes new sockets go to the other workers; called more than once
   */
  drain(graceMs: number, leave: () => Promise<void>): Promise<void> {
    return this.relay.drain(MEDIA, graceMs, async () => {
      if (!this.own.fleet.hasAcceptingPeers) return false;
      await leave();
      return true;
    });
  }

  close(): void {
    this.rooms.close();
    this.relay.close();
  }

  /** @throws GatewayError `GW_DRAINING` (503) */
  private checkOpen(): void {
    if (this.own.switchboard.draining) throw new GatewayError('GW_DRAINING', 'The gateway is shutting down');
  }

  /** Serves a socket at the worker that has its room. An owner that leaves loses the room to this worker. */
  private async place(
    room: string,
    serveHere: () => Promise<SocketEnd>,
    kind: string,
    request: (generation: number) => unknown,
    maxUnsentBytes?: number,
  ): Promise<SocketEnd> {
    const { peers, rooms, relay } = this;
    let refused: RoomPlacement | undefined;
    for (let tries = 1; ; tries++) {
      const placement = await rooms.place(room, refused);
      if (placement.owner === peers.self) return serveHere();
      try {
        return await relay.request(placement.owner, kind, request(placement.generation), maxUnsentBytes);
      } catch (error) {
        if (tries === MOST_TRIES || !isAway(error)) throw error;
        // A link that breaks says nothing about its owner, whose members would stay behind.
        const isLeaving = error.code === 'GW_DRAINING' || !peers.serving.includes(placement.owner);
        refused = isLeaving ? placement : undefined;
        if (!isLeaving) await this.own.clock.sleep(RETRY_MS);
      }
    }
  }

  /** Connects a call of a room that is held for it. */
  private async connect(callId: string, token: string, room: string): Promise<Session> {
    try {
      const session = await this.own.fleet.connect(callId, token);
      this.keep(session, room);
      return session;
    } catch (error) {
      this.rooms.leave(room);
      throw error;
    }
  }

  /** Keeps the room for as long as the call is in it. */
  private keep({ call }: Session, room: string): void {
    this.kept.set(call.callId, room);
    call.onEnd(() => {
      const last = this.kept.get(call.callId);
      this.kept.delete(call.callId);
      if (last !== undefined) this.rooms.leave(last);
    });
  }

  private admitAtCall(callId: string, admit: () => SocketEnd): SocketEnd {
    const room = this.kept.get(callId);
    // In a Stream call, or in none.
    if (room === undefined) return admit();
    this.rooms.hold(room);
    return this.tenant(room, admit);
  }

  /** A program keeps the room, which is held for it, until its socket is closed. */
  private tenant(room: string, admit: () => SocketEnd): SocketEnd {
    const { rooms } = this;
    try {
      return new Tenant(admit(), () => rooms.leave(room));
    } catch (error) {
      rooms.leave(room);
      throw error;
    }
  }
}

/** A program that keeps its room. */
class Tenant implements SocketEnd {
  private hasLeft = false;

  constructor(
    private readonly end: SocketEnd,
    private readonly onLeave: () => void,
  ) {}

  open: SocketEnd['open'] = (socket) => this.end.open(socket);
  message: SocketEnd['message'] = (message, isBinary) => this.end.message(message, isBinary);
  drained: SocketEnd['drained'] = () => this.end.drained();
  failed: SocketEnd['failed'] = (error) => this.end.failed(error);
  leave: SocketEnd['leave'] = () => this.end.leave();

  closed(code: number): void {
    try {
      this.end.closed(code);
    } finally {
      if (!this.hasLeft) this.onLeave();
      this.hasLeft = true;
    }
  }
}

function isAway(error: unknown): error is GatewayError {
  return error instanceof GatewayError && (error.code === 'GW_NODE_GONE' || error.code === 'GW_DRAINING');
}
