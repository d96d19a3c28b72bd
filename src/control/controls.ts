import type { PlacedCall } from '../calls/call-service.js';
import type { PlaceCallRequest } from '../calls/place-call.js';
import type { PlayResult, Voices } from './call-audio.js';
import type { AnswerOf, CallControl, OperationName, RequestOf } from './operations.js';
import type {
  DtmfRequest,
  HoldRequest,
  MuteRequest,
  PlayRequest,
  PlayStarted,
  TransferRequest,
  Transferred,
} from './requests.js';

/**
 * Operations on running calls, of this gateway or of its fleet: the same as `/v1/calls/{id}/…`. Every method throws
 * GatewayError `GW_BAD_REQUEST` (400), `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED` and `GW_CALL_NOT_LIVE` (409); in a fleet
 * also `GW_CALL_MOVING` (409), `GW_REGISTRY_DOWN` and `GW_REGISTRY_ERROR` (503).
 */
export class Controls {
  /** @internal */
  constructor(private readonly calls: CallControl) {}

  /**
   * Drops all audio that waits for the caller, here and at Twilio: speech, keys and plays. Music on hold continues.
   * @returns milliseconds heard so far, and milliseconds dropped
   */
  clear(callId: string): Promise<{ playedMs: number; discardedMs: number }> {
    return this.control(callId, 'clear', {});
  }

  /**
   * Places a mark behind all audio so far. The event `mark` reports when it was heard or dropped.
   * @param name 1 to 256 characters, not beginning with `leg:`
   * @throws GatewayError `GW_TOO_MANY_MARKS` (409) with 256 under way
   */
  mark(callId: string, name: string): Promise<{ name: string }> {
    return this.control(callId, 'mark', { name });
  }

  /**
   * Sounds keys to the caller, in place of everything else.
   * @returns milliseconds until the last key's pause is over
   * @throws GatewayError `GW_DTMF_QUEUE_FULL` (409) if more than 64 keys would wait
   */
  dtmf(callId: string, request: DtmfRequest): Promise<{ durationMs: number }> {
    return this.control(callId, 'dtmf', request);
  }

  /**
   * Plays a WAV file to the caller, in place of the current one. The event `played` reports when it is over.
   * @param sound the file's bytes, at most 2 MiB if they go to another node, or its name in `playDir`
   * @throws GatewayError `GW_WAV_INVALID` (400), `GW_WAV_TOO_LONG` (413), `GW_PLAY_FILE_UNKNOWN` (404), `GW_PLAY_OFF` (409)
   * without `playDir`, `GW_SUPERSEDED` (409) if another play, a stop or a clear came while it was read, `GW_PLAYS_FULL`
   * (503)
   */
  play(
    callId: string,
    sound: Uint8Array | { readonly file: string },
    options: PlayRequest = {},
  ): Promise<PlayStarted> {
    const source = sound instanceof Uint8Array ? { wav: sound } : { file: sound.file };
    return this.control(callId, 'play', { ...options, ...source });
  }

  /** Stops the current play. @throws GatewayError `GW_PLAY_NONE` (404) */
  stopPlay(callId: string): Promise<PlayResult> {
    return this.control(callId, 'stopPlay', {});
  }

  /**
   * Puts the caller on hold: the caller hears music, and neither side hears the other. Another file changes the music.
   * @throws GatewayError as {@link play} of a file
   */
  hold(callId: string, request: HoldRequest = {}): Promise<{ held: boolean }> {
    return this.control(callId, 'hold', request);
  }

  /** Ends a {@link hold}; does nothing to a call that is not on hold. */
  unhold(callId: string): Promise<{ held: boolean }> {
    return this.control(callId, 'unhold', {});
  }

  /** Silences the caller for the other side, the other side for the caller, or both; replaces an earlier mute. */
  mute(callId: string, request: MuteRequest = {}): Promise<{ muted: Voices | null }> {
    return this.control(callId, 'mute', request);
  }

  /** Ends a {@link mute}. */
  unmute(callId: string): Promise<{ muted: Voices | null }> {
    return this.control(callId, 'unmute', {});
  }

  /**
   * Connects the caller with somebody else. To a number or SIP address the call ends here with the cause `transferred`; to a
   * room or Stream call it continues.
   * @throws GatewayError `GW_TRANSFER_IMPOSSIBLE`, `GW_TRANSFER_UNDER_WAY` (409), `GW_TWILIO_REFUSED` (502), or the bridge's
   * own: the call then stays where it is
   */
  transfer(callId: string, request: TransferRequest): Promise<Transferred> {
    return this.control(callId, 'transfer', request);
  }

  /**
   * Places a call into the same room or Stream call.
   * @throws GatewayError `GW_LEG_IMPOSSIBLE` (409), and as `placeCall`
   */
  addLeg(callId: string, request: Omit<PlaceCallRequest, 'room' | 'agent'>): Promise<PlacedCall> {
    return this.control(callId, 'addLeg', request as RequestOf<'addLeg'>);
  }

  private control<O extends OperationName>(
    callId: string,
    operation: O,
    request: RequestOf<O>,
  ): Promise<AnswerOf<O>> {
    return this.calls.control(callId, operation, request);
  }
}
