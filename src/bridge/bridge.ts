import type { GatewayError } from '../errors.js';
import type { FrameSink } from '../media/frame.js';
import type { MarkEcho } from '../phone/marks.js';
import type { Metric } from '../telemetry/metric.js';

/** What a bridge needs to know about a call. */
export interface JoinRequest {
  readonly callId: string;
  /** Where the call goes; calls with the same room meet. */
  readonly room: string;
  /** Who joins. Bridges without users ignore it. */
  readonly user: BridgeUser;
  /** Aborted when the call ends before it has joined. */
  readonly signal: AbortSignal;
}

/** Who a phone is in its bridge. */
export interface BridgeUser {
  /** Opaque id, never the phone number. */
  readonly id: string;
  /** Name that the other participants see. */
  readonly name?: string;
  /** Data of your own, passed on with the user. */
  readonly custom?: Readonly<Record<string, unknown>>;
}

/** The phone as a bridge sees it: it accepts frames for the caller, and a few commands. */
export interface PhoneLine extends FrameSink {
  /** Whether somebody is on the phone: false while it still rings. */
  readonly isLive: boolean;
  /**
   * Drops all queued audio, so that the caller hears silence at once (barge-in).
   * @returns milliseconds of audio the caller has heard so far, and milliseconds dropped
   */
  clear(): { readonly playedMs: number; readonly discardedMs: number };
  /**
   * Places a mark behind all audio so far. The leg's `marked` is called when the caller has heard it.
   * @throws GatewayError `GW_STREAM_CLOSED`, `GW_TOO_MANY_MARKS`
   */
  mark(name: string): void;
  /** Hangs up once the caller has heard all queued audio; at once with `now`. */
  hangUp(options?: { readonly now?: boolean }): void;
  /** Milliseconds of audio queued ahead of the caller, as measured at the phone; Infinity while audio is held back. Default 0. */
  readonly leadMs?: number;
  /**
   * Transfers the caller to another number and leaves the call.
   * @throws GatewayError `GW_TRANSFER_TO` for an invalid number, `GW_TRANSFER_IMPOSSIBLE` for a call without a continuation URL
   */
  transfer(to: string): void;
  /** The bridge has lost the other side for good: an announcement is played to the caller, then the call ends. */
  fail(error: unknown): void;
}

/** How a call was answered. */
export interface AnsweredFacts {
  /** `inbound`, or `outbound-api` for a call that we placed; absent if unknown. */
  readonly direction?: string | undefined;
  /** Seconds from the webhook, or from placing the call, until its audio flowed; absent if unknown. */
  readonly ringSeconds?: number;
  /** Whether the call was handed over from another node, so that the caller has been greeted already. */
  readonly isContinued?: boolean;
}

/** A call's place in a bridge: accepts the caller's frames until it is closed. */
export interface BridgeLeg extends FrameSink {
  /**
   * The call was answered. Called once, before any of the caller's frames; frames wait for the promise, if it returns one.
   * @returns a promise that rejects if the phone cannot join: the call then ends as after a failed `join`
   */
  answered?(facts: AnsweredFacts): void | Promise<void>;
  /** A key the caller pressed: one of `0–9 * # A–D`. */
  dtmf(digit: string): void;
  /** The phone has reached a mark of {@link PhoneLine.mark}, or dropped it. */
  marked?(echo: MarkEcho): void;
  /** Leaves; idempotent. No frame reaches the line afterwards. A returned promise settles when everything is freed. */
  close(): void | Promise<void>;
}

/** A program as its room sees it: it hears the other members and receives the room's events. */
export interface Program extends FrameSink {
  /** A phone was answered; `facts` if known. */
  phoneJoined(callId: string, facts?: AnsweredFacts): void;
  /** A phone hung up or was transferred. */
  phoneLeft(callId: string): void;
  /** A caller pressed a key: one of `0–9 * # A–D`. */
  pressed(callId: string, digit: string): void;
  /** A command that it gave its leg could not be carried out, and that showed only later. */
  commandFailed?(error: GatewayError): void;
  /** Its place in the room is gone for good: the call has ended, or could not be joined for the reason given. */
  roomEnded?(error?: GatewayError): void;
}

