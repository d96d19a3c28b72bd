import type { CallWebhookInput } from '../twilio/webhook.js';
import type { CallView } from './call-view.js';
import type { CallbackKind } from './callbacks.js';
import type { PlaceCallRequest } from './place-call.js';
import type { Session } from './session.js';

/** A call that was placed. */
export interface PlacedCall {
  readonly callId: string;
  readonly callSid: string;
}

/**
 * What the HTTP routes need from calls: implemented by the switchboard of one process and by a whole fleet.
 */
export interface CallService {
  /**
   * Answers an inbound webhook with TwiML. A repeat of the same CallSid gets the same answer.
   * @param publicBase `https://host/prefix` under which Twilio finds our routes
   * @param tries how many nodes have already redirected this caller because they could not accept the call
   */
  answer(input: CallWebhookInput, publicBase: string, tries?: number): Promise<string>;
  /** Places an outbound call. */
  place(request: PlaceCallRequest, publicBase: string): Promise<PlacedCall>;
  /** Claims a call for its media socket. The token is used up. */
  connect(callId: string, token: string): Session | Promise<Session>;
  /**
   * Answers Twilio's request for TwiML after a media stream has ended.
   * @param tries how many times Twilio has already been asked to retry
   */
  continueCall(input: CallWebhookInput, publicBase: string, tries: number): string | Promise<string>;
  /**
   * Handles a Twilio callback about a call.
   * @param callId set for calls we placed, because a callback may arrive before Twilio's response to our
   *   request
   */
  handleCallback(kind: CallbackKind, input: CallWebhookInput, callId: string | undefined): unknown;
  /** Lists all calls that have not ended. */
  list(): CallView[] | Promise<CallView[]>;
  /** @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  inspect(callId: string): CallView | Promise<CallView>;
  /** Hangs a call up. @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  hangUp(callId: string): Promise<CallView>;
}
