/** What may go wrong at the API. Each may be switched on and off while sessions are open. */
export interface RealtimeFaults {
  /**
   * Refuses every key: with this HTTP status, e.g. 401, 429 or 503; or `socket`, which accepts the handshake, sends an `error` event
   * and closes with 3000.
   */
  readonly refusal?: number | 'socket';
  /** Milliseconds before `session.created`. */
  readonly sessionDelayMs?: number;
  /** More milliseconds before the first output of a response. */
  readonly firstDeltaMs?: number;
  /** How many times as fast as it is spoken audio is sent: below 1 it comes too late. */
  readonly speed?: number;
  /** After so many milliseconds of a response's audio no event follows at all; the socket stays open. */
  readonly stallAfterMs?: number;
  /** Closes the socket within a response's audio. */
  readonly closeAfter?: {
    readonly ms: number;
    /** 1006 for a connection that breaks without a close frame. */
    readonly code: number;
  };
  /** Every response speaks for so many milliseconds, all of it at once. */
  readonly floodMs?: number;
  /** So many of the next events are no valid JSON; counts down. */
  malformed?: number;
  /** Pieces of audio end in the middle of a sample. */
  readonly oddDeltas?: boolean;
  /** Every response fails: the account is over its limit. */
  readonly rateLimited?: boolean;
  /** Milliseconds for which a response continues after it was cancelled, by the client or by the caller's voice. */
  readonly ignoreCancelMs?: number;
}
