import type { BridgeUser } from '../bridge/bridge.js';
import type { Refusal } from '../twilio/twiml.js';
import type { CallVerb } from '../twilio/verbs.js';
import type { TwilioCall } from './call.js';

/** Where a call goes and as whom, or that it is turned away and how. Plain data: other nodes may get it, as JSON. */
export type CallDecision = Admission | { readonly refuse: Refusal };

/** A call that is taken. */
export interface Admission {
  /**
   * False where the call's stream is left to your own code: nothing else listens or plays. True by default.
   */
  readonly bridge?: boolean;
  /** Calls with the same room meet; by default each has a room of its own. */
  readonly room?: string;
  /** In place of a room: which Stream call, by its type (default `default`) and id. */
  readonly streamCall?: { readonly type?: string; readonly id: string };
  /** As whom. Without an id the phone keeps the one it has by default, and what is said here is added to it. */
  readonly user?: Partial<BridgeUser>;
  /**
   * Come back from Twilio as `start.customParameters`; name and value together under 500 characters. As TwiML they may
   * take 60 KiB together with `before` and `after`.
   */
  readonly parameters?: Readonly<Record<string, string>>;
  /** What Twilio does with the caller before the stream begins, once. */
  readonly before?: readonly CallVerb[];
  /** What Twilio does with a caller who is still there when the other side is over. */
  readonly after?: readonly CallVerb[];
  /** Whether the router is told of every key the caller presses. */
  readonly dtmf?: boolean;
  /** Whether the call is on hold from its beginning, perhaps with music of `PLAY_DIR`. */
  readonly hold?: boolean | { readonly file: string };
  /** Who is silenced from its beginning: the `caller` for the other side, the `room` for the caller, or `both`. */
  readonly mute?: 'caller' | 'room' | 'both';
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
