import { z } from 'zod';
import { GatewayError, mistakesOf } from '../errors.js';
import { type OutboundOptions, outboundOptions } from '../twilio/outbound-options.js';
import { AgentName } from './agent-name.js';

export const PlaceCall = z
  .strictObject({
    to: z.string().min(1).max(256),
    from: z.string().min(1).max(256).optional(),
    callId: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'not 1 to 64 letters, digits, "_" or "-"')
      .optional(),
    room: z.string().min(1).max(256).optional(),
    agent: z.union([z.literal(false), AgentName]).optional(),
    ringTimeoutSeconds: z.int().min(1).max(600).optional(),
    ...outboundOptions,
  })
  // Twilio accepts both and then detects nothing.
  .refine(({ sendDigits, machineDetection }) => sendDigits === undefined || machineDetection === undefined, {
    path: ['sendDigits'],
    message: 'not together with machineDetection',
  })
  .meta({ title: 'PlaceCall' });

/** A call that Twilio is ringing. */
export const PlacedCall = z.object({ callId: z.string(), callSid: z.string() }).meta({ title: 'PlacedCall' });

/** An outbound call to place. */
export interface PlaceCallRequest extends OutboundOptions {
  /** E.164, `client:name` or `sip:…`. */
  readonly to: string;
  /** Caller id; default `TWILIO_FROM`. */
  readonly from?: string;
  /** 1 to 64 characters of `A–Z a–z 0–9 _ -`; random by default. */
  readonly callId?: string;
  /** Room to join; overrides the hook's decision. */
  readonly room?: string;
  /** Who speaks to the callee, as in a decision: a URL, a model or a name; overrides the hook's decision. `false` for nobody. */
  readonly agent?: string | false;
  /** How long to ring, in seconds, 1 to 600; default 60. */
  readonly ringTimeoutSeconds?: number;
}

/** @throws GatewayError `GW_BAD_REQUEST` (400) naming every mistake */
export function checkPlaceCall(request: unknown): PlaceCallRequest {
  const result = PlaceCall.safeParse(request);
  if (!result.success) {
    throw new GatewayError(
      'GW_BAD_REQUEST',
      `Expected a call to place but received ${mistakesOf(result.error)}`,
    );
  }
  // Optional fields are absent, not undefined; zod's output type does not express that.
  return result.data as PlaceCallRequest;
}

/** Errors of placing a call, besides `GW_BAD_REQUEST`. */
export const PLACE_ERRORS = [
  'GW_FROM_MISSING',
  'GW_TWIML_TOO_LONG',
  'GW_CALL_REFUSED',
  'GW_CALL_EXISTS',
  'GW_CALL_ENDED',
  'GW_PREPARE_TIMEOUT',
  'GW_TWILIO_REFUSED',
  'GW_DRAINING',
  'GW_FULL',
  'GW_OVERLOADED',
  'GW_TWILIO_NOT_CONFIGURED',
  'GW_PUBLIC_URL_MISSING',
  'GW_REGISTRY_DOWN',
  'GW_REGISTRY_ERROR',
] as const;
