import type { PlacedCall } from '../calls/call-service.js';
import type { PlaceCallRequest } from '../calls/place-call.js';
import type { PlayResult } from './call-audio.js';
import type { CallControl } from './call-control.js';
import type { DtmfRequest, HoldRequest, MuteRequest, PlayRequest, TransferRequest } from './requests.js';

/** A play that has begun. */
export interface PlayStarted {
  readonly playId: string;
  /** Milliseconds it takes when nothing is in its way; `null` where it goes on until it is stopped. */
  readonly durationMs: number | null;
}

/** Where a caller went. */
export interface Transferred {
  readonly callId: string;
  readonly to: 'number' | 'sip' | 'room' | 'stream';
  /** The call's room from now on, where it is still here. */
  readonly room?: string;
}

/**
 * What may be done with running calls, of this gateway or of its fleet: the same as `/v1/calls/{id}/…`. Every method throws
 * GatewayError `GW_BAD_REQUEST` (400), `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED` and `GW_CALL_NOT_LIVE` (409), in a fleet
 * `GW_CALL_MOVING` (409), `GW_REGISTRY_DOWN` and `GW_REGISTRY_ERROR` (503).
 */
export class Controls {
  constructor(private readonly calls: CallControl) {}

  /**
   * Drops what the caller has waiting: audio at Twilio and here, keys, and what is played; music on hold goes on.
   * @returns milliseconds really heard so far, and milliseconds taken back
   */
  clear(callId: string): Promise<{ playedMs: number; discardedMs: number }> {
    return this.ask(callId, 'clear', {});
  }

  /**
   * Places a mark behind all audio that went to the caller so far. Event `mark` tells when it was heard, or taken back.
   * @param name 1 to 256 characters, not beginning with `leg:`
   * @throws GatewayError `GW_TOO_MANY_MARKS` with 256 under way
   */
  mark(callId: string, name: string): Promise<{ name: string }> {
    return this.ask(callId, 'mark', { name });
  }

  /**
   * Sounds keys to the caller, in place of everything else.
   * @returns milliseconds until the last key's pause is over
   * @throws GatewayError `GW_DTMF_QUEUE_FULL` (409) with more than 64 keys waiting
   */
  dtmf(callId: string, request: DtmfRequest): Promise<{ durationMs: number }> {
    return this.ask(callId, 'dtmf', request);
  }

  /**
   * Plays a WAV file to the caller, in place of one that is played. Event `played` tells when it is over.
   * @param sound the file's bytes, at most 2 MiB where they go to another node, or its name in `playDir`
   * @throws GatewayError `GW_WAV_INVALID` (400), `GW_WAV_TOO_LONG` (413), `GW_PLAY_FILE_UNKNOWN` (404), `GW_PLAY_OFF` (409)
   * without `playDir`, `GW_SUPERSEDED` (409) where another play, a stop or a clear came while it was read, `GW_PLAYS_FULL`
   * (503)
   */
  play(
    callId: string,
    sound: Uint8Array | { readonly file: string },
    options: PlayRequest = {},
  ): Promise<PlayStarted> {
    const named = sound instanceof Uint8Array ? { wav: sound } : { file: sound.file };
    return this.ask(callId, 'play', { ...options, ...named });
  }

  /** Ends what is played. @throws GatewayError `GW_PLAY_NONE` (404) */
  stopPlay(callId: string): Promise<PlayResult> {
    return this.ask(callId, 'stopPlay', {});
  }

  /**
   * The caller hears music; neither side hears the other. Again with another file changes the music.
   * @throws GatewayError as {@link play} of a file
   */
  hold(callId: string, request: HoldRequest = {}): Promise<{ held: true }> {
    return this.ask(callId, 'hold', request);
  }

  /** Ends {@link hold}; of a call that is not on hold it changes nothing. */
  unhold(callId: string): Promise<{ held: false }> {
    return this.ask(callId, 'unhold', {});
  }

  /** Silences the caller for the other side, the other side for the caller, or both; the latest word counts. */
  mute(callId: string, request: MuteRequest = {}): Promise<{ muted: NonNullable<MuteRequest['voice']> }> {
    return this.ask(callId, 'mute', request);
  }

  /** Ends {@link mute}. */
  unmute(callId: string): Promise<{ muted: null }> {
    return this.ask(callId, 'unmute', {});
  }

  /**
   * Connects the caller with somebody else. With a number or SIP address the call ends here, its cause `transferred`; to a
   * room or Stream call it goes on.
   * @throws GatewayError `GW_TRANSFER_IMPOSSIBLE`, `GW_TRANSFER_UNDER_WAY` (409), `GW_TWILIO_REFUSED` (502), or what the
   * bridge says: the call then stays where it is
   */
  transfer(callId: string, request: TransferRequest): Promise<Transferred> {
    return this.ask(callId, 'transfer', request);
  }

  /**
   * Places a call into the same room or Stream call.
   * @throws GatewayError `GW_LEG_IMPOSSIBLE` (409), and as `placeCall`
   */
  addLeg(callId: string, request: Omit<PlaceCallRequest, 'room'>): Promise<PlacedCall> {
    return this.ask(callId, 'addLeg', request);
  }

  /** What an operation answers is what its method says. */
  private ask<T>(
    callId: string,
    operation: Parameters<CallControl['control']>[1],
    request: object,
  ): Promise<T> {
    return this.calls.control(callId, operation, request) as Promise<T>;
  }
}
