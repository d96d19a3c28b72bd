import { MAX_WAV_BYTES } from '../../control/requests.js';
import {
  answer,
  body,
  callId,
  type ErrorCodes,
  errors,
  OF_A_CALL,
  type Operation,
  type Paths,
  query,
} from './operation.js';
import { ref, type Schema } from './schemas.js';

/** What is the same of all that is asked of a running call. */
interface ControlOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Schema[];
  readonly requestBody?: Schema;
  readonly answers: readonly [status: number, description: string, schema: string];
  /** Besides those of every such operation. */
  readonly errors?: ErrorCodes;
}

function control({ answers, errors: own = {}, parameters = [], ...rest }: ControlOperation): Operation {
  const [status, description, schema] = answers;
  const hasBody = rest.requestBody !== undefined;
  return {
    tags: ['control'],
    ...rest,
    parameters: [callId, ...parameters],
    responses: {
      [status]: answer(description, ref(schema)),
      ...errors({
        ...own,
        ...(hasBody ? { 400: [...(own[400] ?? []), 'GW_BAD_REQUEST'] } : {}),
        404: [...(own[404] ?? []), ...OF_A_CALL[404]],
        409: [...(own[409] ?? []), 'GW_CALL_ENDED', 'GW_CALL_NOT_LIVE', 'GW_CALL_MOVING'],
        ...(hasBody ? { 413: [...(own[413] ?? []), 'GW_BODY_TOO_LARGE'] } : {}),
        500: [...(own[500] ?? []), ...OF_A_CALL[500]],
        503: [...(own[503] ?? []), ...OF_A_CALL[503]],
      }),
    },
  };
}

const file = { 404: ['GW_PLAY_FILE_UNKNOWN'], 409: ['GW_PLAY_OFF', 'GW_SUPERSEDED'] } as const;
const wav = { 400: ['GW_WAV_INVALID'], 413: ['GW_WAV_TOO_LONG'] } as const;

/** `/v1/calls/{callId}/…`: what is asked of a running call. */
export const controlPaths: Paths = {
  '/v1/calls/{callId}/clear': {
    post: control({
      operationId: 'clear',
      summary: 'Drops what the caller has waiting: audio here and at Twilio, keys, and what is played',
      requestBody: body(ref('Clear'), {}, false),
      answers: [200, 'Dropped', 'Cleared'],
    }),
  },
  '/v1/calls/{callId}/mark': {
    post: control({
      operationId: 'mark',
      summary:
        'Places a mark behind all audio so far; the event `call.mark` tells when it was heard, or taken back',
      requestBody: body(ref('Mark'), { name: 'greeting' }),
      answers: [202, 'Placed', 'Marked'],
      errors: { 409: ['GW_TOO_MANY_MARKS'] },
    }),
  },
  '/v1/calls/{callId}/dtmf': {
    post: control({
      operationId: 'dtmf',
      summary: 'Sounds keys to the caller, in place of everything else',
      requestBody: body(ref('Dtmf'), { digits: '12w#', toneMs: 100 }),
      answers: [202, 'Queued', 'Dialled'],
      errors: { 409: ['GW_DTMF_QUEUE_FULL'] },
    }),
  },
  '/v1/calls/{callId}/play': {
    post: control({
      operationId: 'play',
      summary: 'Plays a WAV file to the caller, in place of one that is played',
      description: `A file of PLAY_DIR by its name, or the file itself: at most ${MAX_WAV_BYTES} bytes, its options in the query. The event \`call.played\` tells when it is over.`,
      parameters: [
        query('loop', 'How often; 0 for until it is stopped', {
          type: 'integer',
          minimum: 0,
          maximum: 1_000,
        }),
        query('gain', 'Decibels', { type: 'number', minimum: -40, maximum: 12 }),
        query('over', 'Mixed with the other side instead of silencing it', { type: 'boolean' }),
      ],
      requestBody: {
        required: true,
        content: {
          'application/json': { schema: ref('Play'), example: { file: 'welcome.wav' } },
          'audio/wav': { schema: { type: 'string', contentMediaType: 'audio/wav' } },
        },
      },
      answers: [201, 'It has begun', 'PlayStarted'],
      errors: { ...file, ...wav, 503: ['GW_PLAYS_FULL'] },
    }),
    delete: control({
      operationId: 'stopPlay',
      summary: 'Ends what is played',
      answers: [200, 'What became of it', 'PlayResult'],
      errors: { 404: ['GW_PLAY_NONE'] },
    }),
  },
  '/v1/calls/{callId}/hold': {
    post: control({
      operationId: 'hold',
      summary: 'The caller hears music, and neither side hears the other',
      requestBody: body(ref('Hold'), { file: 'waltz.wav' }, false),
      answers: [200, 'On hold', 'Held'],
      errors: { ...file, ...wav },
    }),
    delete: control({ operationId: 'unhold', summary: 'Ends a hold', answers: [200, 'Not on hold', 'Held'] }),
  },
  '/v1/calls/{callId}/mute': {
    post: control({
      operationId: 'mute',
      summary: 'Silences the caller for the other side, the other side for the caller, or both',
      requestBody: body(ref('Mute'), { voice: 'caller' }, false),
      answers: [200, 'Muted', 'Muted'],
    }),
    delete: control({ operationId: 'unmute', summary: 'Ends it', answers: [200, 'Not muted', 'Muted'] }),
  },
  '/v1/calls/{callId}/transfer': {
    post: control({
      operationId: 'transfer',
      summary: 'Connects the caller with a number or SIP address, another room, or another Stream call',
      description:
        'With a number or SIP address the call ends here, its cause `transferred`. To a room or Stream call it goes on; where that cannot be joined, it stays where it is.',
      requestBody: body(ref('Transfer'), { number: '+15551234567', ringSeconds: 20 }),
      answers: [200, 'Where the caller went', 'Transferred'],
      errors: {
        400: ['GW_STREAM_CALL_NAME'],
        409: ['GW_TRANSFER_IMPOSSIBLE', 'GW_TRANSFER_UNDER_WAY', 'GW_BRIDGE_NOT_STREAM'],
        502: [
          'GW_TWILIO_REFUSED',
          'GW_TRANSFER_FAILED',
          'GW_STREAM_JOIN',
          'GW_STREAM_PERMISSION',
          'GW_STREAM_REFUSED',
          'GW_STREAM_UNAVAILABLE',
          'GW_STREAM_CALL_ENDED',
        ],
      },
    }),
  },
  '/v1/calls/{callId}/legs': {
    post: control({
      operationId: 'addLeg',
      summary: 'Places a call into the same room or Stream call',
      requestBody: body(ref('LegToAdd'), { to: '+15551234567' }),
      answers: [201, 'Twilio rings', 'PlacedCall'],
      errors: {
        400: ['GW_FROM_MISSING', 'GW_TWIML_TOO_LONG'],
        403: ['GW_CALL_REFUSED'],
        409: ['GW_LEG_IMPOSSIBLE', 'GW_CALL_EXISTS'],
        500: ['GW_PREPARE_TIMEOUT'],
        502: ['GW_TWILIO_REFUSED'],
        503: ['GW_DRAINING', 'GW_FULL', 'GW_OVERLOADED', 'GW_TWILIO_NOT_CONFIGURED', 'GW_PUBLIC_URL_MISSING'],
      },
    }),
  },
};
