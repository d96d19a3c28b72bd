import type { CallWebhookInput } from '../twilio/webhook.js';
import type { CallView } from './call-view.js';
import type { CallbackKind } from './callbacks.js';
import type { PlaceCallRequest } from './place-call.js';
import type { Session } from './session.js';

export interface PlacedCall {
  readonly callId: string;
  readonly callSid: string;
}

/** What the routes ask for: of the switchboard of this process, or of a whole fleet through it. */
export interface CallService {
  /**
   * Answers an inbound webhook with TwiML; a repeat of the same CallSid gets the same.
   * @param publicBase `https://host/prefix` under which Twilio finds our routes
   * @param tries how often Twilio was sent on by nodes that could not take the caller
   */
  answer(input: CallWebhookInput, publicBase: string, tries?: number): Promise<string>;
  /** Places a call. */
  place(request: PlaceCallRequest, publicBase: string): Promise<PlacedCall>;
  /** Takes a call's socket: the token is used up. */
  connect(callId: string, token: string): Session | Promise<Session>;
  /**
   * Answers Twilio, which asks what comes after a stream, with TwiML.
   * @param tries how often Twilio was told to ask again
   */
  continueCall(input: CallWebhookInput, publicBase: string, tries: number): string | Promise<string>;
  /**
   * Notes what Twilio tells of a call.
   * @param callId of a call that we placed: its callback may come before Twilio's answer to us
   */
  handleCallback(kind: CallbackKind, input: CallWebhookInput, callId: string | undefined): unknown;
  /** Calls that have not ended. */
  list(): CallView[] | Promise<CallView[]>;
  /** @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  inspect(callId: string): CallView | Promise<CallView>;
  /** Hangs a call up. @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  hangUp(callId: string): Promise<CallView>;
}
