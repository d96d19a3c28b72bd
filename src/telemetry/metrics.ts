import { Counter, Gauge, Registry } from 'prom-client';
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
}

/** A number that somebody else keeps. */
export interface Figure {
  readonly name: string;
  readonly help: string;
  readonly kind: 'gauge' | 'counter';
  read(): number;
}

const TRAFFIC_HELP: Record<keyof TrafficCounts, string> = {
  framesIn: 'Frames of 20 ms received from phones',
  framesOut: 'Frames of 20 ms sent to phones',
  messagesIn: 'WebSocket messages received',
  slowMessages: 'Media messages that took the slow path',
  badMessages: 'Messages dropped because they could not be understood',
  filledMs: 'Milliseconds of silence filled in for missing audio',
  droppedIntake: 'Frames dropped before the bridge leg was up',
  droppedLead: 'Frames dropped because the listener was too far behind',
  droppedBackpressure: 'Frames dropped because the socket did not take them',
  underruns: 'Times a listener ran dry in the middle of speech',
  dtmf: 'DTMF digits received',
  marks: 'Mark echoes received',
};

const LATENCY_BUCKETS_US = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5];

/** Prometheus text of one gateway; every gateway of a process has a registry of its own. */
export class Metrics {
  private readonly registry = new Registry();
  /** The traffic of the scrape at hand: all its counters are of one moment. */
  private traffic: Traffic;

  /** @param figures more numbers, e.g. of the bridge */
  constructor(
    private readonly source: MetricsSource,
    figures: readonly Figure[] = [],
  ) {
    this.traffic = source.traffic;
    // Not prom-client's default metrics: their observers can not be stopped when a gateway closes.
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
    for (const [key, help] of Object.entries(TRAFFIC_HELP) as [keyof TrafficCounts, string][]) {
      this.counter(`${snakeCase(key)}_total`, help, [], (counter) => counter.inc(this.traffic[key]));
    }
    for (const { name, help, kind, read } of figures) {
      if (kind === 'gauge') this.gauge(name, help, read);
      else this.counter(name, help, [], (counter) => counter.inc(read()));
    }
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  async text(): Promise<string> {
    const { transcodeIn, transcodeOut, gateway } = this.source.latencies;
    this.traffic = this.source.traffic;
    return (
      (await this.registry.metrics()) +
      histogramText('trunkline_transcode_in_seconds', 'Message bytes to samples', transcodeIn) +
      histogramText('trunkline_transcode_out_seconds', 'Samples to message bytes', transcodeOut) +
      histogramText('trunkline_gateway_seconds', 'Socket in to socket out', gateway)
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
function histogramText(name: string, help: string, histogram: LatencyHistogram): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const us of LATENCY_BUCKETS_US) {
    lines.push(`${name}_bucket{le="${us / 1e6}"} ${histogram.countUpTo(us)}`);
  }
  lines.push(`${name}_bucket{le="+Inf"} ${histogram.count}`);
  lines.push(`${name}_sum ${histogram.sumSeconds}`, `${name}_count ${histogram.count}`);
  return `${lines.join('\n')}\n`;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
