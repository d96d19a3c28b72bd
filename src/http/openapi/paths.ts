import { z } from 'zod';
import { PLACE_ERRORS, PlaceCall, PlacedCall } from '../../calls/place-call.js';
import { CONTROL_ERRORS, OPERATIONS } from '../../control/operations.js';
import { LEG_RATES } from '../../legs/leg-rate.js';
import { DEFAULT_BUFFER_MS, MAX_BUFFER_MS, MIN_BUFFER_MS } from '../../legs/raw-leg.js';
import { SAMPLE_RATE } from '../../media/frame.js';
import { RecordRequest } from '../../recording/recordings.js';
import { bodyOf, type Operation, pathsOf } from './operation.js';
import { Call, CallList, Event, Recording, RecordingResult } from './schemas.js';

/** Of a request about a call, whichever node has it. */
const OF_A_CALL = [
  'GW_CALL_UNKNOWN',
  'GW_QUESTION_UNKNOWN',
  'GW_REGISTRY_DOWN',
  'GW_REGISTRY_ERROR',
] as const;
const OF_A_RECORDING = [...OF_A_CALL, 'GW_CALL_MOVING'] as const;
const OF_A_LEG = [
  'GW_BAD_REQUEST',
  'GW_ORIGIN_REFUSED',
  'GW_BRIDGE_NOT_LOCAL',
  'GW_ROOM_FULL',
  'GW_UPGRADE_MISSING',
  'GW_LEGS_FULL',
] as const;

const FOR_THE_DASHBOARD =
  'Made for the page at `/dashboard`: fields may be added. The number of the person on the phone is masked.';

const LegQuery = z.object({
  rate: z.literal(LEG_RATES).default(SAMPLE_RATE).describe('Samples per second'),
  buffer: z
    .int()
    .min(MIN_BUFFER_MS)
    .max(MAX_BUFFER_MS)
    .default(DEFAULT_BUFFER_MS)
    .describe('Milliseconds of speech that may wait to be played'),
  listen: z.literal([0, 1]).default(0).describe('1: the program hears everybody and says nothing'),
});

