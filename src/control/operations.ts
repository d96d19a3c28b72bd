import { z } from 'zod';
import { PLACE_ERRORS, PlaceCall, type PlaceCallRequest, PlacedCall } from '../calls/place-call.js';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError, mistakesOf } from '../errors.js';
import { isXmlText } from '../twilio/xml-text.js';
import { PLAY_ENDS, VOICES } from './call-audio.js';
import type { ControlledCall } from './controlled-call.js';

/** Largest WAV body, in bytes: four minutes of µ-law, two of 16 bits at 8 kHz, twenty seconds at 48 kHz. */
export const MAX_WAV_BYTES = 2 * 1024 * 1024;
/** Characters of a row of keys, pauses included: the core queues as many. */
const MAX_DIGITS = 64;
/** Milliseconds of a tone and of the pause after it; receivers must notice 40 by ITU-T Q.24. */
const MIN_TONE_MS = 40;
const MAX_TONE_MS = 2_000;
/** Prefix of the marks that raw legs place on a phone. */
const LEG_MARKS = 'leg:';

/** One operation on a running call: route, OpenAPI, `gateway.control`, the fleet and the docs are made from it. */
interface Operation<Request, Answer> {
  readonly method: 'post' | 'delete';
  /** Below `/v1/calls/{callId}/`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** What a request holds; its title names the component of the OpenAPI document. */
  readonly request: z.ZodType<Request>;
  readonly example?: NoInfer<Request>;
  /** Fields that come by the query when the body is a WAV file, the request's `wav`; absent if it cannot be one. */
  readonly wavQuery?: z.ZodType;
  readonly status: number;
  readonly answer: z.ZodType<Answer>;
  /** Besides {@link CONTROL_ERRORS}. */
  readonly errors?: readonly ErrorCode[];
  perform(call: ControlledCall, request: Request): NoInfer<Answer> | Promise<NoInfer<Answer>>;
}

function operation<Request, Answer>(of: Operation<Request, Answer>): Operation<Request, Answer> {
  return of;
}

/** Every operation may answer these. */
export const CONTROL_ERRORS = [
  'GW_CALL_UNKNOWN',
  'GW_CALL_ENDED',
  'GW_CALL_NOT_LIVE',
  'GW_CALL_MOVING',
  'GW_QUESTION_UNKNOWN',
  'GW_REGISTRY_DOWN',
  'GW_REGISTRY_ERROR',
] as const satisfies readonly ErrorCode[];

const FILE_ERRORS = [
  'GW_PLAY_FILE_UNKNOWN',
  'GW_PLAY_OFF',
  'GW_SUPERSEDED',
  'GW_WAV_INVALID',
  'GW_WAV_TOO_LONG',
] as const;

const Nothing = z.strictObject({});
const file = z.string().min(1).max(255).describe('A name in PLAY_DIR');
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'no bytes');
const toneMs = z.int().min(MIN_TONE_MS).max(MAX_TONE_MS).optional();
const xmlText = z.string().min(1).max(256).refine(isXmlText, 'characters that XML cannot carry');
/** Stream's limits for both parts of a call's name. */
const streamName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'not 1 to 64 of A-Z a-z 0-9 _ -');
const TARGETS = ['number', 'sip', 'room', 'stream'] as const;

const PlayOptions = z.strictObject({
  loop: z.int().min(0).max(1_000).optional().describe('How often; 0 loops until stopped'),
  gain: z.number().min(-40).max(12).optional().describe('Decibels'),
  over: z.boolean().optional().describe('Mixes the sound with the other side instead of silencing that'),
});
const Held = z.object({ held: z.boolean() }).meta({ title: 'Held' });
const Muted = z.object({ muted: z.enum(VOICES).nullable() }).meta({ title: 'Muted' });

const PlayStarted = z
  .object({
    playId: z.string(),
    durationMs: z.number().nullable().describe('Milliseconds; `null` if it loops until stopped'),
  })
  .meta({ title: 'PlayStarted' });
const PlayResult = z
  .object({
    playId: z.string(),
    end: z.enum(PLAY_ENDS),
    playedMs: z.number().describe('Milliseconds of it that went to the phone'),
  })
  .meta({ title: 'PlayResult' });

