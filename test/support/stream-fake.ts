import { afterEach } from 'vitest';
import type { MediaHost } from '../../src/bridge/stream/media-host.js';
import { type GatewayOptions, StreamBridge, type StreamBridgeOptions } from '../../src/index.js';
import type { InboundCallOptions } from '../../src/simulator/index.js';
import { createLog } from '../../src/telemetry/log.js';
import { startGateway } from './gateway.js';
import { StreamApp } from './stream/app.js';
import { FakeMediaHost, type FakeParticipant } from './stream/fake-media-host.js';
import { StreamRest } from './stream/rest.js';
import { agentLevel, callPhone, heardBy, LEVEL, phoneLevel } from './stream-call.js';
import { clock, eventually } from './time.js';

const bridges: StreamBridge[] = [];
const rests: StreamRest[] = [];

afterEach(async () => {
  await Promise.all(bridges.splice(0).map((bridge) => bridge.close()));
  await Promise.all(rests.splice(0).map((rest) => rest.close()));
});

export interface StreamSetup {
  readonly bridge?: Partial<StreamBridgeOptions>;
  readonly gateway?: GatewayOptions;
  /** In place of the fake media. */
  readonly host?: MediaHost;
}

/** Stream's REST API, and media servers without WebRTC in which phones and agents meet. */
export async function startRest() {
  const host = new FakeMediaHost(new StreamApp('double-key', 'double-secret'), clock);
  const rest = await StreamRest.start(host);
  rests.push(rest);
  /** A bridge to it, closed after the test. */
  const bridgeTo = (options: Partial<StreamBridgeOptions> = {}, media: MediaHost = host) => {
    const log = createLog(process.env.TEST_LOG ? 'debug' : 'silent', process.stderr);
    const bridge = new StreamBridge({ ...rest.keys, clock, log, ...options }, media);
    bridges.push(bridge);
    return bridge;
  };
  return { host, rest, bridgeTo };
}

/** The same, with a gateway that bridges to it: every call goes to `default:room`, unless a hook decides otherwise. */
export async function startStream(setup: StreamSetup = {}) {
  const { host, rest, bridgeTo } = await startRest();
  const bridge = bridgeTo(setup.bridge, setup.host);
  const started = await startGateway({ bridge, prepareCall: () => ({ room: 'room' }), ...setup.gateway });
  return {
    host,
    rest,
    bridge,
    ...started,
    /** Calls, and plays a tone. */
    phone: (hz?: number, options: Partial<InboundCallOptions> = {}) => callPhone(started.url, hz, options),
    /** Somebody else in a Stream call, with a voice of their own. */
    agent: (userId = 'agent', hz?: number, cid = 'default:room') => {
      const agent = host.join(cid, userId);
      if (hz !== undefined) agent.play([hz], LEVEL);
      return agent;
    },
  };
}

/** A phone and an agent that hear each other, and the phone as the bridge placed it. */
export async function talk(setup: StreamSetup = {}) {
  const started = await startStream(setup);
  const caller = started.phone(1_000);
  const other = started.agent('agent', 1_700);
  const hear = async () => {
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  };
  await hear();
  const [participant] = started.host.placed as [FakeParticipant];
  const events = () => other.events.map(({ custom }) => custom);
  const answer = async (type: string) => {
    await eventually(type, () => events().some((event) => event.type === type));
    return events().find((event) => event.type === type) as Record<string, unknown>;
  };
  return { ...started, caller, other, hear, participant, userId: participant.userId, events, answer };
}
