import type { EventLoopDelay } from './event-loop-delay.js';
import type { LatencySummary } from './histogram.js';
import type { Latencies } from './latencies.js';
import { counter, frameTimes, gauge, type Metric } from './metric.js';
import { exposition, type MetricReading, readingOf } from './metric-reading.js';
import type { Traffic, TrafficCounts } from './traffic.js';

/** What `/metrics` reads at the moment of the scrape; nothing is kept twice. */
export interface MetricsSource {
  readonly traffic: Traffic;
  readonly latencies: Latencies;
  readonly activeCalls: number;
  readonly draining: boolean;
  /** Ended calls by cause. */
  readonly endedCalls: ReadonlyMap<string, number>;
  /** Ended calls by whose doing it was. */
  readonly results: ReadonlyMap<string, number>;
  /** Stuck calls by the way they were. */
  readonly stuckCalls: ReadonlyMap<string, number>;
  readonly eventLoopDelay: Pick<EventLoopDelay, 'summary'>;
  readonly admission: {
    readonly maxCalls: number;
    /** Why no calls are taken, if so. */
    readonly busyReason: string | undefined;
    /** Rejected calls by reason. */
    readonly refused: ReadonlyMap<string, number>;
  };
}

const TRAFFIC_HELP: Record<keyof TrafficCounts, string> = {
  framesIn: 'Frames of 20 ms received from phones',
  framesOut: 'Frames of 20 ms sent to phones',
  messagesIn: 'WebSocket messages received',
  slowMessages: 'Media messages that took the slow path',
  badMessages: 'Messages dropped because they could not be understood',
  otherTracks: 'Media messages of another track than the caller’s, not heard',
  filledMs: 'Milliseconds filled in for missing audio',
  droppedIntake: 'Frames from phones dropped: after a stall, or long before the bridge leg was up',
  droppedLead: 'Frames dropped because the listener was too far behind',
  silenceDroppedMs: 'Milliseconds of silence left out to bring a delay back',
  shortenedMs: 'Milliseconds by which words were said faster to bring a delay back',
  leadClears: 'Times a phone was told to clear stale audio',
  droppedBackpressure: 'Frames dropped because the socket did not take them',
  underruns: 'Times a listener ran dry in the middle of speech',
  dtmf: 'DTMF digits received',
  marks: 'Mark echoes received',
};

/** The metrics of one gateway; those of every gateway of a process are separate. */
export class Metrics {
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  /** The traffic of the scrape at hand: all its counters are of one moment. */
  private traffic: Traffic;
  private readonly all: readonly Metric[];

  /** @param others more metrics, e.g. of the bridge */
  constructor(
    private readonly source: MetricsSource,
    others: readonly Metric[] = [],
  ) {
    this.traffic = source.traffic;
    const { admission, eventLoopDelay } = source;
    this.all = [
      ...processMetrics,
      gauge('calls_active', 'Calls known to the registry and not ended', () => source.activeCalls),
      gauge('draining', '1 while no new calls are taken', () => (source.draining ? 1 : 0), { merge: 'min' }),
      counter('calls_ended_total', 'Ended calls by cause', () => source.endedCalls, 'cause'),
      gauge('calls_max', 'Most calls at a time', () => admission.maxCalls, { merge: 'max' }),
      gauge(
        'admission_open',
        '1 while new calls are taken',
        () => (admission.busyReason === undefined ? 1 : 0),
        { merge: 'max' },
      ),
      counter('calls_result_total', 'Ended calls by whose doing it was', () => source.results, 'result'),
      counter('calls_refused_total', 'Rejected calls, by reason', () => admission.refused, 'reason'),
      counter('calls_stuck_total', 'Calls found stuck, by the way they were', () => source.stuckCalls, 'why'),
      gauge(
        'event_loop_delay_seconds',
        'How late the event loop was in the last one to two minutes',
        () => quantilesOf(eventLoopDelay.summary()),
        { label: 'quantile', merge: 'max' },
      ),
      ...(Object.entries(TRAFFIC_HELP) as [keyof TrafficCounts, string][]).map(([key, help]) =>
        counter(`${snakeCase(key)}_total`, help, () => this.traffic[key]),
      ),
      frameTimes('stage_seconds', "A frame's way through the gateway, by stage", () => {
        const { latencies } = source;
        return {
          'stage="socket_decoded"': latencies.transcodeIn,
          'stage="decoded_leg"': latencies.decodedLeg,
          'stage="leg_encoded"': latencies.legEncoded,
          'stage="encoded_socket"': latencies.encodedSocket,
          'stage="gateway"': latencies.gateway,
        };
      }),
      frameTimes(
        'encode_seconds',
        'Samples to message bytes, without any wait',
        () => source.latencies.transcodeOut,
      ),
      frameTimes(
        'playout_lead_seconds',
        'Audio the listener has waiting',
        () => source.latencies.playoutLead,
      ),
      frameTimes(
        'intake_jitter_seconds',
        'How far messages come from the pace of their audio',
        () => source.latencies.intakeJitter,
      ),
      ...others,
    ];
  }

  /** All of them, as of now. */
  read(): MetricReading[] {
    this.traffic = this.source.traffic;
    return this.all.map(readingOf);
  }

  /** As Prometheus text. */
  text(): string {
    return exposition(this.read());
  }
}

/** The figures of this process itself. */
export const processMetrics: readonly Metric[] = [
  gauge('process_resident_memory_bytes', 'Resident set size', () => process.memoryUsage.rss()),
  gauge('process_heap_used_bytes', 'JavaScript heap in use', () => process.memoryUsage().heapUsed),
  counter('process_cpu_seconds_total', 'User and system CPU time', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }),
];

function quantilesOf({ p50Us, p99Us, p999Us }: LatencySummary): ReadonlyMap<string, number> {
  return new Map([
    ['0.5', p50Us / 1e6],
    ['0.99', p99Us / 1e6],
    ['0.999', p999Us / 1e6],
  ]);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
