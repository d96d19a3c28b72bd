import type { PhoneCall } from '../calls/decision.js';
import { number } from '../setting.js';

/** How long a router may take, both tries included: below the ten seconds of a decision, and Twilio's fifteen. */
export const DEADLINE_MS = 8_000;
/** How long one try may take. */
export const ROUTER_TIMEOUT_MS = {
  format: number(100, DEADLINE_MS, 'milliseconds'),
  default: 3_000,
} as const;

/** Place names and similar data of one side, if Twilio sends them. */
export interface Side {
  readonly name?: string;
  readonly city?: string;
  readonly state?: string;
  readonly zip?: string;
  readonly country?: string;
}

/** The JSON body posted to a router. Within a version, fields are added but never changed. */
export interface RouterQuestion {
  readonly type: 'call.route';
  readonly version: 1;
  readonly callId: string;
  /** Absent for an outbound call, which Twilio does not know yet. */
  readonly callSid?: string;
  readonly accountSid?: string;
  /** `inbound`, or `outbound-api` for calls we place. */
  readonly direction?: string;
  readonly from?: string;
  readonly to?: string;
  readonly caller: Side;
  readonly called: Side;
  readonly forwardedFrom?: string;
  readonly parentCallSid?: string;
  /** The carrier's attestation of the caller id, e.g. `TN-Validation-Passed-A`. */
  readonly stirVerstat?: string;
  /** `SipHeader_…` parameters, without that prefix. */
  readonly sipHeaders: Readonly<Record<string, string>>;
  /** All parameters of Twilio's webhook by their original names; empty for an outbound call. */
  readonly parameters: Readonly<Record<string, string | string[]>>;
}

export function questionOf({
  callId,
  callSid,
  direction,
  from,
  to,
  webhookData: w,
}: PhoneCall): RouterQuestion {
  return withoutAbsent({
    type: 'call.route' as const,
    version: 1 as const,
    callId,
    callSid,
    accountSid: w?.accountSid,
    direction,
    from,
    to,
    caller: withoutAbsent({
      name: w?.callerName,
      city: w?.callerCity,
      state: w?.callerState,
      zip: w?.callerZip,
      country: w?.callerCountry,
    }),
    called: withoutAbsent({
      city: w?.calledCity,
      state: w?.calledState,
      zip: w?.calledZip,
      country: w?.calledCountry,
    }),
    forwardedFrom: w?.forwardedFrom,
    parentCallSid: w?.parentCallSid,
    stirVerstat: w?.stirVerstat,
    sipHeaders: w?.sipHeaders ?? {},
    parameters: w?.parameters ?? {},
  });
}

type Said<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: NonNullable<T[K]>;
};

/** Drops absent and empty fields, which mean the same to Twilio. */
function withoutAbsent<T extends object>(record: T): Said<T> {
  return Object.fromEntries(
    Object.entries(record).filter(([, value]) => value !== undefined && value !== ''),
  ) as Said<T>;
}
