import { afterAll, afterEach, beforeAll } from 'vitest';
import type { MediaHost } from '../../src/bridge/stream/media-host.js';
import type { StackChoice } from '../../src/bridge/stream/stack-choice.js';
import { WorkerPool, type WorkerPoolOptions } from '../../src/bridge/stream/worker-pool.js';
import { type GatewayOptions, StreamBridge, type StreamBridgeOptions } from '../../src/index.js';
import type { InboundCallOptions } from '../../src/simulator/index.js';
import { createLog } from '../../src/telemetry/log.js';
import { startGateway } from './gateway.js';
import { Agent, type AgentOptions } from './stream/agent.js';
import { StreamDouble, type StreamDoubleOptions } from './stream/double.js';
import { agentLevel, callPhone, heardBy, LEVEL, phoneLevel } from './stream-call.js';
import { clock, eventually } from './time.js';

const log = createLog(process.env.TEST_LOG ? 'debug' : 'silent', process.stderr);
const agents: Agent[] = [];

afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.leave()));
});

/** WebRTC of the phones. With CI set, the lean one must load. */
const STACK = (process.env.TEST_STREAM_STACK ?? (process.env.CI ? 'lean' : 'auto')) as StackChoice;

export interface StreamSetup {
  readonly bridge?: Partial<StreamBridgeOptions>;
  readonly gateway?: GatewayOptions;
}

/** Stream's double and real media workers, one of each for all tests of a file, and its own room for every test. */
export function realStream(setup: { double?: StreamDoubleOptions; pool?: Partial<WorkerPoolOptions> } = {}) {
  let double: StreamDouble;
  let pool: WorkerPool;
  let rooms = 0;

  beforeAll(async () => {
    double = await StreamDouble.start(setup.double);
    const limits = { stack: STACK, legsPerWorker: 20, recycleAfter: 1_000, memoryLimitMb: 1_000 };
    pool = new WorkerPool({ ...limits, log, clock, ...setup.pool });
    await pool.open();
  }, 60_000);

  afterAll(async () => {
    await pool.close();
    await double.close();
  }, 60_000);

  /** A gateway whose calls go to a new room, unless a hook decides otherwise. */
  async function start({ bridge: options, gateway }: StreamSetup = {}) {
    const room = `room-${++rooms}`;
    const { url: baseUrl, apiKey, apiSecret } = double;
    // The workers outlive it.
    const lent: MediaHost = {
      open: async () => {},
      place: (request, listener) => pool.place(request, listener),
      close: async () => {},
    };
    const bridge = new StreamBridge(
      { apiKey, apiSecret, baseUrl, log, ...options },
      options?.media === undefined ? lent : undefined,
    );
    const started = await startGateway({ bridge, log, prepareCall: () => ({ room }), ...gateway });
    const cid = `default:${room}`;
    return {
      double,
      pool,
      bridge,
      ...started,
      room,
      cid,
      phone: (hz?: number, more: Partial<InboundCallOptions> = {}) => callPhone(started.url, hz, more),
      /** Somebody else in the Stream call, with a voice of their own. */
      agent: async (userId = 'agent', hz?: number, more: Partial<AgentOptions> = {}) => {
        const agent = await Agent.join({ double, callId: room, userId, ...more } as AgentOptions);
        agents.push(agent);
        if (hz !== undefined) agent.play(hz, LEVEL);
        return agent;
      },
      /** Who is in the call. */
      present: (of = cid) => {
        const call = double.state.calls.find((one) => one.cid === of);
        return (call?.participants ?? []).map(({ userId }) => userId).sort();
      },
    };
  }

  /** A phone and an agent that hear each other, and ways to check that they do so again. */
  async function talk(options: StreamSetup = {}) {
    const started = await start(options);
    const caller = started.phone(1_000);
    const other = await started.agent('agent', 1_700);
    const hear = async (when = '') => {
      await heardBy(`the agent${when}`, () => agentLevel(other, 1_000));
      await heardBy(`the phone${when}`, () => phoneLevel(caller, 1_700));
    };
    await hear();
    return {
      ...started,
      caller,
      other,
      hear,
      userId: `phone-${started.gateway.calls.listActive()[0]?.callId}`,
    };
  }

  return { start, talk };
}

/** Waits until so much more audio has gone through the double that what was heard before is forgotten. */
export async function audioPasses(double: StreamDouble, packets = 100): Promise<void> {
  const before = double.state.forwardedPackets;
  await eventually('audio to pass', () => double.state.forwardedPackets >= before + packets, 10_000);
}
