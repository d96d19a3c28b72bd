import type { Voices } from './call-audio.js';

/** Keys to sound to the caller, in-band. */
export interface DtmfRequest {
  /** 1 to 64 of `0–9 * # A–D` and the pauses `w` (500 ms) and `W` (1 s). */
  readonly digits: string;
  /** Milliseconds of each tone, 40 to 2,000; default 100. */
  readonly toneMs?: number | undefined;
  /** Milliseconds of silence after each tone, 40 to 2,000; default 100. */
  readonly pauseMs?: number | undefined;
}

/** How to play a sound to the caller. */
export interface PlayRequest {
  /** How often, up to 1,000; 0 loops until stopped; default 1. */
  readonly loop?: number | undefined;
  /** Gain in decibels, -40 to 12; default 0. */
  readonly gain?: number | undefined;
  /** Mixes the sound with the other side, which is silent while it plays otherwise; default false. */
  readonly over?: boolean | undefined;
}

/** A {@link PlayRequest} and its sound: exactly one of `file` and `wav`. */
export interface SoundRequest extends PlayRequest {
  /** A name in `PLAY_DIR`. */
  readonly file?: string | undefined;
  /** The bytes of a WAV file. */
  readonly wav?: Uint8Array | undefined;
}

/** A play that has begun. */
export interface PlayStarted {
  readonly playId: string;
  /** Milliseconds it takes if nothing interrupts it; `null` if it loops until stopped. */
  readonly durationMs: number | null;
}

/** What the caller hears on hold. */
export interface HoldRequest {
  /** Music in `PLAY_DIR`; two soft notes every six seconds by default. */
  readonly file?: string | undefined;
}

/** Who is muted. */
export interface MuteRequest {
  /** Who is silenced: the `caller` for the other side (default), the `room` for the caller, or `both`. */
  readonly voice?: Voices | undefined;
}

/** Where to send the caller: exactly one of `number`, `sip`, `room` and `stream`. */
export interface TransferRequest {
  /** E.164. */
  readonly number?: string | undefined;
  /** `sip:…` or `sips:…` */
  readonly sip?: string | undefined;
  /** A room of the bridge. */
  readonly room?: string | undefined;
  /** A Stream call; its type is `default` if absent. */
  readonly stream?: { readonly type?: string | undefined; readonly id: string } | undefined;
  /** Caller ID shown to the number or SIP address; the caller's own by default. */
  readonly callerId?: string | undefined;
  /** Seconds to let it ring there, 5 to 600; Twilio's default is 30. */
  readonly ringSeconds?: number | undefined;
  /** Most seconds the two may talk, 1 to 14,400. */
  readonly limitSeconds?: number | undefined;
}

/** Where the caller went. */
export interface Transferred {
  readonly callId: string;
  readonly to: 'number' | 'sip' | 'room' | 'stream';
  /** The call's new room, if the call is still here. */
  readonly room?: string | undefined;
}
