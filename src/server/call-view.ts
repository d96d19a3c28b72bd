import type { CallState, EndCause } from '../calls/call.js';
import type { LatencySummaries } from '../telemetry/latencies.js';
import type { TrafficCounts } from '../telemetry/traffic.js';
import type { PhoneCall } from './decision.js';
import type { TwilioMediaStream } from './media-stream.js';

/** A call as `/v1/calls` shows it: plain JSON, also on its way between nodes. */
export interface CallView {
  readonly callId: string;
  readonly callSid: string | undefined;
  readonly direction: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** `detached`: between two nodes, Twilio is about to ask where it goes on. */
  readonly state: CallState | 'detached';
  readonly status?: string | undefined;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly endedAt?: string | undefined;
  readonly endCause?: EndCause | undefined;
  readonly durationSeconds: number | null;
  readonly streamSid?: string | undefined;
  readonly playedMs?: number;
  readonly leadMs?: number;
  readonly traffic?: TrafficCounts;
  readonly latency?: LatencySummaries;
}

export function viewOf(call: PhoneCall, stream: TwilioMediaStream | undefined): CallView {
  return {
    callId: call.callId,
    callSid: call.callSid,
    direction: call.direction,
    from: call.from,
    to: call.to,
    state: call.state,
    status: call.callStatus,
    startedAt: call.startedAt.toISOString(),
    endedAt: call.endedAt?.toISOString(),
    endCause: call.endCause,
    durationSeconds: call.durationSeconds,
    ...(stream && {
      streamSid: stream.streamSid,
      playedMs: Math.round(stream.playedMs),
      leadMs: Math.round(stream.leadMs),
      traffic: stream.counts(),
      latency: stream.latencies.summaries(),
    }),
  };
}
