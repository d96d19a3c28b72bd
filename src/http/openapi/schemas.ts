import { z } from 'zod';
import type { CallReport } from '../../calls/call-report.js';
import type { CallView } from '../../calls/call-view.js';
import type { HistoryEntry } from '../../calls/history.js';
import { CALL_RESULTS } from '../../calls/result.js';
import { VOICES } from '../../control/call-audio.js';
import type { EventCall } from '../../events/event.js';
import { RECORD_RATES, type RecordingResult as RecordingEnded } from '../../recording/recording.js';
import type { RecordingView } from '../../recording/recordings.js';
import { LatencyHistogram } from '../../telemetry/histogram.js';
import { Latencies } from '../../telemetry/latencies.js';
import { Traffic as TrafficCounters } from '../../telemetry/traffic.js';

/** A schema for each field of a type, so that the document forgets none and invents none. */
type FieldsOf<T> = { readonly [K in keyof T]-?: z.ZodType };

/** An object with the same schema for each field of an example. */
function each<T extends object>(example: T, schema: z.ZodType): z.ZodObject {
  return z.object(Object.fromEntries(Object.keys(example).map((name) => [name, schema])));
}

const text = (description: string) => z.string().describe(description);
const number = (description: string) => z.number().describe(description);
const time = (description: string) => z.string().meta({ format: 'date-time', description });

const call = {
  callId: text("The gateway's: 1 to 64 of A-Z a-z 0-9 _ -"),
  callSid: text("Twilio's; absent until Twilio has reported it").optional(),
  direction: text('As Twilio says: `inbound`, `outbound-api`, …').optional(),
  from: text('E.164, `client:…`, `sip:…`, or a word such as `anonymous`').optional(),
  to: z.string().optional(),
} satisfies FieldsOf<EventCall>;

export const ErrorBody = z
  .object({
    error: z.object({
      code: z
        .string()
        .regex(/^GW_[A-Z_]+$/)
        .describe('Stable: decide by it'),
      message: text('For people'),
    }),
  })
  .meta({ title: 'Error' });

export const Traffic = each(new TrafficCounters().counts(), z.number()).meta({ title: 'Traffic' });

export const LatencySummary = each(new LatencyHistogram().summary(), number('Microseconds'))
  .extend({ count: z.int().min(0).describe('Values') })
  .meta({ title: 'LatencySummary' });

export const Latency = each(new Latencies().summaries(), LatencySummary).meta({ title: 'Latency' });

export const History = z
  .object({
    at: time('When it happened, according to Twilio'),
    source: z.enum(['status', 'stream', 'amd']),
    event: text("The status, Twilio's StreamEvent, or who answered"),
    sequence: z.int().min(0).optional().describe('Order among the status callbacks'),
    streamSid: z.string().optional(),
    error: text("What went wrong, in Twilio's words").optional(),
  } satisfies FieldsOf<HistoryEntry>)
  .meta({ title: 'HistoryEntry' });

export const Call = z
  .object({
    ...call,
    state: z
      .enum(['ringing', 'connecting', 'live', 'ended', 'detached'])
      .describe('`detached`: between two nodes of a fleet'),
    status: text("Twilio's latest status callback").optional(),
    answeredBy: text(
      'Who or what answered, if detection was on: `human`, `machine_start`, `fax`, …',
    ).optional(),
    startedAt: time('When it began'),
    endedAt: time('When it ended').optional(),
    endCause: text('Why it ended').optional(),
    durationSeconds: z.number().nullable().describe('`null` until it ends'),
    streamSid: text("Twilio's id of the media stream").optional(),
    room: text('Its room in the bridge').optional(),
    held: z.boolean().optional().describe('Whether it is on hold'),
    muted: z.enum(VOICES).optional().describe('Who is silenced'),
    playedMs: number('Milliseconds the caller has heard').optional(),
    leadMs: number('Milliseconds queued ahead at the phone').optional(),
    traffic: Traffic.optional(),
    latency: Latency.optional(),
    history: z.array(History).max(64).optional(),
  } satisfies FieldsOf<CallView>)
  .meta({ title: 'Call' });

export const CallList = z.object({ calls: z.array(Call) }).meta({ title: 'CallList' });

export const Report = z
  .object({
    cause: text('Why the call ended'),
    result: z.enum(CALL_RESULTS),
    durationSeconds: z.number(),
    traffic: Traffic,
    latency: Latency,
  } satisfies FieldsOf<CallReport>)
  .meta({ title: 'Report' });

const recorded = {
  callId: call.callId,
  file: text('Its name in RECORD_DIR, at the node that has the call'),
  seconds: number('Length so far'),
  droppedMs: number('Milliseconds that are silent because the disk was too slow'),
  lateMs: number('Milliseconds of the caller that came too late to be recorded'),
};

export const Recording = z
  .object({
    ...recorded,
    startedAt: time('When it began'),
    rate: z.literal(RECORD_RATES).describe('Samples per second'),
    maxSeconds: z.int().min(0),
  } satisfies FieldsOf<RecordingView>)
  .meta({ title: 'Recording' });

export const RecordingResult = z
  .object({
    ...recorded,
    end: z.enum(['stopped', 'limit', 'call-ended', 'disk-error', 'closed']),
  } satisfies FieldsOf<Omit<RecordingEnded, 'error'>>)
  .meta({ title: 'RecordingResult' });

export const Event = z
  .object({
    id: text('Unique: an event that is delivered twice has the same'),
    type: text('`call.started`, `call.answered`, `call.dtmf`, `call.ended`, …'),
    version: z.literal(1),
    timestamp: time('When it happened'),
    call: z.object(call),
    data: z.union([Report, z.record(z.string(), z.unknown())]).describe('By type'),
  })
  .meta({ title: 'Event' });
