import { z } from 'zod';
import { PlaceCall } from '../../calls/place-call.js';
import { CALL_RESULTS } from '../../calls/result.js';
import { VOICES } from '../../control/call-audio.js';
import { SCHEMAS } from '../../control/requests.js';
import { RECORD_RATES } from '../../recording/recording.js';
import { RecordRequest } from '../../recording/recordings.js';

/** A JSON Schema, 2020-12. */
export type Schema = Readonly<Record<string, unknown>>;

export const text = (description?: string): Schema => ({
  type: 'string',
  ...(description && { description }),
});
export const number = (description?: string): Schema => ({
  type: 'number',
  ...(description && { description }),
});
export const count = (description?: string): Schema => ({
  type: 'integer',
  minimum: 0,
  ...(description && { description }),
});
export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const time = (description: string): Schema => ({ type: 'string', format: 'date-time', description });

/** An object all of whose fields are there, but for those that may be absent. */
export function record(
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: 'object', properties, required };
}

/**
 * What a request may ask for, from the very check that it has to pass.
 * @param without fields that no JSON can carry, or that this request may not have
 */
export function requestSchema(check: z.ZodType, without: readonly string[] = []): Schema {
  const { $schema: _, ...schema } = z.toJSONSchema(check, { io: 'input', unrepresentable: 'any' });
  const kept = Object.entries(schema.properties ?? {}).filter(([name]) => !without.includes(name));
  return schema.properties === undefined ? schema : { ...schema, properties: Object.fromEntries(kept) };
}

const TRAFFIC = [
  'framesIn',
  'framesOut',
  'messagesIn',
  'slowMessages',
  'badMessages',
  'otherTracks',
  'filledMs',
  'droppedIntake',
  'droppedLead',
  'silenceDroppedMs',
  'shortenedMs',
  'leadClears',
  'droppedBackpressure',
  'underruns',
  'dtmf',
  'marks',
];
const STAGES = [
  'intakeJitter',
  'transcodeIn',
  'decodedLeg',
  'legEncoded',
  'transcodeOut',
  'encodedSocket',
  'gateway',
  'playoutLead',
];
const SUMMARY = ['meanUs', 'p50Us', 'p90Us', 'p99Us', 'p999Us', 'maxUs'];

const of = (names: readonly string[], schema: Schema) =>
  Object.fromEntries(names.map((name) => [name, schema]));

const call = {
  callId: text('Ours: 1 to 64 of A-Z a-z 0-9 _ -'),
  callSid: text("Twilio's; absent until Twilio has told it"),
  direction: text('As Twilio says: `inbound`, `outbound-api`, …'),
  from: text('E.164, `client:…`, `sip:…`, or a word such as `anonymous`'),
  to: text(),
};

