import { afterEach } from 'vitest';
import type { GatewayOptions, StreamBridgeOptions } from '../../src/index.js';
import { StreamBridge } from '../../src/index.js';
import { AudioSource, type InboundCallOptions, SimulatedPhone } from '../../src/simulator/index.js';
import { createLog } from '../../src/telemetry/log.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { startGateway } from './gateway.js';
import { amplitudeAt, decibels } from './media.js';
import { Agent, type AgentOptions } from './stream/agent.js';
import { StreamDouble, type StreamDoubleOptions } from './stream/double.js';

/** Peak of what phones and agents say. */
export const LEVEL = 8_000;
const LEVEL_DBFS = 20 * Math.log10(LEVEL / 32_767);

const phones: SimulatedPhone[] = [];
const agents: Agent[] = [];
const bridges: StreamBridge[] = [];
const doubles: StreamDouble[] = [];

afterEach(async () => {
  for (const phone of phones.splice(0)) phone.close();
  await Promise.all(agents.splice(0).map((agent) => agent.leave()));
  await Promise.all(bridges.splice(0).map((bridge) => bridge.close()));
  await Promise.all(doubles.splice(0).map((double) => double.close()));
});

export interface StreamSetup {
  readonly bridge?: Partial<StreamBridgeOptions>;
  readonly gateway?: GatewayOptions;
  readonly double?: StreamDoubleOptions;
}

/** Stream's double, and a gateway that bridges to it. Every call goes to the Stream call `default:room`, unless a hook says else. */
export async function startStream(setup: StreamSetup = {}) {
  const double = await StreamDouble.start(setup.double);
  doubles.push(double);
  const { url, apiKey, apiSecret } = double;
  const log = createLog(process.env.TEST_LOG ? 'debug' : 'silent', process.stderr);
  const bridge = new StreamBridge({ apiKey, apiSecret, baseUrl: url, log, ...setup.bridge });
  bridges.push(bridge);
  const started = await startGateway({
    bridge,
    log,
    prepareCall: () => ({ room: 'room' }),
    ...setup.gateway,
  });
  return {
    double,
    bridge,
    ...started,
    /** Somebody calls, and says a tone. */
    phone: (hz?: number, options: Partial<InboundCallOptions> = {}) => call(started.url, hz, options),
    /** Somebody else in the Stream call, with a voice of their own. */
    agent: async (userId: string, hz?: number, options: Partial<AgentOptions> = {}) => {
      const agent = await Agent.join({ double, callId: 'room', userId, ...options } as AgentOptions);
      agents.push(agent);
      if (hz !== undefined) agent.play(hz, LEVEL);
      return agent;
    },
  };
}

function call(target: string, hz: number | undefined, options: Partial<InboundCallOptions>): SimulatedPhone {
  const phone = new SimulatedPhone({
    accountSid: ACCOUNT_SID,
    authToken: AUTH_TOKEN,
    from: '+15550001111',
    to: '+15552223333',
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    dial: { publicUrl: PUBLIC_URL, target },
    audio: hz === undefined ? AudioSource.silence() : AudioSource.tone(hz, LEVEL_DBFS),
    record: true,
    ...options,
  });
  phones.push(phone);
  return phone.dial();
}

/**
 * Level of a tone a phone heard, in decibels against {@link LEVEL}: the median over the last half seconds.
 * One alone may hold a splice of NetEq's (it stretches speech when a machine stalls), which breaks a tone's phase.
 */
export function phoneLevel(phone: SimulatedPhone, hz: number, halfSeconds = 1): number {
  const heard = phone.stream === undefined ? new Int16Array() : phone.heard().slice(-4_000 * halfSeconds);
  if (heard.length < 4_000 * halfSeconds) return -120;
  const levels = Array.from({ length: halfSeconds }, (_, i) => {
    const amplitude = amplitudeAt(hz, 8_000, heard.slice(4_000 * i, 4_000 * (i + 1)));
    return decibels(Math.max(amplitude, 1e-3) / LEVEL);
  });
  return levels.sort((a, b) => a - b)[halfSeconds >> 1] as number;
}

/** Level of a tone in the last half second an agent heard, likewise. */
export function agentLevel(agent: Agent, hz: number, from?: string): number {
  const amplitude = agent.heard(hz, from === undefined ? {} : { from });
  return decibels(Math.max(amplitude, 1e-3) / LEVEL);
}

/** Waits until a level is within 1 dB of what was said. Looking costs, so it looks seldom. */
export async function heardBy(who: string, level: () => number): Promise<void> {
  const deadline = performance.now() + 15_000;
  for (let found = level(); Math.abs(found) >= 1; found = level()) {
    if (performance.now() > deadline)
      throw new Error(`Expected ${who} to hear 0 dB but received ${found} dB`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Waits until a half second passes without a tone: one's own voice would be in each of them. */
export async function notHeardBy(who: string, level: () => number): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (let found = level(); found >= -50; found = level()) {
    if (performance.now() > deadline)
      throw new Error(`Expected ${who} to hear less than -50 dB but received ${found} dB`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
