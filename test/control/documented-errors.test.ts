import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import wavefile from 'wavefile';
import { AdmissionControl } from '../../src/calls/admission.js';
import { Clips } from '../../src/control/clips.js';
import { RequestAuthenticator } from '../../src/http/request-authenticator.js';
import { type GatewayOptions, type JoinRequest, LocalBridge, type PhoneLine } from '../../src/index.js';
import { WavFile } from '../../src/recording/wav-file.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { ask, startControlled } from '../support/control.js';
import { checkAnswer, documentedErrors } from '../support/documented.js';
import { startGateway } from '../support/gateway.js';
import { KEY, TestLeg } from '../support/leg.js';
import { type Answer, badBodyOf, type Operation, type Request, send } from '../support/operations.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

const OTHER = '+15557778888';
const MOST_PLAYED_BYTES = 128 * 1024 * 1024;

/** Provokes an error of an operation over HTTP. */
type Way = (of: Operation) => Promise<Answer>;

const freed: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const free of freed.splice(0)) await free();
});

/** A gateway with a live caller, and a way to request operations on that call. */
async function live(options: GatewayOptions = {}) {
  const started = await startControlled(options);
  const { phone, callId } = await started.place();
  return {
    ...started,
    phone,
    callId,
    send: (of: Operation, request: Request = {}) => send(started.url, of, { callId, ...request }),
  };
}

/** Requests the operation on a live call. */
const ofLive =
  (options: GatewayOptions | (() => GatewayOptions) = {}, request: Request = {}): Way =>
  async (of) =>
    (await live(typeof options === 'function' ? options() : options)).send(of, request);

/** A hook that decides outbound calls only. */
const whenPlaced =
  (decision: object): NonNullable<GatewayOptions['prepareCall']> =>
  ({ direction }) =>
    direction === 'outbound-api' ? decision : {};

/** Local rooms that accept the first caller, and handle the second as configured. */
function onceABridge(then: () => Promise<never>) {
  const bridge = new LocalBridge();
  const first = bridge.join.bind(bridge);
  let joins = 0;
  bridge.join = (request: JoinRequest, line: PhoneLine) => {
    joins += 1;
    return joins === 1 ? first(request, line) : then();
  };
  return bridge;
}

/** A directory of valid and invalid sounds. */
function sounds(): string {
  const directory = mkdtempSync(join(tmpdir(), 'trunkline-documented-'));
  freed.push(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'text.wav'), 'no sound at all');
  writeFileSync(join(directory, 'long.wav'), '');
  truncateSync(join(directory, 'long.wav'), 117 * 1024 * 1024);
  writeFileSync(join(directory, 'minutes.wav'), MINUTES);
  return directory;
}

const MINUTES = wavOf(600);

const withSounds = () => ({ playDir: sounds() });

/** A µ-law file of a length in seconds. */
function wavOf(seconds: number): Uint8Array {
  const wav = new wavefile.WaveFile();
  wav.fromScratch(1, 8_000, '8m', new Uint8Array(seconds * 8_000).fill(0xff) as unknown as number[]);
  return wav.toBuffer();
}

