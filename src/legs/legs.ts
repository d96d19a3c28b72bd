import type { Bridge } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { FrameClock } from '../media/frame-clock.js';
import { loadResampler } from '../media/rate-converter.js';
import { LatencyHistogram } from '../telemetry/histogram.js';
import { counter, durations, gauge, type Metric } from '../telemetry/metric.js';
import { type LegConverterMaker, legConverters } from './leg-converter.js';
import { type LegCounts, type LegSocket, RawLeg, type RawLegOptions } from './raw-leg.js';

/** Maximum raw legs per room, including listen-only ones. */
export const MAX_LEGS_A_ROOM = 16;

/** The raw legs of a gateway: their limits, metrics and shutdown. */
export class Legs {
  readonly metrics: readonly Metric[];
  /** From a caller's message to the message that a program gets. */
  readonly heardDelay = new LatencyHistogram();
  private readonly legs = new Set<RawLeg>();
  private readonly past: LegCounts = { framesHeard: 0, framesSpoken: 0, droppedSentMs: 0, droppedHeardMs: 0 };
  private convert: LegConverterMaker | undefined;
  /** Number of legs that count towards the limits. */
  private admitted = 0;
  /** The same per room. */
  private readonly rooms = new Map<string, number>();
  private isClosed = false;

  constructor(
    private readonly bridge: Bridge,
    private readonly maxLegs: number,
    private readonly clock: Clock,
    private readonly frameClock: FrameClock,
  ) {
    this.metrics = [
      gauge('legs_active', 'Raw legs connected', () => this.legs.size),
      durations(
        'leg_heard_seconds',
        "Time from a caller's message to the message that a raw leg gets",
        this.heardDelay,
      ),
      counter('leg_frames_heard_total', 'Frames of 20 ms sent to raw legs', () => this.total('framesHeard')),
      counter('leg_frames_spoken_total', 'Frames of 20 ms received from raw legs', () =>
        this.total('framesSpoken'),
      ),
      counter(
        'leg_dropped_sent_ms_total',
        'Milliseconds of audio from raw legs that did not fit the buffer',
        () => this.total('droppedSentMs'),
      ),
      counter('leg_dropped_heard_ms_total', 'Milliseconds of audio that raw legs did not read in time', () =>
        this.total('droppedHeardMs'),
      ),
    ];
  }

  /** Loads the rate converters ahead, so that a program can be admitted synchronously. */
  async prepare(): Promise<void> {
    if (this.bridge.joinProgram !== undefined) this.convert ??= legConverters(await loadResampler());
  }

  /**
   * Creates a leg whose socket may open in this event-loop turn.
   * @throws GatewayError `GW_STREAM_CALL_NAME` (400), `GW_BRIDGE_NOT_LOCAL`, `GW_ROOM_FULL` (409), `GW_LEGS_FULL`, `GW_DRAINING` (503)
   */
  admit(options: RawLegOptions): RawLeg {
    this.check(options.room);
    if (this.convert === undefined) throw new Error('Raw legs need prepare() first');
    return this.newLeg(options);
  }

  /**
   * Creates the leg of a program that the gateway dials for a call. It does not count towards the limits: calls have theirs.
   * @throws GatewayError `GW_BRIDGE_NOT_LOCAL`, `GW_DRAINING`
   */
  async dial(options: RawLegOptions): Promise<RawLeg> {
    await this.prepare();
    this.checkOpen();
    return this.newLeg(options);
  }

  /** Attaches the socket of an admitted leg. */
  open(leg: RawLeg, socket: LegSocket): void {
    const { room, onlyListens } = leg.options;
    this.legs.add(leg);
    if (isAdmitted(leg)) this.count(room, 1);
    leg.open(
      socket,
      () => this.joinProgram(room, leg, onlyListens),
      () => this.ended(leg),
    );
  }

  /** Closes all legs with 1001 and admits no more. */
  close(): void {
    this.isClosed = true;
    for (const leg of [...this.legs]) leg.close(1001, 'going away');
  }

  /** The bridge's own function, if it has rooms for programs. */
  private get joinProgram(): NonNullable<Bridge['joinProgram']> {
    const { bridge } = this;
    if (bridge.joinProgram !== undefined) return bridge.joinProgram.bind(bridge);
    const message = `Raw legs need rooms, which the bridge "${bridge.name}" does not have`;
    throw new GatewayError('GW_BRIDGE_NOT_LOCAL', message);
  }

  private newLeg(options: RawLegOptions): RawLeg {
    return new RawLeg(
      options,
      this.convert as LegConverterMaker,
      this.clock,
      this.frameClock,
      this.heardDelay,
    );
  }

  private checkOpen(): void {
    void this.joinProgram;
    if (this.isClosed) throw new GatewayError('GW_DRAINING', 'The gateway is shutting down');
  }

  private check(room: string): void {
    this.checkOpen();
    this.bridge.checkRoom?.(room);
    if ((this.rooms.get(room) ?? 0) >= MAX_LEGS_A_ROOM) {
      const message = `The room already has ${MAX_LEGS_A_ROOM} raw legs`;
      throw new GatewayError('GW_ROOM_FULL', message);
    }
    if (this.admitted >= this.maxLegs) {
      const message = `The gateway already has ${this.maxLegs} raw legs`;
      throw new GatewayError('GW_LEGS_FULL', message);
    }
  }

  private ended(leg: RawLeg): void {
    if (isAdmitted(leg)) this.count(leg.options.room, -1);
    this.legs.delete(leg);
    for (const key of Object.keys(this.past) as (keyof LegCounts)[]) this.past[key] += leg.counts[key];
  }

  private count(room: string, change: 1 | -1): void {
    this.admitted += change;
    const count = (this.rooms.get(room) ?? 0) + change;
    if (count === 0) this.rooms.delete(room);
    else this.rooms.set(room, count);
  }

  private total(key: keyof LegCounts): number {
    let total = this.past[key];
    for (const leg of this.legs) total += leg.counts[key];
    return total;
  }
}

/** Whether a program asked for this leg; the gateway dialled the others. */
function isAdmitted({ options }: RawLeg): boolean {
  return options.call === undefined;
}
