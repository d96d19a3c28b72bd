import type { Clock } from '../clock.js';
import type { Metric } from '../telemetry/metric.js';
import {
  exposition,
  type MetricReading,
  merged,
  readingOf,
  type Samples,
} from '../telemetry/metric-reading.js';
import type { PostOffice } from './post-office.js';

/** How long workers have to send their metrics; of one that is late the previous ones are shown. */
const COLLECT_MS = 1_000;
/** How long a page is kept. */
const PAGE_MS = 1_000;
/** Metrics of a worker, and samples of a metric; a gateway has about 80 and 100. */
const MAX_METRICS = 500;
const MAX_SAMPLES = 2_000;

/** What a worker gets for a scrape. */
export interface Page {
  readonly number: number;
  readonly text?: string;
}

/**
 * The metrics of all workers as one page, in the supervisor: every scrape reads it here, whichever worker it reaches. A
 * worker that is gone still counts with its latest counters, so that none of the machine's ever falls.
 */
export class MachineMetrics {
  /** The latest metrics of each worker that serves. */
  private readonly latest = new Map<number, readonly MetricReading[]>();
  /** Counters and histograms of workers that are gone. */
  private past: readonly MetricReading[] = [];
  private page:
    | { readonly number: number; readonly madeAt: number; readonly text: Promise<string> }
    | undefined;
  /** Workers whose metrics are awaited, and what is called when all have come. */
  private awaited = new Set<number>();
  private onCollected = () => {};

  /** @param own metrics of the supervisor itself */
  constructor(
    private readonly office: PostOffice,
    private readonly own: readonly Metric[],
    private readonly clock: Clock,
  ) {
    office.handle('metrics', (about, from) => this.keep(from, checked(about)));
    office.handle('metrics.page', (about) => this.pageAfter((about as { number?: unknown } | null)?.number));
    office.onChange((worker, isServing) => {
      if (!isServing) this.bury(worker);
    });
  }

  /** Prometheus text, at most a second old; without the text for a worker that has it. */
  private async pageAfter(known: unknown): Promise<Page> {
    const now = this.clock.now();
    if (this.page === undefined || now - this.page.madeAt >= PAGE_MS) {
      this.page = { number: (this.page?.number ?? 0) + 1, madeAt: now, text: this.write() };
    }
    const { number, text } = this.page;
    return known === number ? { number } : { number, text: await text };
  }

  private async write(): Promise<string> {
    await this.clock.within(COLLECT_MS, this.collect());
    // The workers come first: theirs are the names and the order.
    return exposition(merged([...this.latest.values(), this.past, this.own.map(readingOf)]));
  }

  private collect(): Promise<void> {
    this.awaited = new Set(this.office.serving);
    return new Promise((resolve) => {
      this.onCollected = resolve;
      if (this.awaited.size === 0) resolve();
      this.office.broadcast('metrics', {});
    });
  }

  private keep(worker: number, readings: readonly MetricReading[]): void {
    // What a worker sends when it is gone has been counted.
    if (this.office.serving.includes(worker)) this.latest.set(worker, readings);
    this.arrived(worker);
  }

  private bury(worker: number): void {
    const sums = (this.latest.get(worker) ?? []).filter(({ kind }) => kind !== 'gauge');
    this.latest.delete(worker);
    this.past = merged([this.past, sums]);
    this.arrived(worker);
  }

  private arrived(worker: number): void {
    if (this.awaited.delete(worker) && this.awaited.size === 0) this.onCollected();
  }
}

/** What of a worker's message is metrics: it may run another version. */
function checked(about: unknown): MetricReading[] {
  return Array.isArray(about) ? about.slice(0, MAX_METRICS).filter(isReading) : [];
}

function isReading(value: unknown): value is MetricReading {
  const { name, help, kind, merge, samples } = (value ?? {}) as Partial<Record<string, unknown>>;
  return (
    isMatch(name, /^[a-z][a-z0-9_]{0,99}$/) &&
    isMatch(help, /^[^\n\\]{0,300}$/) &&
    isMatch(kind, /^(gauge|counter|histogram)$/) &&
    isMatch(merge, /^(sum|max|min)$/) &&
    isSamples(samples)
  );
}

function isSamples(value: unknown): value is Samples {
  return (
    Array.isArray(value) &&
    value.length <= MAX_SAMPLES &&
    value.every(
      (each) =>
        Array.isArray(each) &&
        isMatch(each[0], /^(_bucket|_sum|_count)?(\{[^\n{}]{1,300}\})?$/) &&
        Number.isFinite(each[1]),
    )
  );
}

function isMatch(value: unknown, pattern: RegExp): boolean {
  return typeof value === 'string' && pattern.test(value);
}
