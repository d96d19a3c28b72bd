import type { LatencySummaries } from '../telemetry/latencies.js';
import type { TrafficCounts } from '../telemetry/traffic.js';
import type { EndCause } from './call.js';
import { type CallResult, resultOf } from './result.js';
import type { Session } from './session.js';

/** Summary of a call after it has ended. */
export interface CallReport {
  readonly cause: EndCause;
  readonly result: CallResult;
  readonly durationSeconds: number;
  readonly traffic: TrafficCounts;
  /** Latency of its frames, by stage. */
  readonly latency: LatencySummaries;
}

export function reportOf({ call, stream }: Session, cause: EndCause): CallReport {
  return {
    cause,
    result: resultOf(cause, stream.streamSid !== undefined),
    durationSeconds: call.durationSeconds ?? 0,
    traffic: stream.counts(),
    latency: stream.latencies.summaries(),
  };
}

/** The report as one log line: flat and short, with p50/p99/p99.9 of each stage in microseconds. */
export function logOf({ cause, result, durationSeconds, traffic, latency }: CallReport): object {
  const stages = Object.entries(latency)
    .filter(([, { count }]) => count > 0)
    .map(([stage, { p50Us, p99Us, p999Us }]) => [
      stage,
      [p50Us, p99Us, p999Us].map((us) => us.toFixed(us < 100 ? 1 : 0)).join('/'),
    ]);
  return { cause, result, seconds: durationSeconds, ...traffic, us: Object.fromEntries(stages) };
}
