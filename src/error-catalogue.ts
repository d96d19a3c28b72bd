/** One error that Trunkline reports. */
interface CatalogueEntry {
  /** HTTP status of the answer where a request meets it; 500 where none is named. */
  readonly status?: number;
  /** What it means, and what to do about it. */
  readonly meaning: string;
}

/**
 * Every error code by chapter: the one place for its HTTP status and its explanation. Errors, the OpenAPI document and
 * `docs/errors.md` (`npm run docs`) are made from it. Codes are stable: add and retire, never reuse.
 * @internal
 */
export const ERROR_CHAPTERS = {
  "Twilio's requests": {
    GW_SIGNATURE_MISSING: { status: 403, meaning: 'The request is not signed. Does it come from Twilio?' },
    GW_SIGNATURE_INVALID: {
      status: 403,
      meaning:
        'The request is signed for another URL or with another auth token. `trunkline doctor` finds out which.',
    },
    GW_NOT_A_FORM: { status: 415, meaning: 'A webhook must be a form. Does it come from Twilio?' },
    GW_TOO_MANY_PARAMETERS: { status: 413, meaning: 'The webhook has more than 200 parameters.' },
    GW_CALL_SID_MISSING: { status: 400, meaning: 'The webhook has no `CallSid`.' },
    GW_UPGRADE_MISSING: { status: 426, meaning: 'A proxy drops the header `Upgrade: websocket`.' },
    GW_ORIGIN_REFUSED: {
      status: 403,
      meaning: 'A web page tried to open a media stream, or a raw leg of another site.',
    },
    GW_TOKEN_INVALID: { status: 401, meaning: "The token in the media URL is not this call's." },
    GW_TOKEN_USED: { status: 409, meaning: 'The media URL was used before. Each opens one stream.' },
    GW_TOKEN_EXPIRED: { status: 410, meaning: 'The media URL is more than a minute old.' },
  },
  'The control API': {
    GW_UNAUTHORIZED: { status: 401, meaning: 'The bearer key is missing, or is not `CONTROL_API_KEY`.' },
    GW_METHOD_NOT_ALLOWED: {
      status: 405,
      meaning: 'The path exists, the method does not. The header `Allow` lists those that do.',
    },
    GW_NOT_FOUND: {
      status: 404,
      meaning: 'No such route. All of `/v1` is missing while `CONTROL_API_KEY` is not set.',
    },
    GW_BAD_REQUEST: { status: 400, meaning: 'The message lists every mistake in the request.' },
    GW_BODY_TOO_LARGE: { status: 413, meaning: 'The message gives the limit.' },
    GW_CLIENT_GONE: { status: 400, meaning: 'The client left before it had sent its whole body.' },
    GW_INTERNAL: { status: 500, meaning: 'A fault in the gateway. The log has the details.' },
    GW_CALL_UNKNOWN: { status: 404, meaning: 'No such call, or it ended a while ago.' },
    GW_CALL_ENDED: { status: 409, meaning: 'The call has already ended, perhaps during this request.' },
    GW_CALL_NOT_LIVE: { status: 409, meaning: 'Nobody is on the phone yet.' },
    GW_CALL_EXISTS: { status: 409, meaning: 'Another call has this `callId`.' },
    GW_CALL_MOVING: { status: 409, meaning: 'The call is moving to another node. Retry in a second.' },
    GW_TOO_MANY_READERS: { status: 503, meaning: 'All 32 connections to `/v1/events` are in use.' },
    GW_TOO_MANY_VIEWERS: { status: 503, meaning: 'Too many dashboards watch `/v1/live`.' },
  },
  'Placing calls': {
    GW_FROM_MISSING: { status: 400, meaning: 'Neither `from` nor `TWILIO_FROM` names a caller ID.' },
    GW_TWIML_TOO_LONG: {
      status: 400,
      meaning: 'The TwiML of an outbound call exceeds the 4,000 characters that Twilio accepts.',
    },
    GW_TWIML_INVALID: { status: 400, meaning: 'Twilio would not accept these verbs or parameters.' },
    GW_CALL_REFUSED: { status: 403, meaning: '`prepareCall` or the router refused the call.' },
    GW_TWILIO_REFUSED: {
      status: 502,
      meaning: "Twilio refused. The message has Twilio's own code and words.",
    },
    GW_TWILIO_NOT_CONFIGURED: {
      status: 503,
      meaning: 'Set `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN`.',
    },
    GW_PUBLIC_URL_MISSING: { status: 503, meaning: 'Set `PUBLIC_URL`.' },
    GW_DRAINING: { status: 503, meaning: 'The node is shutting down. Try another node.' },
    GW_FULL: { status: 503, meaning: '`MAX_CALLS` calls are active. Try another node, or later.' },
    GW_OVERLOADED: {
      status: 503,
      meaning: 'The node is too busy for new calls. Try another node, or later.',
    },
  },
  'Running calls': {
    GW_STREAM_CLOSED: { status: 409, meaning: 'The call has no media stream, or its stream has closed.' },
    GW_TOO_MANY_MARKS: { status: 409, meaning: '256 marks wait for their echo.' },
    GW_DTMF_QUEUE_FULL: { status: 409, meaning: 'More than 64 keys would wait to be dialled.' },
    GW_PLAY_OFF: { status: 409, meaning: 'Files cannot be played: `PLAY_DIR` is not set.' },
    GW_PLAY_FILE_UNKNOWN: { status: 404, meaning: '`PLAY_DIR` has no such file.' },
    GW_PLAY_NONE: { status: 404, meaning: 'Nothing is playing on the call.' },
    GW_SUPERSEDED: {
      status: 409,
      meaning:
        'A later play, stop, clear, hold or unhold replaced this request while its file was being read.',
    },
    GW_PLAYS_FULL: {
      status: 503,
      meaning: 'Uploaded sounds fill their 128 MiB of memory. Put sounds into `PLAY_DIR`.',
    },
    GW_WAV_INVALID: {
      status: 400,
      meaning: 'The WAV file cannot be read. The message lists what is accepted.',
    },
    GW_WAV_TOO_LONG: { status: 413, meaning: 'The WAV file is too long. The message gives the limit.' },
    GW_TRANSFER_TO: { status: 400, meaning: 'The target is neither an E.164 number nor a SIP address.' },
    GW_TRANSFER_IMPOSSIBLE: {
      status: 409,
      meaning: 'The call is in no bridge, or there is no Twilio account to transfer it with.',
    },
    GW_TRANSFER_UNDER_WAY: { status: 409, meaning: 'Another transfer of this call is under way.' },
    GW_TRANSFER_FAILED: { status: 502, meaning: 'The bridge did not take the call. It stays where it was.' },
    GW_TRANSFER_REFUSED: {
      meaning: '`STREAM_TRANSFER_TO` does not allow the number. Reported as an event in the Stream call.',
    },
    GW_BRIDGE_NOT_STREAM: {
      status: 409,
      meaning: 'The request names a Stream call, but the bridge is local.',
    },
    GW_LEG_IMPOSSIBLE: {
      status: 409,
      meaning: 'A second leg needs a call that is in a room and stays there.',
    },
    GW_PHONE_COMMAND: { meaning: 'A custom event in a Stream call is not a valid command.' },
  },
  'Recordings and raw legs': {
    GW_RECORDING_OFF: { status: 409, meaning: 'Calls cannot be recorded: `RECORD_DIR` is not set.' },
    GW_RECORDING_EXISTS: { status: 409, meaning: 'The call is already being recorded.' },
    GW_RECORDING_NONE: { status: 404, meaning: 'The call is not being recorded.' },
    GW_RECORDINGS_FULL: { status: 503, meaning: '200 calls are being recorded.' },
    GW_RECORDING_FAILED: { status: 503, meaning: 'The file cannot be written.' },
    GW_CALL_UNBRIDGED: {
      status: 409,
      meaning: 'Your own code has the call: there is no room to listen to.',
    },
    GW_BRIDGE_NOT_LOCAL: { status: 409, meaning: 'The bridge has no rooms that programs can join.' },
    GW_ROOM_FULL: { status: 409, meaning: 'The room is full.' },
    GW_LEGS_FULL: { status: 503, meaning: '`MAX_LEGS` programs are in rooms.' },
    GW_LEG_MESSAGE: { meaning: 'Sent on the leg itself: a message that is not a valid command.' },
    GW_LEG_LISTENS: { meaning: 'Sent on the leg itself: a leg with `listen=1` may not speak.' },
  },
  Agents: {
    GW_AGENT_REFUSED: {
      meaning: 'The agent refused the call: it answered with a status of 4xx, or the model refused the key.',
    },
    GW_AGENT_UNREACHABLE: {
      meaning:
        'The agent did not take the call in time, or was lost during the call and did not take it again.',
    },
    GW_AGENT_PROTOCOL: {
      meaning: 'The agent sent too many invalid messages, too many a second, or one that is too long.',
    },
    GW_AGENT_NO_ROOM: {
      meaning:
        "The agent has no place in the call's room: Stream refused it, or it was lost and could not join again.",
    },
    GW_AGENT_UNKNOWN: {
      status: 400,
      meaning:
        'A decision names an agent that is no URL, no model such as `openai:gpt-realtime` and none of `agents.handlers`.',
    },
    GW_AGENT_KEY_MISSING: {
      status: 503,
      meaning: "The model's key is not set: `OPENAI_API_KEY` or `GEMINI_API_KEY`.",
    },
  },
  'Several nodes': {
    GW_REGISTRY_DOWN: { status: 503, meaning: 'Redis does not answer. Running calls continue.' },
    GW_REGISTRY_ERROR: {
      status: 503,
      meaning: "Redis answers with an error. Has something else written to the gateway's keys?",
    },
    GW_NODE_GONE: {
      status: 503,
      meaning: 'The node that has the call is gone. Clients see `GW_CALL_MOVING`.',
    },
    GW_QUESTION_UNKNOWN: { meaning: 'A node runs another version. Finish the update.' },
  },
  'Your own services': {
    GW_ROUTER_STATUS: { status: 502, meaning: 'The router answered with a status other than 2xx.' },
    GW_ROUTER_ANSWER: {
      status: 502,
      meaning: "The router's answer is not a valid decision, or could not be carried out.",
    },
    GW_WEBHOOK_TIMEOUT: { status: 502, meaning: 'Your service did not answer in time.' },
    GW_WEBHOOK_UNREACHABLE: { status: 502, meaning: 'Your service cannot be reached.' },
    GW_WEBHOOK_ANSWER_TOO_LARGE: { status: 502, meaning: 'The answer of your service is too long.' },
    GW_WEBHOOK_SIGNATURE: {
      status: 401,
      meaning: 'Thrown by `verifyWebhook`: this gateway did not sign the request, or it is too old.',
    },
    GW_PREPARE_TIMEOUT: { meaning: '`prepareCall` took more than ten seconds.' },
  },
  'Starting the gateway': {
    GW_CONFIG_INVALID: { meaning: 'The message has one line for each mistake in the settings.' },
    GW_LISTEN_FAILED: { meaning: 'The address is in use, or cannot be listened on.' },
    GW_WORKER_FAILED: { meaning: 'A worker ended before it served (`WORKERS`): its log says why.' },
    GW_LISTENING: { meaning: '`listen` or `attach` was called twice, or after `close`.' },
    GW_TLS_FILE: { meaning: 'The certificate or key cannot be read, or they do not match.' },
    GW_REDIS_REFUSED: {
      meaning:
        'Redis cannot be used, and waiting will not help: password, permissions, TLS, database or sentinel name. The message says which.',
    },
    GW_RECORD_DIR: { meaning: '`RECORD_DIR` is not a directory that can be written to.' },
    GW_PLAY_DIR: { meaning: '`PLAY_DIR` is not a directory that can be read.' },
    GW_DEAD_LETTER_FILE: { meaning: '`EVENTS_DEAD_LETTER_FILE` cannot be opened or created.' },
    GW_SPOOL_DIR: { meaning: '`EVENTS_SPOOL_DIR` cannot be created, read or written to.' },
    GW_SPOOL_TAKEN: {
      meaning: 'Another gateway on this machine uses this `EVENTS_SPOOL_DIR`. Each needs its own.',
    },
    GW_SERVER_MISSING: {
      meaning:
        '`SERVER=uws`, but uWebSockets.js has no binary for this Node and C library. The message lists what was tried.',
    },
    GW_NATIVE_MISSING: { meaning: 'The native core does not load. The message lists what was tried.' },
    GW_WASM_MISSING: { meaning: 'The WebAssembly core does not load. The message lists what was tried.' },
    GW_TRANSCODER_UNKNOWN: { meaning: '`TRANSCODER` names no core that exists.' },
    GW_STREAM_MISSING: {
      status: 503,
      meaning:
        "The Stream bridge's optional packages are not installed. The message says how to install them.",
    },
    GW_WEBRTC_MISSING: { meaning: "The Stream bridge's WebRTC library does not load." },
    GW_STREAM_KEYS: { meaning: 'Stream rejects the API key or secret.' },
    GW_STREAM_KEYS_MISSING: { meaning: 'The Stream bridge needs `STREAM_API_KEY` and `STREAM_API_SECRET`.' },
  },
  'The knowledge base': {
    GW_KNOWLEDGE_FOLDER: { meaning: 'The knowledge folder is not a directory that can be read.' },
    GW_KNOWLEDGE_EMPTY: { meaning: 'The knowledge folder has no Markdown file with text in it.' },
    GW_KNOWLEDGE_FILE: {
      meaning: 'A file of the knowledge folder cannot be read, or is not UTF-8. The message names it.',
    },
    GW_KNOWLEDGE_TOO_LARGE: {
      meaning: 'The knowledge folder has too many files, bytes or levels. The message gives the limit.',
    },
    GW_EMBEDDINGS_REFUSED: {
      status: 502,
      meaning: 'The embeddings service rejects the key, the model or the request.',
    },
    GW_EMBEDDINGS_FAILED: {
      status: 502,
      meaning: 'The embeddings service does not answer, or not with embeddings. Words alone find passages.',
    },
  },
  'The Stream bridge': {
    GW_STREAM_CALL_NAME: { status: 400, meaning: 'Stream does not accept this call type or id.' },
    GW_STREAM_USER: { status: 400, meaning: 'Stream does not accept this user id.' },
    GW_STREAM_REFUSED: { status: 502, meaning: 'Stream refused a request.' },
    GW_STREAM_UNAVAILABLE: { status: 503, meaning: 'Stream does not answer.' },
    GW_STREAM_JOIN: { status: 502, meaning: 'The Stream call could not be joined.' },
    GW_STREAM_MEDIA: { status: 502, meaning: 'The Stream call was joined, but no media arrived.' },
    GW_STREAM_CALL_ENDED: { status: 502, meaning: 'The Stream call has ended.' },
    GW_STREAM_LEFT: { meaning: 'The caller hung up before the join completed.' },
    GW_STREAM_PERMISSION: {
      status: 502,
      meaning:
        "The phone's user lacks a permission in the Stream call. The message names it: `send-audio`, `join-call`.",
    },
    GW_STREAM_WORKER: { status: 502, meaning: 'A media worker crashed or hung. Its phones join again.' },
  },
  'Parts of the library': {
    GW_STREAM_OPEN: { meaning: 'The media stream already has a socket.' },
    GW_TRANSCODER_CLOSED: { meaning: 'The transcoder was used after `close`.' },
    GW_TRANSCODER_UNBOUND: { meaning: 'The transcoder was used before `bind`.' },
    GW_RESAMPLER_CLOSED: { meaning: 'The resampler was used after `close`.' },
    GW_RESAMPLER_RATE: { meaning: 'The rate is not one that the resampler offers.' },
    GW_WASM_MEMORY_FULL: { meaning: 'The WebAssembly core has no memory for another call.' },
  },
  'The command line and the simulator': {
    GW_AUTH_TOKEN_MISSING: { meaning: '`simulate` needs an auth token to sign requests with.' },
    GW_GATEWAY_UNREACHABLE: { meaning: 'Nobody answers at `--gateway`.' },
    GW_FILE_UNREADABLE: {
      meaning: 'A file cannot be read. The message names the option and the reason.',
    },
    GW_FILE_UNWRITABLE: {
      meaning: 'A file cannot be written. The message names the option and the reason.',
    },
    GW_REQUEST_UNREADABLE: { meaning: '`doctor --request`: the file holds no HTTP request.' },
    GW_TWILIO_CREDENTIALS: {
      status: 502,
      meaning: '`doctor`: Twilio rejects the account SID or auth token.',
    },
    GW_SIM_OPTIONS: { meaning: 'The simulator got an option it cannot use.' },
    GW_SIM_PROFILE: { meaning: "The simulator's load profile is not valid." },
    GW_SIM_SCRIPT: { meaning: "The simulated caller's script is not valid." },
    GW_SIM_WAV: { meaning: 'The simulator cannot read this WAV file.' },
    GW_SIM_FIXTURE: { meaning: "The simulator's own speech sample is missing or damaged." },
    GW_SIM_UNSUPPORTED: { meaning: 'The simulated Twilio does not support what the server asked for.' },
    GW_SIM_REJECTED: { meaning: 'The server rejected the simulated call.' },
    GW_SIM_NO_STREAM: { meaning: 'The server answered the simulated call without a media stream.' },
    GW_SIM_INTERNAL: { meaning: 'A fault in the simulator.' },
  },
} as const satisfies Record<string, Record<`GW_${string}`, CatalogueEntry>>;

/** @internal */
type Chapters = typeof ERROR_CHAPTERS;

/** A stable error code. `GW_SIM_` and a number is an error of Twilio's own, as twilio.com/docs/api/errors lists it. */
export type ErrorCode =
  | { [C in keyof Chapters]: keyof Chapters[C] & string }[keyof Chapters]
  | `GW_SIM_${number}`;

const STATUSES: ReadonlyMap<string, number> = new Map(
  Object.values(ERROR_CHAPTERS).flatMap((chapter) =>
    Object.entries(chapter as Record<string, CatalogueEntry>).map(([code, { status = 500 }]) => [
      code,
      status,
    ]),
  ),
);

/** HTTP status of an answer with this error; 500 where the catalogue names none. */
export function statusOf(code: string): number {
  return STATUSES.get(code) ?? 500;
}
