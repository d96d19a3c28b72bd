import type { LatencySummaries } from '../telemetry/latencies.js';
import type { TrafficCounts } from '../telemetry/traffic.js';
import type { CallState, EndCause } from './call.js';
import type { Admission, PhoneCall } from './decision.js';
import type { HistoryEntry } from './history.js';
import type { Session } from './session.js';

/** A call as `/v1/calls` shows it. Plain JSON, so that nodes can exchange it. */
export interface CallView {
  readonly callId: string;
  readonly callSid: string | undefined;
  readonly direction: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** `detached`: between two nodes, waiting for Twilio's continuation request. */
  readonly state: CallState | 'detached';
  readonly status?: string | undefined;
  /** Who or what answered an outbound call, if machine detection was requested. */
  readonly answeredBy?: string | undefined;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly endedAt?: string | undefined;
  readonly endCause?: EndCause | undefined;
  readonly durationSeconds: number | null;
  readonly streamSid?: string | undefined;
  /** Its room in the bridge, once decided. */
  readonly room?: string | undefined;
  readonly held?: boolean | undefined;
  /** Which side is muted. */
  readonly muted?: Admission['mute'];
  readonly playedMs?: number;
  readonly leadMs?: number;
  readonly traffic?: TrafficCounts;
  readonly latency?: LatencySummaries;
  /** Twilio's callbacks about this call, in order. */
  readonly history?: readonly HistoryEntry[];
}

export function viewOf(
  call: PhoneCall,
  session: Pick<Session, 'stream' | 'decision' | 'room'> | undefined,
): CallView {
  const { stream } = session ?? {};
  return {
    callId: call.callId,
    callSid: call.callSid,
    direction: call.direction,
    from: call.from,
    to: call.to,
    state: call.state,
    status: call.callStatus,
    answeredBy: call.answeredBy,
    startedAt: call.startedAt.toISOString(),
    endedAt: call.endedAt?.toISOString(),
    endCause: call.endCause,
    durationSeconds: call.durationSeconds,
    history: call.history.entries,
    ...placeOf(session),
    ...(stream && {
      streamSid: stream.streamSid,
      playedMs: Math.round(stream.playedMs),
      leadMs: Math.round(stream.leadMs),
      traffic: stream.counts(),
      latency: stream.latencies.summaries(),
    }),
  };
}

/** Room, hold and mute of a bridged call. */
function placeOf(
  session: Pick<Session, 'decision' | 'room'> | undefined,
): Pick<CallView, 'room' | 'held' | 'muted'> {
  const { decision } = session ?? {};
  if (session === undefined || decision === undefined || 'refuse' in decision) return {};
  const { bridge = true, hold = false, mute } = decision;
  return { ...(bridge && { room: session.room }), held: hold !== false, ...(mute && { muted: mute }) };
}
