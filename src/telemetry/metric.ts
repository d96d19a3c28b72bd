import type { LatencyHistogram } from './histogram.js';

/** A number, or with a label one for each of its values. */
type Reading = number | ReadonlyMap<string, number>;

/** A figure of `/metrics`, kept elsewhere and read at every scrape. Its name gets the prefix `trunkline_`. */
export type Metric = { readonly name: string; readonly help: string } & (
  | { readonly kind: 'gauge' | 'counter'; readonly label?: string | undefined; read(): Reading }
  | { readonly kind: 'histogram'; read(): LatencyHistogram }
);

/** A figure that rises and falls. */
export function gauge(name: string, help: string, read: () => Reading, label?: string): Metric {
  return { name, help, kind: 'gauge', label, read };
}

/** A figure that only grows; its name ends in `_total`. */
export function counter(name: string, help: string, read: () => Reading, label?: string): Metric {
  return { name, help, kind: 'counter', label, read };
}

/** Times from 1 ms to 10 s; its name ends in `_seconds`. */
export function durations(name: string, help: string, histogram: LatencyHistogram): Metric {
  return { name, help, kind: 'histogram', read: () => histogram };
}