/** All operations but those on running calls. */
const operations = {
  placeCall: {
    method: 'post',
    path: '/v1/calls',
    tag: 'calls',
    summary: 'Places a call through Twilio',
    request: PlaceCall,
    example: { to: '+15551234567', room: 'sales', ringTimeoutSeconds: 30 },
    status: 201,
    answer: PlacedCall,
    errors: [...PLACE_ERRORS, 'GW_AGENT_UNKNOWN', 'GW_AGENT_KEY_MISSING'],
  },
  listCalls: {
    method: 'get',
    path: '/v1/calls',
    tag: 'calls',
    summary: 'Lists the calls that have not ended, of all nodes',
    status: 200,
    answer: CallList,
  },
  inspectCall: {
    method: 'get',
    path: '/v1/calls/{callId}',
    tag: 'calls',
    summary: 'Shows a call, its figures, and what Twilio reported about it',
    status: 200,
    answer: Call,
    errors: OF_A_CALL,
  },
  hangUp: {
    method: 'delete',
    path: '/v1/calls/{callId}',
    tag: 'calls',
    summary: 'Hangs up a call, even one that is still ringing',
    status: 200,
    answer: Call,
    errors: OF_A_CALL,
  },
  startRecording: {
    method: 'post',
    path: '/v1/calls/{callId}/recording',
    tag: 'recordings',
    summary: 'Records a call to a WAV file: the caller left, what the caller hears right',
    request: RecordRequest,
    example: { maxSeconds: 600, rate: 16_000 },
    status: 201,
    answer: Recording,
    errors: [
      ...OF_A_RECORDING,
      'GW_RECORDING_OFF',
      'GW_RECORDING_EXISTS',
      'GW_CALL_ENDED',
      'GW_RECORDINGS_FULL',
      'GW_RECORDING_FAILED',
    ],
  },
  inspectRecording: {
    method: 'get',
    path: '/v1/calls/{callId}/recording',
    tag: 'recordings',
    summary: 'Shows the current recording',
    status: 200,
    answer: Recording,
    errors: [...OF_A_RECORDING, 'GW_RECORDING_NONE'],
  },
  stopRecording: {
    method: 'delete',
    path: '/v1/calls/{callId}/recording',
    tag: 'recordings',
    summary: 'Ends a recording; answers when its file is complete',
    status: 200,
    answer: RecordingResult,
    errors: [...OF_A_RECORDING, 'GW_RECORDING_NONE'],
  },
  followEvents: {
    method: 'get',
    path: '/v1/events',
    tag: 'events',
    summary: 'Follows the events of this node and all its workers, as server-sent events',
    description:
      'Each has `id`, `event` (its type) and `data` (an Event as JSON). With `Last-Event-ID` none is missing as long as that one is among the last 1,000; otherwise the first event is `reset`.',
    headers: z.object({ 'Last-Event-ID': z.string().describe('The id of the last event received') }),
    status: 200,
    answer: 'text/event-stream',
    errors: ['GW_TOO_MANY_READERS'],
  },
  watch: {
    method: 'get',
    path: '/v1/live',
    tag: 'calls',
    summary:
      'Shows this node, all its workers included, and each of its calls once a second, as server-sent events',
    description:
      'Made for the page at `/dashboard`. Each event is `live`; its `data` is JSON with the columns of `rows` named in `fields`. A viewer that is too slow misses rounds.',
    status: 200,
    answer: 'text/event-stream',
    errors: ['GW_TOO_MANY_VIEWERS'],
  },
  listEndedCalls: {
    method: 'get',
    path: '/v1/live/ended',
    tag: 'calls',
    summary: 'Lists the calls of this node that ended within the last hour, at most 2,000, the latest first',
    description: FOR_THE_DASHBOARD,
    status: 200,
    answer: z.looseObject({}),
  },
  inspectRecentCall: {
    method: 'get',
    path: '/v1/live/calls/{callId}',
    tag: 'calls',
    summary: 'Shows a call of this node, current or ended within the last hour, with its history and events',
    description: FOR_THE_DASHBOARD,
    status: 200,
    answer: z.looseObject({}),
    errors: ['GW_CALL_UNKNOWN'],
  },
  joinCall: {
    method: 'get',
    path: '/v1/calls/{callId}/leg',
    tag: 'rooms',
    summary: "Joins a program to the local room of one of this node's calls, over a WebSocket",
    description: 'As `/v1/rooms/{room}/leg`, for a program that does not know the name of the room.',
    query: LegQuery,
    status: 101,
    answer: 'websocket',
    errors: [...OF_A_LEG, 'GW_CALL_UNKNOWN', 'GW_CALL_ENDED', 'GW_CALL_UNBRIDGED'],
  },
  joinRoom: {
    method: 'get',
    path: '/v1/rooms/{room}/leg',
    tag: 'rooms',
    summary: 'Joins a program to a local room over a WebSocket',
    description:
      'Binary messages are 16-bit linear mono PCM, little endian, both ways; text messages are JSON, `clear`, `mark`, `dtmf` and `hangup` from the program. A browser offers its key as the subprotocol `key.` and the base64url of it, beside `trunkline.leg`.',
    query: LegQuery,
    status: 101,
    answer: 'websocket',
    errors: [...OF_A_LEG, 'GW_STREAM_CALL_NAME'],
  },
  describe: {
    method: 'get',
    path: '/v1/openapi.json',
    tag: 'description',
    summary: 'This document, OpenAPI 3.1',
    status: 200,
    answer: z.looseObject({}),
  },
} satisfies Record<string, Operation>;

const controls = Object.entries(OPERATIONS).map(([name, operation]): [string, Operation] => {
  const { method, path, request, wavQuery, errors = [], ...rest } = operation;
  return [
    name,
    {
      ...rest,
      method,
      path: `/v1/calls/{callId}/${path}`,
      tag: 'control',
      ...(method === 'post' && { request }),
      ...(wavQuery && { query: wavQuery, takesWav: true }),
      errors: [...errors, ...CONTROL_ERRORS],
    },
  ];
});

export const paths = pathsOf({ ...operations, ...Object.fromEntries(controls) });

/** Requests that the gateway makes. */
export const webhooks = {
  event: {
    post: {
      operationId: 'takeEvent',
      summary: 'An event, at EVENTS_WEBHOOK_URL',
      description:
        'Signed as Standard Webhooks are: `webhook-id`, `webhook-timestamp` and `webhook-signature`. Retried until the answer is 2xx, or given up.',
      tags: ['events'],
      requestBody: bodyOf(Event, {
        example: {
          id: '5e0c1f2a9b3d-41',
          type: 'call.dtmf',
          version: 1,
          timestamp: '2026-01-01T00:00:00.000Z',
          call: { callId: 'one', from: '+15550001111', to: '+15552223333' },
          data: { digit: '5' },
        },
      }),
      responses: { 204: { description: 'Accepted' }, 400: { description: 'The event is sent again' } },
    },
  },
};
