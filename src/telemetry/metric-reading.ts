import { LatencyHistogram } from './histogram.js';
import { type Merge, type Metric, REQUEST_EDGES_US } from './metric.js';

/** The samples of a metric: what follows its name in Prometheus' text, such as `{reason="full"}`, and the value. */
export type Samples = readonly (readonly [suffix: string, value: number])[];

/** A metric at one moment, as plain JSON: workers send theirs to their supervisor. */
export interface MetricReading {
  readonly name: string;
  readonly help: string;
  readonly kind: Metric['kind'];
  readonly merge: Merge;
  readonly samples: Samples;
}

/** Reads a metric. */
export function readingOf(metric: Metric): MetricReading {
  const { name, help, kind } = metric;
  const { merge = 'sum' } = kind === 'gauge' ? metric : {};
  return { name, help, kind, merge, samples: samplesOf(metric) };
}

/** Prometheus' text format 0.0.4. */
export function exposition(readings: Iterable<MetricReading>): string {
  let text = '';
  for (const { name, help, kind, samples } of readings) {
    text += `# HELP trunkline_${name} ${help}\n# TYPE trunkline_${name} ${kind}\n`;
    for (const [suffix, value] of samples) text += `trunkline_${name}${suffix} ${value}\n`;
  }
  return text;
}

/**
 * Merges the readings of several processes, metric by metric and sample by sample. A histogram with other buckets than the
 * first one's, of another version, is left out: it has no sum with it.
 */
export function merged(pages: Iterable<readonly MetricReading[]>): MetricReading[] {
  const all = new Map<string, { readonly first: MetricReading; readonly values: Map<string, number> }>();
  for (const reading of [...pages].flat()) {
    const { name, kind, merge, samples } = reading;
    const known = all.get(name);
    if (known === undefined) {
      all.set(name, { first: reading, values: new Map(samples) });
      continue;
    }
    const { first, values } = known;
    const isAlike = kind !== 'histogram' || samples.every(([suffix]) => values.has(suffix));
    if (first.kind !== kind || !isAlike) continue;
    for (const [suffix, value] of samples) {
      const other = values.get(suffix);
      if (other === undefined) values.set(suffix, value);
      else values.set(suffix, merge === 'sum' ? other + value : Math[merge](other, value));
    }
  }
  return [...all.values()].map(({ first, values }) => ({ ...first, samples: [...values] }));
}

function samplesOf(metric: Metric): Samples {
  if (metric.kind === 'histogram') {
    const { edgesUs = REQUEST_EDGES_US } = metric;
    const read = metric.read();
    const byLabel = read instanceof LatencyHistogram ? { '': read } : read;
    return Object.entries(byLabel).flatMap(([label, each]) => bucketsOf(label, each, edgesUs));
  }
  const values = metric.read();
  if (typeof values === 'number') return [['', values]];
  return [...values].map(([value, number]) => [`{${metric.label}="${escaped(value)}"}`, number]);
}

function bucketsOf(label: string, histogram: LatencyHistogram, edgesUs: readonly number[]): Samples {
  const bucket = (le: number | string) => `_bucket{${label === '' ? '' : `${label},`}le="${le}"}`;
  const own = label === '' ? '' : `{${label}}`;
  return [
    ...edgesUs.map((us) => [bucket(us / 1e6), histogram.countUpTo(us)] as const),
    [bucket('+Inf'), histogram.count],
    [`_sum${own}`, histogram.sumSeconds],
    [`_count${own}`, histogram.count],
  ];
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}
