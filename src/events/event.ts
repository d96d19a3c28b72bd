import type { CallReport } from '../calls/call-report.js';
import type { PlayResult } from '../control/call-audio.js';
import type { HandoverReason } from '../fleet/redis-call-registry.js';
import type { MarkEcho } from '../phone/marks.js';
import type { RecordingResult } from '../recording/recording.js';

/** What each type of event says besides the call. Fields and types are added, never changed, within a version. */
export interface EventData {
  /** A call is known: its webhook came, or it is about to be placed. */
  'call.started': Record<string, never>;
  /** Audio flows, so many seconds after the webhook or after the call was placed. */
  'call.answered': { readonly streamSid: string; readonly ringSeconds: number };
  /** Twilio found out who or what answered a call that we placed: `human`, `machine_end_beep`, `fax`, `unknown`, … */
  'call.answered-by': { readonly answeredBy: string; readonly afterMs?: number };
  /** The caller pressed a key: one of `0–9 * # A–D`. */
  'call.dtmf': { readonly digit: string };
  /** A mark of `POST /v1/calls/{id}/mark` was heard, or taken back (`cleared`). */
  'call.mark': MarkEcho;
  /** What was played to the caller is over, and why. */
  'call.played': PlayResult;
  /** A recording is over and its file, at the node that tells of it, closed; also after the end of its call. */
  'call.recorded': Omit<RecordingResult, 'callId' | 'error'>;
  /** The call goes on at another node of the fleet; told by that node. */
  'call.handover': { readonly from: string; readonly to: string; readonly reason: HandoverReason };
  /** The call is over; why, and how it was. */
  'call.ended': CallReport;
}

export type EventType = keyof EventData;

/** Of which call. Phone numbers are written out: an event goes to whoever may know them. */
export interface EventCall {
  readonly callId: string;
  readonly callSid?: string | undefined;
  readonly direction?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** One event: the body of a webhook, and the data of a server-sent event. */
export interface GatewayEvent<T extends EventType = EventType> {
  /** Unique: an event that is delivered twice has the same. */
  readonly id: string;
  readonly type: T;
  readonly version: 1;
  /** ISO 8601, UTC. */
  readonly timestamp: string;
  readonly call: EventCall;
  readonly data: EventData[T];
}

/** An event as it is kept and sent: its JSON is written once. */
export interface LoggedEvent {
  readonly id: string;
  readonly type: EventType;
  readonly callId: string;
  readonly json: string;
}