/** Everything that can be done with a running call, by the name of its method in `gateway.control`. */
export const OPERATIONS = {
  clear: operation({
    method: 'post',
    path: 'clear',
    summary: 'Drops all audio that waits for the caller, here and at Twilio: speech, keys and plays',
    request: Nothing.meta({ title: 'Clear' }),
    example: {},
    status: 200,
    answer: z
      .object({
        playedMs: z.number().describe('Milliseconds heard so far'),
        discardedMs: z.number().describe('Milliseconds dropped'),
      })
      .meta({ title: 'Cleared' }),
    perform: (call) => call.clear(),
  }),
  mark: operation({
    method: 'post',
    path: 'mark',
    summary:
      'Places a mark behind all audio so far; the event `call.mark` reports when it was heard or dropped',
    request: z
      .strictObject({
        name: z
          .string()
          .min(1)
          .max(256)
          .refine((name) => !name.startsWith(LEG_MARKS), `begins with "${LEG_MARKS}"`),
      })
      .meta({ title: 'Mark' }),
    example: { name: 'greeting' },
    status: 202,
    answer: z.object({ name: z.string() }).meta({ title: 'Marked' }),
    errors: ['GW_TOO_MANY_MARKS'],
    perform: (call, { name }) => call.mark(name),
  }),
  dtmf: operation({
    method: 'post',
    path: 'dtmf',
    summary: 'Sounds keys to the caller, in place of everything else',
    request: z
      .strictObject({
        digits: z
          .string()
          .regex(
            new RegExp(`^[0-9*#A-Da-dwW]{1,${MAX_DIGITS}}$`),
            `not 1 to ${MAX_DIGITS} of 0-9 * # A-D w W`,
          ),
        toneMs,
        pauseMs: toneMs,
      })
      .meta({ title: 'Dtmf' }),
    example: { digits: '12w#', toneMs: 100 },
    status: 202,
    answer: z
      .object({ durationMs: z.number().describe("Milliseconds until the last key's pause is over") })
      .meta({ title: 'Dialled' }),
    errors: ['GW_DTMF_QUEUE_FULL'],
    perform: (call, request) => call.dial(request),
  }),
  play: operation({
    method: 'post',
    path: 'play',
    summary: 'Plays a WAV file to the caller, in place of the current one',
    description: `A file of PLAY_DIR by its name, or the file itself: at most ${MAX_WAV_BYTES} bytes, its options in the query. The event \`call.played\` reports when it is over.`,
    request: PlayOptions.extend({ file: file.optional(), wav: bytes.optional() })
      .refine(
        (play) => (play.file === undefined) !== (play.wav === undefined),
        'not one of file and a WAV body',
      )
      .meta({ title: 'Play' }),
    example: { file: 'welcome.wav' },
    wavQuery: PlayOptions,
    status: 201,
    answer: PlayStarted,
    errors: [...FILE_ERRORS, 'GW_PLAYS_FULL'],
    perform: (call, request) => call.play(request),
  }),
  stopPlay: operation({
    method: 'delete',
    path: 'play',
    summary: 'Stops the current play',
    request: Nothing,
    status: 200,
    answer: PlayResult,
    errors: ['GW_PLAY_NONE'],
    perform: (call) => call.stopPlay(),
  }),
  hold: operation({
    method: 'post',
    path: 'hold',
    summary: 'Puts the caller on hold: the caller hears music, and neither side hears the other',
    request: z.strictObject({ file: file.optional() }).meta({ title: 'Hold' }),
    example: { file: 'waltz.wav' },
    status: 200,
    answer: Held,
    errors: FILE_ERRORS,
    perform: (call, request) => call.hold(request.file),
  }),
  unhold: operation({
    method: 'delete',
    path: 'hold',
    summary: 'Ends a hold',
    request: Nothing,
    status: 200,
    answer: Held,
    perform: (call) => call.unhold(),
  }),
  mute: operation({
    method: 'post',
    path: 'mute',
    summary: 'Silences the caller for the other side, the other side for the caller, or both',
    request: z.strictObject({ voice: z.enum(VOICES).optional() }).meta({ title: 'Mute' }),
    example: { voice: 'caller' },
    status: 200,
    answer: Muted,
    perform: (call, { voice = 'caller' }) => call.mute(voice),
  }),
  unmute: operation({
    method: 'delete',
    path: 'mute',
    summary: 'Ends a mute',
    request: Nothing,
    status: 200,
    answer: Muted,
    perform: (call) => call.mute(undefined),
  }),
  transfer: operation({
    method: 'post',
    path: 'transfer',
    summary: 'Connects the caller with a number or SIP address, another room, or another Stream call',
    description:
      'To a number or SIP address the call ends here with the cause `transferred`. To a room or Stream call it continues; if that cannot be joined, the call stays where it is.',
    request: z
      .strictObject({
        number: z
          .string()
          .regex(/^\+[1-9]\d{1,14}$/, 'no E.164 number')
          .optional(),
        sip: z
          .string()
          .regex(/^sips?:[^\s<>"]{1,250}$/, 'no SIP address')
          .refine(isXmlText, 'characters that XML cannot carry')
          .optional(),
        room: z.string().min(1).max(256).optional(),
        stream: z.strictObject({ type: streamName.optional(), id: streamName }).optional(),
        callerId: xmlText.optional(),
        ringSeconds: z.int().min(5).max(600).optional(),
        limitSeconds: z.int().min(1).max(14_400).optional(),
      })
      .refine(
        (transfer) => TARGETS.filter((target) => transfer[target] !== undefined).length === 1,
        `not exactly one of ${TARGETS.join(', ')}`,
      )
      .refine(
        ({ number, sip, callerId, ringSeconds, limitSeconds }) =>
          (number ?? sip) !== undefined || (callerId ?? ringSeconds ?? limitSeconds) === undefined,
        'callerId, ringSeconds and limitSeconds need a number or a SIP address',
      )
      .meta({ title: 'Transfer' }),
    example: { number: '+15551234567', ringSeconds: 20 },
    status: 200,
    answer: z
      .object({
        callId: z.string(),
        to: z.enum(TARGETS),
        room: z.string().optional().describe("The call's new room, if the call is still here"),
      })
      .meta({ title: 'Transferred' }),
    errors: [
      'GW_TRANSFER_IMPOSSIBLE',
      'GW_TRANSFER_UNDER_WAY',
      'GW_TRANSFER_FAILED',
      'GW_TWILIO_REFUSED',
      'GW_BRIDGE_NOT_STREAM',
      'GW_STREAM_CALL_NAME',
      'GW_STREAM_JOIN',
      'GW_STREAM_PERMISSION',
      'GW_STREAM_REFUSED',
      'GW_STREAM_UNAVAILABLE',
      'GW_STREAM_CALL_ENDED',
    ],
    perform: (call, request) => call.transfer(request),
  }),
  addLeg: operation({
    method: 'post',
    path: 'legs',
    summary: 'Places a call into the same room or Stream call',
    request: PlaceCall.safeExtend({
      room: z.never('the new call joins the room of this one').optional(),
      agent: z.never('the new call has no agent of its own').optional(),
    }).meta({ title: 'LegToAdd' }),
    example: { to: '+15551234567' },
    status: 201,
    answer: PlacedCall,
    errors: ['GW_LEG_IMPOSSIBLE', ...PLACE_ERRORS],
    perform: (call, request) => call.addLeg(request as Omit<PlaceCallRequest, 'room' | 'agent'>),
  }),
};

type Operations = typeof OPERATIONS;
export type OperationName = keyof Operations;
export type RequestOf<O extends OperationName> = z.output<Operations[O]['request']>;
export type AnswerOf<O extends OperationName> = z.output<Operations[O]['answer']>;

/** Performs operations on the calls of this process, or of a whole fleet. */
export interface CallControl {
  /**
   * @returns the operation's answer, as plain JSON
   * @throws GatewayError `GW_BAD_REQUEST` (400), the {@link CONTROL_ERRORS} and the operation's own
   */
  control<O extends OperationName>(callId: string, operation: O, request: unknown): Promise<AnswerOf<O>>;
}

export function isOperation(name: string): name is OperationName {
  return Object.hasOwn(OPERATIONS, name);
}

/** @throws GatewayError `GW_BAD_REQUEST` (400), naming every mistake */
export function checkRequest<O extends OperationName>(name: O, request: unknown): RequestOf<O> {
  const checked = OPERATIONS[name].request.safeParse(request);
  if (checked.success) return checked.data as RequestOf<O>;
  throw new GatewayError(
    'GW_BAD_REQUEST',
    `Expected a request for ${name} but received ${mistakesOf(checked.error)}`,
  );
}

/** Performs an operation whose request has been checked. */
export function perform<O extends OperationName>(
  name: O,
  call: ControlledCall,
  request: RequestOf<O>,
): Promise<AnswerOf<O>> | AnswerOf<O> {
  const { perform } = OPERATIONS[name] as unknown as Operation<RequestOf<O>, AnswerOf<O>>;
  return perform(call, request);
}
