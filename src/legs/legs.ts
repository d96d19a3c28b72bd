import type { Bridge } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { FrameClock } from '../media/frame-clock.js';
import { type ConverterMaker, loadResampler } from '../media/rate-converter.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import { type LegCounts, type LegSocket, RawLeg, type RawLegOptions } from './raw-leg.js';

/** Most legs in one room, listeners included. */
export const MAX_LEGS_A_ROOM = 16;

/** The raw legs of a gateway: how many there may be, what they did, and their common end. */
export class Legs {
  readonly metrics: readonly Metric[];
  private readonly legs = new Set<RawLeg>();
  /** How many there are in each room. */
  private readonly rooms = new Map<string, number>();
  private readonly past: LegCounts = { framesHeard: 0, framesSpoken: 0, droppedSentMs: 0, droppedHeardMs: 0 };
  private convert: ConverterMaker | undefined;
  private isClosed = false;

  constructor(
    private readonly bridge: Bridge,
    private readonly maxLegs: number,
    private readonly clock: Clock,
    private readonly frameClock: FrameClock,
  ) {
    this.metrics = [
      gauge('legs_active', 'Raw legs connected', () => this.legs.size),
      counter('leg_frames_heard_total', 'Frames of 20 ms sent to raw legs', () => this.total('framesHeard')),
      counter('leg_frames_spoken_total', 'Frames of 20 ms that raw legs said', () =>
        this.total('framesSpoken'),
      ),
      counter('leg_dropped_sent_ms_total', 'Milliseconds from raw legs that found no room', () =>
        this.total('droppedSentMs'),
      ),
      counter('leg_dropped_heard_ms_total', 'Milliseconds that raw legs did not read', () =>
        this.total('droppedHeardMs'),
      ),
    ];
  }

  /** Loads what converts rates now: no program waits for it, and whether it may come in is said at once. */
  async prepare(): Promise<void> {
    if (this.bridge.joinProgram !== undefined) this.convert = await loadResampler();
  }

  /**
   * Makes a leg whose socket may open in this very turn.
   * @throws GatewayError `GW_BRIDGE_NOT_LOCAL`, `GW_ROOM_FULL` (409), `GW_LEGS_FULL`, `GW_DRAINING` (503)
   */
  admit(options: RawLegOptions): RawLeg {
    this.check(options.room);
    if (this.convert === undefined) throw new Error('Expected prepare() before legs but received none');
    return new RawLeg(options, this.convert, this.clock, this.frameClock);
  }

  /** An admitted leg's socket is there. */
  open(leg: RawLeg, socket: LegSocket): void {
    const { room, onlyListens } = leg.options;
    this.legs.add(leg);
    this.rooms.set(room, (this.rooms.get(room) ?? 0) + 1);
    leg.open(
      socket,
      () => this.joinProgram(room, leg, onlyListens),
      () => this.ended(leg),
    );
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
    throw new GatewayError('GW_BRIDGE_NOT_LOCAL', message);
  }

  private check(room: string): void {
    void this.joinProgram;
    if (this.isClosed) {
      const message = 'Expected a gateway that stays for a raw leg but received one that is shutting down';
      throw new GatewayError('GW_DRAINING', message);
    }
    if ((this.rooms.get(room) ?? 0) >= MAX_LEGS_A_ROOM) {
      const message = `Expected at most ${MAX_LEGS_A_ROOM} raw legs in a room but received one more`;
      throw new GatewayError('GW_ROOM_FULL', message);
    }
    if (this.legs.size >= this.maxLegs) {
      const message = `Expected at most ${this.maxLegs} raw legs but received one more`;
      throw new GatewayError('GW_LEGS_FULL', message);
    }
  }

  private ended(leg: RawLeg): void {
    const { room } = leg.options;
    const left = (this.rooms.get(room) ?? 1) - 1;
    if (left === 0) this.rooms.delete(room);
    else this.rooms.set(room, left);
    this.legs.delete(leg);
    for (const key of Object.keys(this.past) as (keyof LegCounts)[]) this.past[key] += leg.counts[key];
  }

  private total(key: keyof LegCounts): number {
    let total = this.past[key];
    for (const leg of this.legs) total += leg.counts[key];
    return total;
  }
}