/** Everything that requests and answers are made of. */
export const schemas: Readonly<Record<string, Schema>> = {
  Error: record({
    error: record({
      code: { type: 'string', pattern: '^GW_[A-Z_]+$', description: 'Stable: decide by it' },
      message: text('For people: "Expected X for Y but received Z"'),
    }),
  }),
  PlaceCall: requestSchema(PlaceCall),
  LegToAdd: requestSchema(PlaceCall, ['room']),
  PlacedCall: record({ callId: call.callId, callSid: call.callSid }),
  Call: record(
    {
      ...call,
      state: {
        enum: ['ringing', 'connecting', 'live', 'ended', 'detached'],
        description: '`detached`: between two nodes of a fleet',
      },
      status: text("Twilio's latest status callback"),
      answeredBy: text('Who or what answered, where that was asked: `human`, `machine_start`, `fax`, …'),
      startedAt: time('When it began'),
      endedAt: time('When it ended'),
      endCause: text('Why it ended'),
      durationSeconds: { type: ['number', 'null'], description: '`null` while it lasts' },
      streamSid: text("Twilio's id of the stream"),
      room: text('Its place in the bridge'),
      held: { type: 'boolean', description: 'Whether it is on hold' },
      muted: { enum: [...VOICES], description: 'Who is silenced' },
      playedMs: number('Milliseconds the caller has heard'),
      leadMs: number('Milliseconds on their way to the ear'),
      traffic: ref('Traffic'),
      latency: ref('Latency'),
      history: { type: 'array', maxItems: 64, items: ref('HistoryEntry') },
    },
    [
      'callSid',
      'direction',
      'from',
      'to',
      'status',
      'answeredBy',
      'endedAt',
      'endCause',
      'streamSid',
      'room',
      'held',
      'muted',
      'playedMs',
      'leadMs',
      'traffic',
      'latency',
      'history',
    ],
  ),
  CallList: record({ calls: { type: 'array', items: ref('Call') } }),
  HistoryEntry: record(
    {
      at: time('When it happened, as Twilio says'),
      source: { enum: ['status', 'stream', 'amd'] },
      event: text("The status, Twilio's StreamEvent, or who answered"),
      sequence: count('Order among the status callbacks'),
      streamSid: text(),
      error: text("What went wrong, in Twilio's words"),
    },
    ['sequence', 'streamSid', 'error'],
  ),
  Traffic: record(of(TRAFFIC, number())),
  LatencySummary: record({ count: count('Values'), ...of(SUMMARY, number('Microseconds')) }),
  Latency: record(of(STAGES, ref('LatencySummary'))),
  Report: record({
    cause: text('Why the call ended'),
    result: { enum: CALL_RESULTS },
    durationSeconds: number(),
    traffic: ref('Traffic'),
    latency: ref('Latency'),
  }),
  Clear: requestSchema(SCHEMAS.clear),
  Cleared: record({ playedMs: number('Really heard so far'), discardedMs: number('Taken back') }),
  Mark: requestSchema(SCHEMAS.mark),
  Marked: record({ name: text() }),
  Dtmf: requestSchema(SCHEMAS.dtmf),
  Dialled: record({ durationMs: number("Until the last key's pause is over") }),
  Play: requestSchema(SCHEMAS.play, ['wav']),
  PlayStarted: record({
    playId: text(),
    durationMs: { type: ['number', 'null'], description: '`null` where it goes on until it is stopped' },
  }),
  PlayResult: record({
    playId: text(),
    end: { enum: ['finished', 'stopped', 'replaced', 'cleared', 'call-ended'] },
    playedMs: number('Of it, that went to the phone'),
  }),
  Hold: requestSchema(SCHEMAS.hold),
  Held: record({ held: { type: 'boolean' } }),
  Mute: requestSchema(SCHEMAS.mute),
  Muted: record({ muted: { enum: [...VOICES, null] } }),
  Transfer: requestSchema(SCHEMAS.transfer),
  Transferred: record(
    {
      callId: call.callId,
      to: { enum: ['number', 'sip', 'room', 'stream'] },
      room: text("The call's room from now on, where it is still here"),
    },
    ['room'],
  ),
  RecordRequest: requestSchema(RecordRequest),
  Recording: record({
    callId: call.callId,
    file: text('Its name in RECORD_DIR, at the node that has the call'),
    startedAt: time('When it began'),
    rate: { enum: RECORD_RATES },
    maxSeconds: count(),
    seconds: number('How much there is'),
    droppedMs: number('Silent because the disk was too slow'),
    lateMs: number('Of the caller, too late to be recorded'),
  }),
  RecordingResult: record({
    callId: call.callId,
    file: text(),
    end: { enum: ['stopped', 'limit', 'call-ended', 'disk-error', 'closed'] },
    seconds: number(),
    droppedMs: number(),
    lateMs: number(),
  }),
  Event: record({
    id: text('Unique: an event that comes twice has the same'),
    type: text('`call.started`, `call.answered`, `call.dtmf`, `call.ended`, …'),
    version: { const: 1 },
    timestamp: time('When it happened'),
    call: record(call, ['callSid', 'direction', 'from', 'to']),
    data: { description: 'By type', anyOf: [ref('Report'), { type: 'object' }] },
  }),
};