/** Every error of one gateway in `/v1/openapi.json`, and how to provoke it. */
const WAYS: Record<string, Way> = {
  // Of every operation:
  GW_UNAUTHORIZED: async (of) =>
    send((await startGateway({ controlApiKey: KEY })).url, of, { headers: { authorization: 'Bearer x' } }),
  GW_NOT_FOUND: async (of) => send((await startGateway()).url, of),
  GW_INTERNAL: async (of) => {
    const { url } = await startGateway({ controlApiKey: KEY });
    vi.spyOn(RequestAuthenticator.prototype, 'checkControl').mockImplementation(() => {
      throw new Error('a fault of ours');
    });
    return send(url, of);
  },

  // Of a body:
  GW_BAD_REQUEST: async (of) => {
    const { send } = await live({ recordDir: sounds() });
    return send(of, of.method === 'post' ? { body: badBodyOf(of) } : { query: '?rate=7' });
  },
  GW_BODY_TOO_LARGE: ofLive({}, { body: 'x'.repeat(65_537) }),

  // Of a call:
  GW_CALL_UNKNOWN: async (of) => send((await startControlled()).url, of),
  GW_CALL_NOT_LIVE: async (of) => {
    const { url, gateway } = await startControlled();
    const parameters = voiceParameters();
    await postForm(url, '/twilio/voice', parameters);
    return send(url, of, { callId: gateway.calls.getBySid(parameters.CallSid ?? '')?.callId as string });
  },
  GW_CALL_ENDED: async (of) => {
    if (of.path === '/v1/calls') {
      // The call is hung up before the hook decides.
      const { url } = await startControlled({
        prepareCall: ({ callId }) => {
          void ask(url, 'DELETE', callId, '');
          return new Promise(() => {});
        },
      });
      return send(url, of);
    }
    if (of.path.endsWith('/leg')) {
      const { url, gateway } = await startControlled({ prepareCall: () => ({ refuse: 'busy' }) });
      const called = new Promise<string>((resolve) => {
        gateway.once('call', ({ callId }) => resolve(callId));
      });
      await postForm(url, '/twilio/voice', voiceParameters());
      return send(url, of, { callId: await called });
    }
    const { phone, gateway, callId, send: sendLive } = await live({ recordDir: sounds() });
    if (of.path.endsWith('/recording')) {
      const create = WavFile.create.bind(WavFile);
      vi.spyOn(WavFile, 'create').mockImplementation(async (...file) => {
        gateway.calls.require(callId).end('hangup');
        return create(...file);
      });
    } else {
      await phone.hangUp();
      await eventually('the end', () => gateway.calls.get(callId) === undefined);
    }
    return sendLive(of);
  },

  // Of keys, marks and sounds:
  GW_TOO_MANY_MARKS: async (of) => {
    const { url, gateway } = await startControlled();
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    const callId = gateway.calls.listActive()[0]?.callId as string;
    // This caller never returns a mark.
    for (let i = 0; i < 256; i++) await gateway.control.mark(callId, `mark ${i}`);
    const answer = await send(url, of, { callId });
    caller.hangUp();
    return answer;
  },
  GW_DTMF_QUEUE_FULL: async (of) => {
    const { send } = await live();
    const body = { digits: '1'.repeat(64), toneMs: 2_000 };
    expect((await send(of, { body })).status).toBe(202);
    return send(of, { body });
  },
  GW_PLAY_OFF: ofLive({}, { body: { file: 'a.wav' } }),
  GW_PLAY_FILE_UNKNOWN: ofLive(withSounds, { body: { file: 'none.wav' } }),
  GW_WAV_INVALID: ofLive(withSounds, { body: { file: 'text.wav' } }),
  GW_WAV_TOO_LONG: ofLive(withSounds, { body: { file: 'long.wav' } }),
  GW_PLAYS_FULL: async (of) => {
    const { gateway, send } = await live();
    // play.test.ts fills it for real.
    const { uploads } = (gateway as unknown as { callControl: { uploads: object } }).callControl;
    Object.assign(uploads, { bytes: MOST_PLAYED_BYTES });
    return send(of, { body: wavOf(1), headers: { 'content-type': 'audio/wav' } });
  },
  GW_PLAY_NONE: ofLive(),
  GW_SUPERSEDED: async (of) => {
    const { send } = await live(withSounds());
    const reads = vi.spyOn(Clips.prototype, 'get');
    const earlier = send(of, { body: { file: 'minutes.wav' } });
    await eventually('the file to be read', () => reads.mock.calls.length === 1);
    await send({ method: 'delete', path: of.path });
    return earlier;
  },

  // Of a transfer:
  GW_TRANSFER_IMPOSSIBLE: ofLive({ prepareCall: () => ({ bridge: false }) }),
  GW_TRANSFER_UNDER_WAY: async (of) => {
    let joins = 0;
    const bridge = onceABridge(() => {
      joins += 1;
      return new Promise<never>(() => {});
    });
    const { send, phone } = await live({ bridge });
    const first = send(of);
    await eventually('the first transfer', () => joins === 1);
    const answer = await send(of);
    await phone.hangUp();
    // A request that waits for the room ends with the gateway.
    void first.catch(() => {});
    return answer;
  },
  GW_TRANSFER_FAILED: ofLive(() => ({ bridge: onceABridge(async () => Promise.reject(new Error('no'))) })),
  GW_BRIDGE_NOT_STREAM: ofLive({}, { body: { stream: { id: 'one' } } }),

  // Of outbound calls:
  GW_FROM_MISSING: ofLive({ twilio: { from: undefined } as object }),
  GW_TWIML_TOO_LONG: ofLive({ prepareCall: whenPlaced({ before: [{ say: 'x'.repeat(4_000) }] }) }),
  GW_AGENT_UNKNOWN: ofLive({}, { body: { to: OTHER, agent: 'nobody' } }),
  GW_AGENT_KEY_MISSING: ofLive({}, { body: { to: OTHER, agent: 'openai:gpt-realtime' } }),
  GW_CALL_REFUSED: ofLive({ prepareCall: whenPlaced({ refuse: 'rejected' }) }),
  GW_CALL_EXISTS: async (of) => {
    const { callId, send } = await live();
    return send(of, { body: { to: OTHER, callId } });
  },
  GW_PREPARE_TIMEOUT: async (of) => {
    const { send } = await live({
      prepareCall: ({ direction }) => (direction === 'outbound-api' ? new Promise(() => {}) : {}),
    });
    return send(of);
  },
  GW_TWILIO_REFUSED: async (of) => {
    const { gateway, callId, send } = await live();
    if (!of.path.endsWith('/transfer')) return send(of, { body: { to: 'nonsense' } });
    // Twilio does not know this one.
    gateway.calls.bindSid(gateway.calls.require(callId) as never, `CA${'f'.repeat(32)}`);
    return send(of, { body: { number: OTHER } });
  },
  GW_TWILIO_NOT_CONFIGURED: ofLive({ twilio: { accountSid: undefined } as object }),
  GW_PUBLIC_URL_MISSING: async (of) => {
    // A caller's webhook brings the public host along; an outbound call does not.
    const { url, gateway } = await startControlled({
      publicUrl: undefined,
      twilio: { validate: false },
    } as object);
    if (of.path === '/v1/calls') return send(url, of);
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    const answer = await send(url, of, { callId: gateway.calls.listActive()[0]?.callId as string });
    caller.hangUp();
    return answer;
  },
  GW_FULL: ofLive({ maxCalls: 1 }),
  GW_OVERLOADED: async (of) => {
    const { send } = await live();
    vi.spyOn(AdmissionControl.prototype, 'refuse').mockReturnValue('cpu');
    return send(of);
  },
  GW_DRAINING: async (of) => {
    const { gateway, phone, send } = await live();
    const closed = gateway.close(10_000);
    const answer = await send(of);
    await phone.hangUp();
    await closed;
    return answer;
  },
  GW_LEG_IMPOSSIBLE: ofLive({ prepareCall: () => ({ bridge: false }) }),

  // Of recordings:
  GW_RECORDING_OFF: ofLive(),
  GW_RECORDING_NONE: ofLive(() => ({ recordDir: sounds() })),
  GW_RECORDING_EXISTS: async (of) => {
    const { send } = await live({ recordDir: sounds() });
    expect((await send(of)).status).toBe(201);
    return send(of);
  },
  GW_RECORDING_FAILED: async (of) => {
    const recordDir = sounds();
    const { send } = await live({ recordDir });
    rmSync(recordDir, { recursive: true });
    return send(of);
  },
  GW_RECORDINGS_FULL: async (of) => {
    const { gateway, send } = await live({ recordDir: sounds() });
    // recordings.test.ts makes 200 for real.
    const { recordings } = gateway as unknown as { recordings: { running: Map<string, undefined> } };
    vi.spyOn(recordings.running, 'size', 'get').mockReturnValue(200);
    return send(of);
  },

  // Of readers and viewers:
  GW_TOO_MANY_READERS: (of) => crowded(of, 32),
  GW_TOO_MANY_VIEWERS: (of) => crowded(of, 16),
  GW_UPGRADE_MISSING: async (of) => {
    const { send } = await live();
    return send(of, { headers: { connection: undefined, upgrade: undefined } });
  },
  GW_ORIGIN_REFUSED: ofLive({}, { headers: { origin: 'https://evil.example' } }),
  GW_CALL_UNBRIDGED: ofLive({ prepareCall: () => ({ bridge: false }) }),
  GW_BRIDGE_NOT_LOCAL: ofLive(() => {
    const leg = { write() {}, dtmf() {}, close() {} };
    return { bridge: { name: 'other', join: async () => leg, close: async () => {} } };
  }),
  GW_ROOM_FULL: async (of) => {
    const { url, send } = await live({ prepareCall: () => ({ room: 'desk' }) });
    const legs = await Promise.all(Array.from({ length: 16 }, () => TestLeg.join(url, 'desk', '?listen=1')));
    const answer = await send(of);
    for (const leg of legs) leg.close();
    return answer;
  },
  GW_LEGS_FULL: async (of) => {
    const { url, send } = await live({ maxLegs: 1 });
    const leg = await TestLeg.join(url, 'another');
    const answer = await send(of);
    leg.close();
    return answer;
  },
};

/** Opens one event stream too many. */
async function crowded(of: Operation, count: number): Promise<Answer> {
  const { url } = await startControlled();
  const gone = new AbortController();
  const headers = { authorization: `Bearer ${KEY}` };
  const readers = Array.from({ length: count }, () => fetch(url + of.path, { headers, signal: gone.signal }));
  const statuses = (await Promise.all(readers)).map(({ status }) => status);
  expect(statuses).toEqual(Array(count).fill(200));
  const answer = await send(url, of);
  gone.abort();
  return answer;
}

it('exactly the documented errors of a gateway are shown below', () => {
  const codes = new Set(documentedErrors('gateway').map(({ code }) => code));
  expect(Object.keys(WAYS).toSorted()).toEqual([...codes].toSorted());
});

it.each(documentedErrors('gateway'))(
  '$method $path: $status $code',
  async ({ method, path, status, code }) => {
    const answer = await WAYS[code]?.({ method, path });
    expect([answer?.status, answer?.body.error?.code]).toEqual([status, code]);
    expect(answer?.body.error?.message).toMatch(/^\S.{10,}[^.]$/);
    checkAnswer(method, path, status, answer?.body);
  },
);
