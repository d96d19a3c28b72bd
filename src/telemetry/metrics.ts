import { Counter, Gauge, Registry } from 'prom-client';
import type { EventLoopDelay } from './event-loop-delay.js';
import type { LatencyHistogram, LatencySummary } from './histogram.js';
import type { Latencies } from './latencies.js';
import { counter, gauge, type Metric } from './metric.js';
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

/** For what takes a network, or another program: 1 ms to 10 s. */
const REQUEST_BUCKETS_US = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7];

const LATENCY_BUCKETS_US = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5];

/** Prometheus text of one gateway; every gateway of a process has a separate registry. */
export class Metrics {
  private readonly registry = new Registry();
  /** The traffic of the scrape at hand: all its counters are of one moment. */
  private traffic: Traffic;
  private readonly histograms: Extract<Metric, { kind: 'histogram' }>[] = [];

  /** @param others more metrics, e.g. of the bridge */
  constructor(
    private readonly source: MetricsSource,
    others: readonly Metric[] = [],
  ) {
    this.traffic = source.traffic;
    const { admission, eventLoopDelay } = source;
    // Not prom-client's default metrics: their observers cannot be stopped when a gateway closes.
    const own = [
      gauge('process_resident_memory_bytes', 'Resident set size', () => process.memoryUsage.rss()),
      gauge('process_heap_used_bytes', 'JavaScript heap in use', () => process.memoryUsage().heapUsed),
      counter('process_cpu_seconds_total', 'User and system CPU time', () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1e6;
      }),
      gauge('calls_active', 'Calls known to the registry and not ended', () => source.activeCalls),
      gauge('draining', '1 while no new calls are taken', () => (source.draining ? 1 : 0)),
      counter('calls_ended_total', 'Ended calls by cause', () => source.endedCalls, 'cause'),
      gauge('calls_max', 'Most calls at a time', () => admission.maxCalls),
      gauge('admission_open', '1 while new calls are taken', () =>
        admission.busyReason === undefined ? 1 : 0,
      ),
      counter('calls_result_total', 'Ended calls by whose doing it was', () => source.results, 'result'),
      counter('calls_refused_total', 'Rejected calls, by reason', () => admission.refused, 'reason'),
      counter('calls_stuck_total', 'Calls found stuck, by the way they were', () => source.stuckCalls, 'why'),
      gauge(
        'event_loop_delay_seconds',
        'How late the event loop was in the last one to two minutes',
        () => quantilesOf(eventLoopDelay.summary()),
        'quantile',
      ),
      ...(Object.entries(TRAFFIC_HELP) as [keyof TrafficCounts, string][]).map(([key, help]) =>
        counter(`${snakeCase(key)}_total`, help, () => this.traffic[key]),
      ),
    ];
    for (const metric of [...own, ...others]) this.add(metric);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  async text(): Promise<string> {
    const { latencies } = this.source;
    this.traffic = this.source.traffic;
    return (
      (await this.registry.metrics()) +
      histogramText('stage_seconds', "A frame's way through the gateway, by stage", {
        'stage="socket_decoded"': latencies.transcodeIn,
        'stage="decoded_leg"': latencies.decodedLeg,
        'stage="leg_encoded"': latencies.legEncoded,
        'stage="encoded_socket"': latencies.encodedSocket,
        'stage="gateway"': latencies.gateway,
      }) +
      histogramText('encode_seconds', 'Samples to message bytes, without any wait', {
        '': latencies.transcodeOut,
      }) +
      histogramText('playout_lead_seconds', 'Audio the listener has waiting', { '': latencies.playoutLead }) +
      histogramText('intake_jitter_seconds', 'How far messages come from the pace of their audio', {
        '': latencies.intakeJitter,
      }) +
      this.histograms
        .map(({ name, help, read }) => histogramText(name, help, { '': read() }, REQUEST_BUCKETS_US))
        .join('')
    );
  }

  private add(metric: Metric): void {
    if (metric.kind === 'histogram') {
      this.histograms.push(metric);
      return;
    }
    const { name, help, kind, label } = metric;
    new (kind === 'gauge' ? Gauge : Counter)({
      name: `trunkline_${name}`,
      help,
      labelNames: label === undefined ? [] : [label],
      registers: [this.registry],
      // The values are kept elsewhere, so each scrape sets all of them again.
      collect() {
        this.reset();
        const reading = metric.read();
        if (typeof reading === 'number') this.inc(reading);
        else for (const [value, number] of reading) this.inc({ [label as string]: value }, number);
      },
    });
  }
}

function quantilesOf({ p50Us, p99Us, p999Us }: LatencySummary): ReadonlyMap<string, number> {
  return new Map([
    ['0.5', p50Us / 1e6],
    ['0.99', p99Us / 1e6],
    ['0.999', p999Us / 1e6],
  ]);
}

/** Our histograms are finer than prom-client's and recorded per frame, so they are written out here. */
function histogramText(
  name: string,
  help: string,
  byLabel: Readonly<Record<string, LatencyHistogram>>,
  bucketsUs: readonly number[] = LATENCY_BUCKETS_US,
): string {
  const lines = [`# HELP trunkline_${name} ${help}`, `# TYPE trunkline_${name} histogram`];
  for (const [label, histogram] of Object.entries(byLabel)) {
    const both = (le: string) => `{${label === '' ? '' : `${label},`}le="${le}"}`;
    const own = label === '' ? '' : `{${label}}`;
    for (const us of bucketsUs) {
      lines.push(`trunkline_${name}_bucket${both(String(us / 1e6))} ${histogram.countUpTo(us)}`);
    }
    lines.push(`trunkline_${name}_bucket${both('+Inf')} ${histogram.count}`);
    lines.push(`trunkline_${name}_sum${own} ${histogram.sumSeconds}`);
    lines.push(`trunkline_${name}_count${own} ${histogram.count}`);
  }
  return `${lines.join('\n')}\n`;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
