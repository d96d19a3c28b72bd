import type { FrameSink } from '../media/frame.js';

/** What a bridge needs to know of a call. */
export interface JoinRequest {
  readonly callId: string;
  /** Where the call goes; calls with the same room meet. */
  readonly room: string;
  /** As whom; bridges that know no users ignore it. */
  readonly user?: BridgeUser;
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
  /** Silences the caller's ear at once: what waits there is dropped (barge-in). */
  clear(): void;
  /** The other side is over: hangs the phone up. */
  hangUp(): void;
}

/** A call's place in a bridge: takes the caller's frames until it is closed. */
export interface BridgeLeg extends FrameSink {
  /** A key the caller pressed: one of `0–9 * # A–D`. */
  dtmf(digit: string): void;
  /** Leaves; idempotent. No frame reaches the line afterwards. */
  close(): void;
}

/** Where calls are connected to whoever talks to them. */
export interface Bridge {
  readonly name: string;
  /** Joins a phone. Audio may reach `line` before the promise is fulfilled. */
  join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg>;
  /** Frees what the bridge holds; called when every call has ended. */
  close(): Promise<void>;
}
