import type { BridgeUser } from '../bridge/bridge.js';
import type { Refusal } from '../twilio/twiml.js';
import type { CallVerb } from '../twilio/verbs.js';
import type { TwilioCall } from './call.js';

/**
 * Where a call goes and as which user, or how it is refused. Plain JSON, since other nodes may receive it.
 */
export type CallDecision = Admission | { readonly refuse: Refusal };

/** An accepted call. */
export interface Admission {
  /** False leaves the media stream to your own code: nothing else listens or plays. Default true. */
  readonly bridge?: boolean;
  /** Calls with the same room meet. By default each call has its own room. */
  readonly room?: string;
  /** A Stream call instead of a room: its type (default `default`) and id. */
  readonly streamCall?: { readonly type?: string; readonly id: string };
  /**
   * Who answers besides those in the room: a `ws(s)://` URL that the gateway dials, a model such as
   * `openai:gpt-realtime`, or a name of `agents.handlers`. Default: the gateway's `agent`; `false` for none.
   */
  readonly agent?: string | false | AgentChoice;
  /** The user to join as. Without an id, these fields are added to the phone's default user. */
  readonly user?: Partial<BridgeUser>;
  /**
   * Returned by Twilio in `start.customParameters`. Each name plus value must be under 500 characters. As
   * TwiML, parameters, `before` and `after` together may take 60 KiB.
   */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Verbs that Twilio executes once before the stream starts. */
  readonly before?: readonly CallVerb[];
  /** Verbs that Twilio executes if the caller is still on the line when the other side ends. */
  readonly after?: readonly CallVerb[];
  /** Whether to send every key the caller presses to the router. */
  readonly dtmf?: boolean;
  /** Whether the call starts on hold, optionally with music from `PLAY_DIR`. */
  readonly hold?: boolean | { readonly file: string };
  /**
   * Who starts muted: `caller` (the room cannot hear the caller), `room` (the caller cannot hear the room),
   * or `both`.
   */
  readonly mute?: 'caller' | 'room' | 'both';
}

/** An agent for a call, and how it answers. What is absent is as the gateway's `agents` say. */
export interface AgentChoice {
  /** As {@link Admission.agent}. */
  readonly to: string;
  /** Samples a second of its audio both ways, for an agent behind a URL or in this process. */
  readonly rate?: 8_000 | 16_000 | 24_000 | 48_000;
  /** What the caller hears until the agent takes the call: `ringback`, `silence`, or a file in `PLAY_DIR`. */
  readonly ring?: string;
  /** What a model is to do. */
  readonly instructions?: string;
  /** A model's voice, by the vendor's name. */
  readonly voice?: string;
  /** What a model says first; empty: it waits for the caller. */
  readonly greeting?: string;
  /** Given to the agent with the call's facts. */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** A call of this gateway; `awaitPrepare` returns the hook's decision. */
export type PhoneCall = TwilioCall<CallDecision | undefined>;

/**
 * Your hook, called once per call: inbound at its webhook, outbound before it is placed. Returning nothing
 * means the defaults. If it throws or takes longer than ten seconds, the call is refused as busy.
 */
export type PrepareCallHook = (
  call: PhoneCall,
  signal: AbortSignal,
) => CallDecision | undefined | Promise<CallDecision | undefined>;
