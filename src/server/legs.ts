import type { Bridge } from '../bridge/bridge.js';
import { GatewayError } from '../errors.js';
import type { Figure } from '../telemetry/metrics.js';
import { type LegCounts, type LegSocket, MIN_BUFFER_MS, RawLeg, type RawLegOptions } from './raw-leg.js';

/** Most legs in one room, listeners included. */
export const MAX_LEGS_A_ROOM = 16;

/** The raw legs of a gateway: how many there may be, what they did, and their common end. */
export class Legs {
  readonly figures: readonly Figure[];
  private readonly legs = new Set<RawLeg>();
  /** Legs by room, those included whose sockets are about to open. */
  private readonly rooms = new Map<string, number>();
  private readonly past: LegCounts = { framesHeard: 0, framesSpoken: 0, droppedSentMs: 0, droppedHeardMs: 0 };
  private size = 0;
  private isClosed = false;

  constructor(
    private readonly bridge: Bridge,
    private readonly maxLegs: number,
  ) {
    const counter = (name: string, help: string, key: keyof LegCounts): Figure => ({
      name,
      help,
      kind: 'counter',
      read: () => this.total(key),
    });
    this.figures = [
      { name: 'legs_active', help: 'Raw legs connected', kind: 'gauge', read: () => this.legs.size },
      counter('leg_frames_heard_total', 'Frames of 20 ms sent to raw legs', 'framesHeard'),
      counter('leg_frames_spoken_total', 'Frames of 20 ms that raw legs said', 'framesSpoken'),
      counter('leg_dropped_sent_ms_total', 'Milliseconds from raw legs that found no room', 'droppedSentMs'),
      counter('leg_dropped_heard_ms_total', 'Milliseconds that raw legs did not read', 'droppedHeardMs'),
    ];
  }

  /** Loads what converts rates now rather than while a program waits, where there may be programs. */
  async prepare(): Promise<void> {
    if (this.bridge.joinProgram === undefined) return;
    const leg = await RawLeg.create({ room: '', rate: 16_000, bufferMs: MIN_BUFFER_MS, onlyListens: true });
    leg.close(1000, '');
  }

  /**
   * Makes a leg whose socket may open; {@link open} or {@link abandon} must follow.
   * @throws GatewayError `GW_BRIDGE_NOT_LOCAL`, `GW_ROOM_FULL` (409), `GW_LEGS_FULL`, `GW_DRAINING` (503)
   */
  async admit(options: RawLegOptions): Promise<RawLeg> {
    const { room } = options;
    this.check(room);
    this.size += 1;
    this.rooms.set(room, (this.rooms.get(room) ?? 0) + 1);
    try {
      return await RawLeg.create(options);
    } catch (error) {
      this.giveBack(room);
      throw error;
    }
  }

  /** An admitted leg's socket is there. */
  open(leg: RawLeg, socket: LegSocket): void {
    this.legs.add(leg);
    const { room, onlyListens } = leg.options;
    leg.open(
      socket,
      () => this.joinProgram(room, leg, onlyListens),
      () => this.ended(leg),
    );
    if (this.isClosed) leg.close(1001, 'going away');
  }

  /** An admitted leg's client has gone before its socket opened. */
  abandon(leg: RawLeg): void {
    leg.close(1000, '');
    this.giveBack(leg.options.room);
  }

  /** Ends all legs politely; none is admitted any more. */
  close(): void {
    this.isClosed = true;
    for (const leg of [...this.legs]) leg.close(1001, 'going away');
  }

  /** The bridge's own, where it has rooms for programs. */
  private get joinProgram(): NonNullable<Bridge['joinProgram']> {
    const { bridge } = this;
    if (bridge.joinProgram !== undefined) return bridge.joinProgram.bind(bridge);
    const message = `Expected local rooms for a raw leg but received the bridge "${bridge.name}"`;
    throw new GatewayError('GW_BRIDGE_NOT_LOCAL', message, { status: 409 });
  }

  private check(room: string): void {
    void this.joinProgram;
    if (this.isClosed) {
      const message = 'Expected a gateway that stays for a raw leg but received one that is shutting down';
      throw new GatewayError('GW_DRAINING', message, { status: 503 });
    }
    if ((this.rooms.get(room) ?? 0) >= MAX_LEGS_A_ROOM) {
      const message = `Expected at most ${MAX_LEGS_A_ROOM} raw legs in a room but received one more`;
      throw new GatewayError('GW_ROOM_FULL', message, { status: 409 });
    }
    if (this.size >= this.maxLegs) {
      const message = `Expected at most ${this.maxLegs} raw legs but received one more`;
      throw new GatewayError('GW_LEGS_FULL', message, { status: 503 });
    }
  }

  private ended(leg: RawLeg): void {
    this.legs.delete(leg);
    this.giveBack(leg.options.room);
    for (const key of Object.keys(this.past) as (keyof LegCounts)[]) this.past[key] += leg.counts[key];
  }

  private giveBack(room: string): void {
    this.size -= 1;
    const left = (this.rooms.get(room) ?? 1) - 1;
    if (left === 0) this.rooms.delete(room);
    else this.rooms.set(room, left);
  }

  private total(key: keyof LegCounts): number {
    let total = this.past[key];
    for (const leg of this.legs) total += leg.counts[key];
    return total;
  }
}
