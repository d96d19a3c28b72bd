import { Counter, Gauge, Registry } from 'prom-client';
import type { EventLoopDelay } from './event-loop-delay.js';
import type { LatencyHistogram } from './histogram.js';
import type { Latencies } from './latencies.js';
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
    /** Calls turned away by reason. */
    readonly refused: ReadonlyMap<string, number>;
  };
}

/** A number that somebody else keeps. */
export interface PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly kind: 'gauge' | 'counter';
  read(): number;
}

/** Numbers that somebody else keeps, one for each value of a label. */
export interface LabelledMetric {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  read(): ReadonlyMap<string, number>;
}

/** Times that somebody else keeps, from a millisecond up. */
export interface HistogramMetric {
  readonly name: string;
  readonly help: string;
  readonly histogram: LatencyHistogram;
}

export type Metric = PlainMetric | LabelledMetric | HistogramMetric;

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
  leadClears: 'Times a phone was told to drop what it would have heard too late',
  droppedBackpressure: 'Frames dropped because the socket did not take them',
  underruns: 'Times a listener ran dry in the middle of speech',
  dtmf: 'DTMF digits received',
  marks: 'Mark echoes received',
};

/** For what takes a network, or another program: 1 ms to 10 s. */
const REQUEST_BUCKETS_US = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7];

const LATENCY_BUCKETS_US = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5];

/** Prometheus text of one gateway; every gateway of a process has a registry of its own. */
export class Metrics {
  private readonly registry = new Registry();
  /** The traffic of the scrape at hand: all its counters are of one moment. */
  private traffic: Traffic;
  private readonly histograms: HistogramMetric[] = [];

  /** @param figures more numbers, e.g. of the bridge */
  constructor(
    private readonly source: MetricsSource,
    figures: readonly Metric[] = [],
  ) {
    this.traffic = source.traffic;
    // Not prom-client's default metrics: their observers cannot be stopped when a gateway closes.
    this.gauge('process_resident_memory_bytes', 'Resident set size', () => process.memoryUsage.rss());
    this.gauge('process_heap_used_bytes', 'JavaScript heap in use', () => process.memoryUsage().heapUsed);
    this.counter('process_cpu_seconds_total', 'User and system CPU time', [], (counter) => {
      const { user, system } = process.cpuUsage();
      counter.inc((user + system) / 1e6);
    });
    this.gauge('calls_active', 'Calls known to the registry and not ended', () => source.activeCalls);
    this.gauge('draining', '1 while no new calls are taken', () => (source.draining ? 1 : 0));
    this.counter('calls_ended_total', 'Ended calls by cause', ['cause'], (counter) => {
      for (const [cause, n] of source.endedCalls) counter.inc({ cause }, n);
    });
    this.gauge('calls_max', 'Most calls at a time', () => source.admission.maxCalls);
    this.gauge('admission_open', '1 while new calls are taken', () =>
      source.admission.busyReason === undefined ? 1 : 0,
    );
    this.counterBy('calls_result_total', 'Ended calls by whose doing it was', 'result', () => source.results);
    const { admission } = source;
    this.counterBy('calls_refused_total', 'Calls turned away, by reason', 'reason', () => admission.refused);
    this.counterBy(
      'calls_stuck_total',
      'Calls found stuck, by the way they were',
      'why',
      () => source.stuckCalls,
    );
    const { eventLoopDelay } = source;
    new Gauge({
      name: 'trunkline_event_loop_delay_seconds',
      help: 'How late the event loop was in the last one to two minutes',
      labelNames: ['quantile'],
      registers: [this.registry],
      collect() {
        const { p50Us, p99Us, p999Us } = eventLoopDelay.summary();
        this.set({ quantile: '0.5' }, p50Us / 1e6);
        this.set({ quantile: '0.99' }, p99Us / 1e6);
        this.set({ quantile: '0.999' }, p999Us / 1e6);
      },
    });
    for (const [key, help] of Object.entries(TRAFFIC_HELP) as [keyof TrafficCounts, string][]) {
      this.counter(`${snakeCase(key)}_total`, help, [], (counter) => counter.inc(this.traffic[key]));
    }
    for (const figure of figures) {
      const { name, help } = figure;
      if ('histogram' in figure) this.histograms.push(figure);
      else if ('label' in figure) this.counterBy(name, help, figure.label, figure.read);
      else if (figure.kind === 'gauge') this.gauge(name, help, figure.read);
      else this.counter(name, help, [], (counter) => counter.inc(figure.read()));
    }
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
        .map(({ name, help, histogram }) => histogramText(name, help, { '': histogram }, REQUEST_BUCKETS_US))
        .join('')
    );
  }

  private gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name: `trunkline_${name}`,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  private counterBy(
    name: string,
    help: string,
    label: string,
    read: () => ReadonlyMap<string, number>,
  ): void {
    this.counter(name, help, [label], (counter) => {
      for (const [value, count] of read()) counter.inc({ [label]: value }, count);
    });
  }

  private counter(name: string, help: string, labelNames: string[], read: (counter: Counter) => void): void {
    new Counter({
      name: `trunkline_${name}`,
      help,
      labelNames,
      registers: [this.registry],
      // The truth is kept elsewhere: the counter is written anew at every scrape.
      collect() {
        this.reset();
        read(this);
      },
    });
  }
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
