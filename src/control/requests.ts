import { z } from 'zod';
import { GatewayError, mistakesOf } from '../errors.js';
import { isXmlText } from '../twilio/xml-text.js';
import { VOICES, type Voices } from './call-audio.js';

/** Largest WAV body taken, in bytes: four minutes of µ-law, two of 16 bits at 8 kHz, twenty seconds at 48 kHz. */
export const MAX_WAV_BYTES = 2 * 1024 * 1024;
/** Characters of a row of keys, pauses among them: as many as the core queues. */
const MAX_DIGITS = 64;
/** Milliseconds of a key's tone and of the pause after it: from what ITU-T Q.24 has receivers notice. */
const MIN_TONE_MS = 40;
const MAX_TONE_MS = 2_000;
/** What a room's own marks on a phone begin with. */
const ROOM_MARKS = 'leg:';

const toneMs = z.int().min(MIN_TONE_MS).max(MAX_TONE_MS).optional();
const file = z.string().min(1).max(255);
const address = z
  .string()
  .regex(/^\+[1-9]\d{1,14}$/, 'no E.164 number')
  .optional();
const sip = z
  .string()
  .regex(/^sips?:[^\s<>"]{1,250}$/, 'no SIP address')
  .refine(isXmlText, 'characters that XML cannot carry')
  .optional();
/** Stream's limits for both parts of a call's name. */
const part = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'not 1 to 64 of A-Z a-z 0-9 _ -');

const Nothing = z.strictObject({});

const Mark = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(256)
    .refine((name) => !name.startsWith(ROOM_MARKS), `begins with "${ROOM_MARKS}"`),
});

const Dtmf = z.strictObject({
  digits: z.string().regex(new RegExp(`^[0-9*#A-Da-dwW]{1,${MAX_DIGITS}}$`), {
    error: `not 1 to ${MAX_DIGITS} of 0-9 * # A-D w W`,
  }),
  toneMs,
  pauseMs: toneMs,
});

const Play = z
  .strictObject({
    file: file.optional(),
    wav: z.instanceof(Uint8Array).optional(),
    loop: z.int().min(0).max(1_000).optional(),
    gain: z.number().min(-40).max(12).optional(),
    over: z.boolean().optional(),
  })
  .refine((play) => (play.file === undefined) !== (play.wav === undefined), 'not one of file and a WAV body');

const Hold = z.strictObject({ file: file.optional() });

const Mute = z.strictObject({ voice: z.enum(VOICES).optional() });

const TARGETS = ['number', 'sip', 'room', 'stream'] as const;

const Transfer = z
  .strictObject({
    number: address,
    sip,
    room: z.string().min(1).max(256).optional(),
    stream: z.strictObject({ type: part.optional(), id: part }).optional(),
    callerId: z.string().min(1).max(256).refine(isXmlText, 'characters that XML cannot carry').optional(),
    ringSeconds: z.int().min(5).max(600).optional(),
    limitSeconds: z.int().min(1).max(14_400).optional(),
  })
  .refine(
    (transfer) => TARGETS.filter((target) => transfer[target] !== undefined).length === 1,
    `not exactly one of ${TARGETS.join(', ')}`,
  )
  .refine(
    ({ number, sip, callerId, ringSeconds, limitSeconds }) =>
      (number ?? sip ?? callerId ?? ringSeconds ?? limitSeconds) === undefined ||
      (number ?? sip) !== undefined,
    'callerId, ringSeconds and limitSeconds are of a number or a SIP address',
  );

export const SCHEMAS = {
  clear: Nothing,
  mark: Mark,
  dtmf: Dtmf,
  play: Play,
  stopPlay: Nothing,
  hold: Hold,
  unhold: Nothing,
  mute: Mute,
  unmute: Nothing,
  transfer: Transfer,
  // Whoever places it looks at the rest.
  addLeg: z
    .record(z.string(), z.unknown())
    .refine((leg) => !('room' in leg), 'room: it joins the call it is added to'),
};

/** What may be asked of a running call. */
export type Operation = keyof typeof SCHEMAS;

export type RequestOf<O extends Operation> = z.output<(typeof SCHEMAS)[O]>;

/** Keys to be sounded to the caller, in-band. */
export interface DtmfRequest {
  /** 1 to 64 of `0–9 * # A–D`, and the pauses `w` (500 ms) and `W` (1 s). */
  readonly digits: string;
  /** How long each key sounds, 40 to 2,000 ms; default 100. */
  readonly toneMs?: number;
  /** How long the silence after it is, likewise. */
  readonly pauseMs?: number;
}

/** How something is played to the caller. */
export interface PlayRequest {
  /** How often, up to 1,000; 0 for until it is stopped; default 1. */
  readonly loop?: number;
  /** Decibels it is made louder by, -40 to 12; default 0. */
  readonly gain?: number;
  /** Mixed with what the caller hears of the other side, which is silent meanwhile otherwise. */
  readonly over?: boolean;
}

/** With whom the caller goes on: exactly one of `number`, `sip`, `room`, `stream`. */
export interface TransferRequest {
  /** E.164. */
  readonly number?: string;
  /** `sip:…` or `sips:…` */
  readonly sip?: string;
  /** A room of the bridge. */
  readonly room?: string;
  /** A Stream call, of type `default` unless told. */
  readonly stream?: { readonly type?: string; readonly id: string };
  /** Whom a number or SIP address sees calling; by default whoever calls us. */
  readonly callerId?: string;
  /** How long it may ring there, 5 to 600; Twilio's default is 30. */
  readonly ringSeconds?: number;
  /** How long they may talk, 1 to 14,400. */
  readonly limitSeconds?: number;
}

export interface MuteRequest {
  /** Who is silenced: the `caller` for the other side (default), the `room` for the caller, or `both`. */
  readonly voice?: Voices;
}

export interface HoldRequest {
  /** Music of `PLAY_DIR`; by default two soft notes now and then. */
  readonly file?: string;
}

export function isOperation(name: string): name is Operation {
  return Object.hasOwn(SCHEMAS, name);
}

/** @throws GatewayError `GW_BAD_REQUEST` (400), naming every mistake */
export function checkRequest<O extends Operation>(operation: O, request: unknown): RequestOf<O> {
  const checked = SCHEMAS[operation].safeParse(request);
  if (checked.success) return checked.data as RequestOf<O>;
  throw new GatewayError(
    'GW_BAD_REQUEST',
    `Expected a request for ${operation} but received ${mistakesOf(checked.error)}`,
  );
}
