import type { AgentState } from '../calls/agent-state.js';
import type { CallReport } from '../calls/call-report.js';
import type { PlayResult } from '../control/call-audio.js';
import type { HandoverReason } from '../fleet/redis-call-registry.js';
import type { MarkEcho } from '../phone/marks.js';
import type { RecordingResult } from '../recording/recording.js';

/**
 * The data of each event type, besides the call. Within a version, fields and types are added but never
 * changed.
 */
export interface EventData {
  /** A call is known: its webhook arrived, or it is about to be placed. */
  'call.started': Record<string, never>;
  /** Audio flows. `ringSeconds` count from the webhook or the placement. */
  'call.answered': { readonly streamSid: string; readonly ringSeconds: number };
  /**
   * Twilio detected who or what answered an outbound call: `human`, `machine_end_beep`, `fax`, `unknown`, …
   */
  'call.answered-by': { readonly answeredBy: string; readonly afterMs?: number };
  /** The caller pressed a key: one of `0–9 * # A–D`. */
  'call.dtmf': { readonly digit: string };
  /** The call's agent has taken it, was lost, or there is none in the end. */
  'call.agent': AgentState;
  /** A mark of `POST /v1/calls/{id}/mark` was heard, or cleared. */
  'call.mark': MarkEcho;
  /** A play has ended, and why. */
  'call.played': PlayResult;
  /**
   * A recording has ended and its file, on the node that reports it, is closed; possibly after the call has
   * ended.
   */
  'call.recorded': Omit<RecordingResult, 'callId' | 'error'>;
  /** The call moved to another node of the fleet, which reports it. */
  'call.handover': { readonly from: string; readonly to: string; readonly reason: HandoverReason };
  /** The call has ended, with its cause and report. */
  'call.ended': CallReport;
}

/** The name of an event, such as `call.ended`. */
export type EventType = keyof EventData;

/** The call of an event. Phone numbers are not masked, because receivers are trusted. */
export interface EventCall {
  readonly callId: string;
  readonly callSid?: string | undefined;
  readonly direction?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** One event: the body of a webhook, and the data of a server-sent event. */
export interface GatewayEvent<T extends EventType = EventType> {
  /** Unique; a repeated delivery has the same id. */
  readonly id: string;
  readonly type: T;
  readonly version: 1;
  /** ISO 8601, UTC. */
  readonly timestamp: string;
  readonly call: EventCall;
  readonly data: EventData[T];
}

/** An event as stored and sent: its JSON is made once. */
export interface LoggedEvent {
  readonly id: string;
  readonly type: EventType;
  readonly callId: string;
  readonly json: string;
}
