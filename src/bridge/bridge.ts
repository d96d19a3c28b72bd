import type { FrameSink } from '../media/frame.js';
import type { MarkEcho } from '../phone/marks.js';
import type { Metric } from '../telemetry/metric.js';

/** What a bridge needs to know of a call. */
export interface JoinRequest {
  readonly callId: string;
  /** Where the call goes; calls with the same room meet. */
  readonly room: string;
  /** As whom; bridges that know no users ignore it. */
  readonly user: BridgeUser;
  /** Aborted when the call ends while it is still joining. */
  readonly signal: AbortSignal;
}

export interface BridgeUser {
  /** Opaque id, never the phone number. */
  readonly id: string;
  readonly name?: string;
  readonly custom?: Readonly<Record<string, unknown>>;
}

/** The phone as a bridge sees it: it takes frames for the caller's ear and a few commands. */
export interface PhoneLine extends FrameSink {
  /** Whether somebody is on the phone: false while it still rings. */
  readonly isLive: boolean;
  /**
   * Silences the caller's ear at once: what waits there is dropped (barge-in).
   * @returns milliseconds really heard so far, and milliseconds taken back
   */
  clear(): { readonly playedMs: number; readonly discardedMs: number };
  /**
   * Places a mark behind all audio so far; the leg's `marked` tells when it was reached.
   * @throws GatewayError `GW_STREAM_CLOSED`, `GW_TOO_MANY_MARKS`
   */
  mark(name: string): void;
  /** The other side is over: hangs the phone up, when the caller has heard what was said before, or at once. */
  hangUp(options?: { readonly now?: boolean }): void;
  /** Audio the caller has waiting, in milliseconds, as measured there; Infinity while it is held back. Default 0. */
  readonly leadMs?: number;
  /**
   * Connects the caller with another number and ends this call's part in it.
   * @throws GatewayError `GW_TRANSFER_TO` for what is no number, `GW_TRANSFER_IMPOSSIBLE` where Twilio was not told to come back
   */
  transfer(to: string): void;
  /** The bridge lost the other side for good: says so to the caller and hangs up. */
  fail(error: unknown): void;
}

/** How somebody came to be on a phone. */
export interface AnsweredFacts {
  /** `inbound`, or `outbound-api` for a call that we placed; absent where nobody knows. */
  readonly direction?: string | undefined;
  /** Seconds from the webhook, or from placing the call, until its audio flowed; absent where nobody knows. */
  readonly ringSeconds?: number;
  /** Whether somebody was on it before, at another node: no greeting is due. */
  readonly isContinued?: boolean;
}

/** A call's place in a bridge: takes the caller's frames until it is closed. */
export interface BridgeLeg extends FrameSink {
  /**
   * Somebody is on the phone; told once, as soon as that is so and the leg is there. The caller's frames come after it,
   * where it is a promise, after that.
   * @returns rejects where the phone cannot come in: the call then ends as for a `join` that failed
   */
  answered?(facts: AnsweredFacts): void | Promise<void>;
  /** A key the caller pressed: one of `0–9 * # A–D`. */
  dtmf(digit: string): void;
  /** A mark of {@link PhoneLine.mark} came back. */
  marked?(echo: MarkEcho): void;
  /** Leaves; idempotent. No frame reaches the line afterwards. A promise is settled when all of it is freed. */
  close(): void | Promise<void>;
}

/** A program in a room, as the room sees it: it hears the others and is told what happens. */
export interface Program extends FrameSink {
  /** Somebody is on this phone, from now on; `facts` where they are known. */
  phoneJoined(callId: string, facts?: AnsweredFacts): void;
  phoneLeft(callId: string): void;
  /** A caller pressed a key: one of `0–9 * # A–D`. */
  pressed(callId: string, digit: string): void;
}

/** What became of a program's mark: the caller heard all before it, it was taken back, or it only is on its way. */
export type MarkPlace = 'heard' | 'cleared' | 'sent';

/** A program's place in a room: takes its frames, at the pace of speech, until it is closed. */
export interface ProgramLeg extends FrameSink {
  /** Phones with somebody on them, by call. */
  readonly phones: readonly string[];
  /** How far ahead of its listeners it may write, in milliseconds; changes as others come and go. */
  readonly aheadMs: number;
  /** It has nothing more to say for now: nobody waits for it. */
  rest(): void;
  /**
   * Silences what the phones have waiting (barge-in).
   * @returns milliseconds of it, the most of any phone
   */
  clear(): number;
  /** Tells when a caller has heard all that was written so far. With no phone there, or several, `sent` is all that is known. */
  mark(done: (place: MarkPlace) => void): void;
  /**
   * Audio the caller has waiting, in milliseconds; Infinity while the phone takes nothing. 0 with no phone there, and where
   * three or more talk to each other: a mix waits for nobody.
   */
  readonly leadMs: number;
  /**
   * Hangs up, when the caller has heard what was written so far.
   * @param callId only this phone; default all
   * @param now in the middle of a word
   * @returns how many are hung up
   */
  hangUp(callId?: string, now?: boolean): number;
  /** Leaves; idempotent. */
  close(): void;
}

/** Where calls are connected to whoever talks to them. */
export interface Bridge {
  readonly name: string;
  /**
   * Whether calls may go on after their stream: with a transfer, or with words for the caller where the bridge fails.
   * Twilio is then told to ask what comes next. False by default.
   */
  readonly continuesCalls?: boolean;
  /** Whether it can carry no more for now: asked at every new call, which is then turned away as busy. Cheap to read. */
  readonly isOverloaded?: boolean;
  /** Makes sure that calls can be joined; fails for settings that cannot work. Called before the gateway listens. */
  open?(): Promise<void>;
  /** The room of a call whose hook names none; by default one of its own. */
  roomOf?(callId: string): string;
  /** What an operator may want to watch; read at every scrape. */
  readonly metrics?: readonly Metric[];
  /**
   * Joins a phone, or makes ready for it while it rings: the leg is then told when it is {@link BridgeLeg.answered}.
   * Audio may reach `line` before the promise is fulfilled.
   */
  join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg>;
  /**
   * Joins a program to a room, which is made for it where there is none; absent where there are no such rooms.
   * @param onlyListens it hears everybody, says nothing and is nobody to talk to
   */
  joinProgram?(room: string, program: Program, onlyListens: boolean): ProgramLeg;
  /** Frees what the bridge holds; called when every call has ended. */
  close(): Promise<void>;
}
