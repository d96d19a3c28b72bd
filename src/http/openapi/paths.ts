import { controlPaths } from './control-paths.js';
import { answer, body, callId, errors, OF_A_CALL, type Paths, query } from './operation.js';
import { ref } from './schemas.js';

/** How a program hears and speaks in a room. */
const legQuery = [
  query('rate', 'Samples a second', { enum: [16_000, 24_000, 48_000], default: 48_000 }),
  query('buffer', 'Milliseconds of speech that may wait to be spoken', {
    type: 'integer',
    minimum: 100,
    maximum: 120_000,
    default: 30_000,
  }),
  query('listen', '1: hears everybody and says nothing', { enum: [0, 1], default: 0 }),
];

export const paths: Paths = {
  '/v1/calls': {
    post: {
      operationId: 'placeCall',
      summary: 'Places a call through Twilio',
      tags: ['calls'],
      requestBody: body(ref('PlaceCall'), { to: '+15551234567', room: 'sales', ringTimeoutSeconds: 30 }),
      responses: {
        201: answer('Twilio rings', ref('PlacedCall')),
        ...errors({
          400: ['GW_BAD_REQUEST', 'GW_FROM_MISSING', 'GW_TWIML_TOO_LONG'],
          403: ['GW_CALL_REFUSED'],
          409: ['GW_CALL_EXISTS', 'GW_CALL_ENDED'],
          413: ['GW_BODY_TOO_LARGE'],
          500: ['GW_PREPARE_TIMEOUT'],
          502: ['GW_TWILIO_REFUSED'],
          503: [
            'GW_DRAINING',
            'GW_FULL',
            'GW_OVERLOADED',
            'GW_TWILIO_NOT_CONFIGURED',
            'GW_PUBLIC_URL_MISSING',
            'GW_REGISTRY_DOWN',
            'GW_REGISTRY_ERROR',
          ],
        }),
      },
    },
    get: {
      operationId: 'listCalls',
      summary: 'All calls that have not ended, of all nodes',
      tags: ['calls'],
      responses: { 200: answer('Calls', ref('CallList')), ...errors() },
    },
  },
  '/v1/calls/{callId}': {
    get: {
      operationId: 'inspectCall',
      summary: 'A call, how it goes, and what Twilio told of it',
      tags: ['calls'],
      parameters: [callId],
      responses: { 200: answer('The call', ref('Call')), ...errors(OF_A_CALL) },
    },
    delete: {
      operationId: 'hangUp',
      summary: 'Hangs a call up, also one that only rings',
      tags: ['calls'],
      parameters: [callId],
      responses: { 200: answer('The call, ended', ref('Call')), ...errors(OF_A_CALL) },
    },
  },
  ...controlPaths,
  '/v1/calls/{callId}/recording': {
    post: {
      operationId: 'startRecording',
      summary: 'Records a call to a WAV file: the caller left, what the caller hears right',
      tags: ['recordings'],
      parameters: [callId],
      requestBody: body(ref('RecordRequest'), { maxSeconds: 600, rate: 16_000 }, false),
      responses: {
        201: answer('It has begun', ref('Recording')),
        ...errors({
          400: ['GW_BAD_REQUEST'],
          404: ['GW_CALL_UNKNOWN'],
          409: ['GW_RECORDING_OFF', 'GW_RECORDING_EXISTS', 'GW_CALL_ENDED', 'GW_CALL_MOVING'],
          413: ['GW_BODY_TOO_LARGE'],
          500: OF_A_CALL[500],
          503: [...OF_A_CALL[503], 'GW_RECORDINGS_FULL', 'GW_RECORDING_FAILED'],
        }),
      },
    },
    get: {
      operationId: 'inspectRecording',
      summary: 'A recording that runs',
      tags: ['recordings'],
      parameters: [callId],
      responses: {
        200: answer('How it is', ref('Recording')),
        ...errors({
          404: ['GW_CALL_UNKNOWN', 'GW_RECORDING_NONE'],
          409: ['GW_CALL_MOVING'],
          500: OF_A_CALL[500],
          503: OF_A_CALL[503],
        }),
      },
    },
    delete: {
      operationId: 'stopRecording',
      summary: 'Ends a recording; answers when its file is whole',
      tags: ['recordings'],
      parameters: [callId],
      responses: {
        200: answer('What it came to', ref('RecordingResult')),
        ...errors({
          404: ['GW_CALL_UNKNOWN', 'GW_RECORDING_NONE'],
          409: ['GW_CALL_MOVING'],
          500: OF_A_CALL[500],
          503: OF_A_CALL[503],
        }),
      },
    },
  },
  '/v1/events': {
    get: {
      operationId: 'followEvents',
      summary: 'What happens to the calls of this node, as server-sent events',
      description:
        'Each has `id`, `event` (its type) and `data` (an Event as JSON). With `Last-Event-ID` nothing is missing as long as that one is among the last 1,000; otherwise the first event is `reset`.',
      tags: ['events'],
      parameters: [
        {
          name: 'Last-Event-ID',
          in: 'header',
          description: 'The id of the last event that was seen',
          schema: { type: 'string' },
        },
      ],
      responses: {
        200: {
          description: 'Events, as they happen',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
        ...errors({ 503: ['GW_TOO_MANY_READERS'] }),
      },
    },
  },
  '/v1/live': {
    get: {
      operationId: 'watch',
      summary: 'How the gateway and each call of this node are, once a second, as server-sent events',
      description:
        'Made for the page at `/dashboard`. Each event is `live`; its `data` is JSON with the columns of `rows` named in `fields`. What a viewer is too slow for is not kept for it.',
      tags: ['calls'],
      responses: {
        200: {
          description: 'A round a second',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
        ...errors({ 503: ['GW_TOO_MANY_VIEWERS'] }),
      },
    },
  },
  '/v1/live/ended': {
    get: {
      operationId: 'listEndedCalls',
      summary: 'Calls of this node that ended within the last hour, at most 2,000, the latest first',
      description:
        'Made for the page at `/dashboard`: fields may be added. The number of the person on the phone is masked.',
      tags: ['calls'],
      responses: { 200: answer('Calls', { type: 'object' }), ...errors() },
    },
  },
  '/v1/live/calls/{callId}': {
    get: {
      operationId: 'inspectRecentCall',
      summary: 'A call of this node that lasts or ended within the last hour, with its history and events',
      description:
        'Made for the page at `/dashboard`: fields may be added. The number of the person on the phone is masked.',
      tags: ['calls'],
      parameters: [callId],
      responses: { 200: answer('The call', { type: 'object' }), ...errors({ 404: ['GW_CALL_UNKNOWN'] }) },
    },
  },
  '/v1/calls/{callId}/leg': {
    get: {
      operationId: 'joinCall',
      summary: 'Joins a program to the local room that a call of this node is in, over a WebSocket',
      description: 'As `/v1/rooms/{room}/leg`, where the name of the room is not known.',
      tags: ['rooms'],
      parameters: [callId, ...legQuery],
      responses: {
        101: { description: 'A WebSocket from here on' },
        ...errors({
          400: ['GW_BAD_REQUEST'],
          403: ['GW_ORIGIN_REFUSED'],
          404: ['GW_CALL_UNKNOWN'],
          409: ['GW_CALL_ENDED', 'GW_CALL_UNBRIDGED', 'GW_BRIDGE_NOT_LOCAL', 'GW_ROOM_FULL'],
          426: ['GW_UPGRADE_MISSING'],
          503: ['GW_LEGS_FULL'],
        }),
      },
    },
  },
  '/v1/rooms/{room}/leg': {
    get: {
      operationId: 'joinRoom',
      summary: 'Joins a program to a local room over a WebSocket',
      description:
        'Binary messages are 16-bit linear mono PCM, little endian, both ways; text messages are JSON, `clear`, `mark`, `dtmf` and `hangup` from the program. A browser offers its key as the subprotocol `key.` and the base64url of it, beside `trunkline.leg`.',
      tags: ['rooms'],
      parameters: [
        {
          name: 'room',
          in: 'path',
          required: true,
          description: 'Percent-encoded',
          schema: { type: 'string', minLength: 1, maxLength: 200 },
        },
        ...legQuery,
      ],
      responses: {
        101: { description: 'A WebSocket from here on' },
        ...errors({
          400: ['GW_BAD_REQUEST'],
          403: ['GW_ORIGIN_REFUSED'],
          409: ['GW_BRIDGE_NOT_LOCAL', 'GW_ROOM_FULL'],
          426: ['GW_UPGRADE_MISSING'],
          503: ['GW_LEGS_FULL'],
        }),
      },
    },
  },
  '/v1/openapi.json': {
    get: {
      operationId: 'describe',
      summary: 'This document',
      tags: ['description'],
      responses: {
        200: answer('OpenAPI 3.1', { type: 'object' }),
        ...errors(),
      },
    },
  },
};

/** What we ask others: they answer. */
export const webhooks: Paths = {
  event: {
    post: {
      operationId: 'takeEvent',
      summary: 'An event, at EVENTS_WEBHOOK_URL',
      description:
        'Signed as Standard Webhooks are: `webhook-id`, `webhook-timestamp` and `webhook-signature`. Tried again until it is answered with 2xx, or given up.',
      tags: ['events'],
      requestBody: body(ref('Event'), {
        id: '5e0c1f2a9b3d-41',
        type: 'call.dtmf',
        version: 1,
        timestamp: '2026-01-01T00:00:00.000Z',
        call: { callId: 'one', from: '+15550001111', to: '+15552223333' },
        data: { digit: '5' },
      }),
      responses: { 204: { description: 'Taken' }, 400: { description: 'Tried again' } },
    },
  },
};