/** What became of a program's mark: the caller heard all audio before it, it was dropped, or it was only sent. */
export type MarkPlace = 'heard' | 'cleared' | 'sent';

/** A program's place in a room: accepts its frames, at the pace of speech, until it is closed. */
export interface ProgramLeg extends FrameSink {
  /** Call ids of the answered phones in the room. */
  readonly phones: readonly string[];
  /** How far ahead of its listeners it may write, in milliseconds; changes as members join and leave. */
  readonly aheadMs: number;
  /** The program has nothing more to say for now, so the mix no longer waits for its frames. */
  endTalkspurt(): void;
  /**
   * Drops the audio that is queued at the phones or on its way to them (barge-in).
   * @returns milliseconds dropped, on the way to the phone that had heard the least
   */
  clear(): number;
  /** Calls `done` once the caller has heard all audio written so far; with no phone or several, `done` gets `sent`. */
  mark(done: (place: MarkPlace) => void): void;
  /**
   * Milliseconds of audio queued ahead of the caller; Infinity while the phone accepts none, or the program has to join again.
   * 0 without a phone, and with three or more members: a mix waits for nobody.
   */
  readonly leadMs: number;
  /**
   * Hangs up once the caller has heard all audio written so far.
   * @param callId only this phone; default all
   * @param now without waiting for the audio
   * @returns the number of phones hung up
   */
  hangUp(callId?: string, now?: boolean): number;
  /**
   * Transfers callers to another number once they have heard all audio written so far.
   * @param callId only this phone; default all
   * @returns the number of phones transferred
   * @throws GatewayError as {@link PhoneLine.transfer}
   */
  transfer(to: string, callId?: string): number;
  /** Leaves; idempotent. */
  close(): void;
}

/** Connects calls to the other party: a room, a Stream call, or your own. */
export interface Bridge {
  readonly name: string;
  /**
   * Whether a call may outlast its media stream: for a transfer, or for an announcement when the bridge fails. If so, Twilio
   * gets a continuation URL. Default false.
   */
  readonly continuesCalls?: boolean;
  /** Whether new calls are rejected as busy. Read for every new call, so it must be cheap. */
  readonly isOverloaded?: boolean;
  /** The WebRTC it runs on, and why it is not a better one, for `/health`; absent if it needs none. */
  readonly webrtc?: string | undefined;
  /** Checks the settings and prepares for calls. Called before the gateway listens. */
  open?(): Promise<void>;
  /** The default room of a call; if absent, each call has its own room. */
  roomOf?(callId: string): string;
  /** Metrics for operators. */
  readonly metrics?: readonly Metric[];
  /**
   * Joins a phone, or prepares for it while it rings: {@link BridgeLeg.answered} is then called later.
   * Audio may reach `line` before the promise is fulfilled.
   */
  join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg>;
  /**
   * Joins a program to a room, which is created if necessary. Absent if the bridge has no such rooms.
   * @param onlyListens the program hears all members, says nothing and does not count as a member
   * @param user who it is; bridges without users ignore it
   * @throws GatewayError for a room or a user that cannot be, e.g. `GW_STREAM_CALL_NAME`
   */
  joinProgram?(room: string, program: Program, onlyListens: boolean, user?: Partial<BridgeUser>): ProgramLeg;
  /**
   * Checks the name of a room for a program. Absent if any will do.
   * @throws GatewayError for a name that no room can have, e.g. `GW_STREAM_CALL_NAME`
   */
  checkRoom?(room: string): void;
  /** Frees all resources; called after every call has ended. */
  close(): Promise<void>;
}
