import type { BridgeUser } from '../bridge/bridge.js';
import type { TwilioCall } from '../calls/call.js';
import type { Refusal } from '../twilio/twiml.js';

/** Where a call goes and as whom, or that it is turned away and how. */
export type CallDecision = Admission | { readonly refuse: Refusal };

/** A call that is taken. */
export interface Admission {
  /**
   * False where the call's stream is left to your own code: nothing else listens or plays. True by default.
   */
  readonly bridge?: boolean;
  /** Calls with the same room meet; by default each has a room of its own. */
  readonly room?: string;
  readonly user?: BridgeUser;
  /** Come back from Twilio as `start.customParameters`. */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** A call of this gateway; what its hook decided is had by `awaitPrepare`. */
export type PhoneCall = TwilioCall<CallDecision | undefined>;

/**
 * The user's hook: asked once for every call, inbound at its webhook and outbound before it is placed.
 * Nothing returned means the defaults. An error, or ten seconds without an answer, turns the call away as busy.
 */
export type PrepareCallHook = (
  call: PhoneCall,
  signal: AbortSignal,
) => CallDecision | undefined | Promise<CallDecision | undefined>;
