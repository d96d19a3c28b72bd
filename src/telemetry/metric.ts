import type { LatencyHistogram } from './histogram.js';

/** A number, or with a label one for each of its values. */
type Reading = number | ReadonlyMap<string, number>;

/** How the values of a machine's workers become one value. Counters and histograms are added. */
export type Merge = 'sum' | 'max' | 'min';

/** A figure of `/metrics`, kept elsewhere and read at every scrape. Its name gets the prefix `trunkline_`. */
export type Metric = { readonly name: string; readonly help: string } & (
  | {
      readonly kind: 'gauge';
      readonly merge?: Merge | undefined;
      readonly label?: string | undefined;
      read(): Reading;
    }
  | { readonly kind: 'counter'; readonly label?: string | undefined; read(): Reading }
  | {
      readonly kind: 'histogram';
      /** Upper edges of its buckets in microseconds; default: 1 ms to 10 s. */
      readonly edgesUs?: readonly number[];
      /** One, or several by label as Prometheus writes it. */
      read(): LatencyHistogram | Readonly<Record<string, LatencyHistogram>>;
    }
);

/** For what takes a network, or another program: 1 ms to 10 s. */
export const REQUEST_EDGES_US = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7];

/** For a frame's way: 1 µs to 0.5 s. */
const FRAME_EDGES_US = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5];

/** A figure that rises and falls; the workers of a machine add up unless `merge` says otherwise. */
export function gauge(
  name: string,
  help: string,
  read: () => Reading,
  { label, merge = 'sum' }: { readonly label?: string; readonly merge?: Merge } = {},
): Metric {
  return { name, help, kind: 'gauge', merge, label, read };
}

/** A figure that only grows; its name ends in `_total`. */
export function counter(name: string, help: string, read: () => Reading, label?: string): Metric {
  return { name, help, kind: 'counter', label, read };
}

/** Times from 1 ms to 10 s; its name ends in `_seconds`. */
export function durations(name: string, help: string, histogram: LatencyHistogram): Metric {
  return { name, help, kind: 'histogram', read: () => histogram };
}

/** Times of frames, from 1 µs to 0.5 s; its name ends in `_seconds`. */
export function frameTimes(
  name: string,
  help: string,
  read: () => LatencyHistogram | Readonly<Record<string, LatencyHistogram>>,
): Metric {
  return { name, help, kind: 'histogram', edgesUs: FRAME_EDGES_US, read };
}
