import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { StreamBridge, type StreamBridgeStats } from '../bridge/stream/bridge.js';
import type { StreamBridgeOptions } from '../bridge/stream/options.js';
import { systemClock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { createGateway, type GatewayStats } from '../gateway.js';
import { align } from '../simulator/alignment.js';
import { AudioSource } from '../simulator/audio.js';
import { SimulatedTwilio } from '../simulator/carrier.js';
import { median } from '../simulator/histogram.js';
import type { SimulatedPhone } from '../simulator/phone.js';
import { PHONE_RATE } from '../simulator/wav.js';
import { createLog } from '../telemetry/log.js';
import type { DemoFlags } from './demo-local.js';
import { EchoAgent } from './echo-agent.js';
import { prepareFolder } from './files.js';
import { RunProgress } from './progress.js';
import type { Shell } from './shell.js';
import { table } from './table.js';

const PUBLIC_URL = 'https://gateway.invalid/demo';
/** A join costs both sides about a tenth of a second of a core: a machine that plays all of them has to take its time. */
const CALLS_A_SECOND = 4;
/** WebRTC stretches and shrinks time to keep its delay short, so speech is compared piece by piece. */
const PIECE_MS = 2_000;
/** Longest round trip through both sides that is searched for. */
const LONGEST_MS = 1_000;
/** Of the loudness over time; speech that does not belong together stays below a half. */
const LEAST_LIKENESS = 0.8;
const SETTLE_MS = 3_000;
const JOIN_MS = 30_000;

/** Keys of a Stream app and where it is. */
type StreamKeys = Pick<StreamBridgeOptions, 'apiKey' | 'apiSecret' | 'baseUrl'>;

/** What one phone said, found again in what it heard. */
interface Proof {
  /** Median over all pieces, of 1. */
  readonly likeness: number;
  /** From mouth to ear and back, through the agent, in milliseconds. */
  readonly delayMs: number;
}

interface StreamDemoReport {
  readonly gateway: GatewayStats;
  readonly stream: StreamBridgeStats;
  readonly joinMs: readonly number[];
  readonly proofs: readonly Proof[];
  readonly faults: readonly string[];
}

/** Phones call a gateway that bridges them to Stream, where an agent says again what it hears. */
export async function runStreamDemo(flags: DemoFlags, shell: Shell): Promise<boolean> {
  const keys = keysFrom(shell.env);
  const report = await talk(flags, keys, shell);
  if (flags.json) shell.console.log(JSON.stringify(report, null, 2));
  else print(report, keys.baseUrl ?? 'Stream', shell);
  return report.faults.length === 0;
}

/** @throws GatewayError `GW_STREAM_KEYS_MISSING` */
function keysFrom(env: NodeJS.ProcessEnv): StreamKeys {
  const { STREAM_API_KEY: apiKey, STREAM_API_SECRET: apiSecret, STREAM_BASE_URL: baseUrl } = env;
  if (!apiKey || !apiSecret) {
    const message = 'Expected STREAM_API_KEY and STREAM_API_SECRET for --bridge stream but received none';
    throw new GatewayError('GW_STREAM_KEYS_MISSING', message);
  }
  return { apiKey, apiSecret, ...(baseUrl ? { baseUrl } : {}) };
}

async function talk(flags: DemoFlags, keys: StreamKeys, shell: Shell): Promise<StreamDemoReport> {
  const log = createLog('warn', shell.stderr);
  // Everybody is on this machine: what it has left is not the gateway's.
  const bridge = new StreamBridge({ ...keys, log, maxWorkerDelayMs: 0 });
  // The other side of the calls: another such bridge, whose phones are agents.
  const agents = new StreamBridge({ ...keys, log, maxWorkerDelayMs: 0 });
  const authToken = randomBytes(16).toString('hex');
  const accountSid = `AC${randomBytes(16).toString('hex')}`;
  const gateway = createGateway({
    // The phones are in this process too: its load is not the gateway's.
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid, authTokens: [authToken] },
    bridge,
    log,
  });
  const echoes = new Map<string, EchoAgent>();
  gateway.on('call', ({ callId }) => {
    const agent = new EchoAgent();
    echoes.set(callId, agent);
    agent
      .join(agents, bridge.roomOf(callId))
      .catch((error) => log.error({ err: error }, 'an agent did not join'));
  });
  gateway.on('end', ({ callId }) => {
    echoes.get(callId)?.leave();
    echoes.delete(callId);
  });
  await agents.open();
  const { url } = await gateway.listen();
  const twilio = new SimulatedTwilio({ accountSid, authToken, dial: { publicUrl: PUBLIC_URL, target: url } });
  const progress = new RunProgress(flags.calls, flags.seconds, shell);
  try {
    if (flags.record !== undefined) prepareFolder('--record', flags.record);
    const { phones, joinMs } = await ramp(flags.calls, twilio, bridge, agents, progress);
    // Audio that waited for the joins has been played without loss by now, at faster speed.
    await systemClock.sleep(SETTLE_MS);
    const settledAt = phones.map((phone) => phone.spoken().length);
    await systemClock.sleep(flags.seconds * 1000);
    progress.update({ phase: 'end', placed: phones.length, streaming: phones.length, failed: 0 });
    progress.stop();
    const [gatewayStats, streamStats] = [gateway.stats(), bridge.stats()];
    const proofs = phones.map((phone, i) => proofOf(phone, settledAt[i] as number));
    if (flags.record !== undefined) {
      for (const phone of phones) phone.saveRecording(join(flags.record, `${phone.callSid}.wav`));
    }
    await Promise.all(phones.map((phone) => phone.hangUp()));
    const faults = faultsOf(flags.calls, proofs, gatewayStats, streamStats);
    return { gateway: gatewayStats, stream: streamStats, joinMs, proofs, faults };
  } finally {
    progress.stop();
    await twilio.close();
    await gateway.close();
    await agents.close();
  }
}

/** Places the calls; each is joined on both sides before the next. */
async function ramp(
  calls: number,
  twilio: SimulatedTwilio,
  bridge: StreamBridge,
  agents: StreamBridge,
  progress: RunProgress,
): Promise<{ phones: SimulatedPhone[]; joinMs: number[] }> {
  const phones: SimulatedPhone[] = [];
  const joinMs: number[] = [];
  for (let placed = 1; placed <= calls; placed++) {
    const begun = systemClock.now();
    phones.push(
      twilio.placeCall({
        from: '+15550001111',
        to: '+15552223333',
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        audio: AudioSource.speech(),
        record: true,
      }),
    );
    const deadline = begun + JOIN_MS;
    while (bridge.stats().joined < placed || agents.stats().joined < placed) {
      if (systemClock.now() > deadline)
        throw new Error(`Expected call ${placed} to join within ${JOIN_MS} ms`);
      await systemClock.sleep(5);
    }
    joinMs.push(Math.round(systemClock.now() - begun));
    progress.update({ phase: 'ramp', placed, streaming: placed, failed: 0 });
    const pause = begun + 1000 / CALLS_A_SECOND - systemClock.now();
    if (pause > 0 && placed < calls) await systemClock.sleep(pause);
  }
  return { phones, joinMs };
}

/**
 * Compares how loudness goes up and down, for a codec keeps how speech sounds and not each of its samples.
 * @param from sample at which to begin
 */
function proofOf(phone: SimulatedPhone, from: number): Proof {
  const [spoken, heard] = [phone.spoken(), phone.heard()].map((pcm) => loudness(pcm.subarray(from)));
  if (spoken === undefined || heard === undefined) return { likeness: 0, delayMs: 0 };
  const found = [];
  // The last pieces said are still on their way.
  for (let at = 0; at + PIECE_MS + LONGEST_MS <= Math.min(spoken.length, heard.length); at += PIECE_MS / 2) {
    const said = spoken.subarray(at, at + PIECE_MS);
    const maxLagMs = (LONGEST_MS * 1000) / PHONE_RATE;
    found.push(align(said, heard.subarray(at, at + PIECE_MS + LONGEST_MS), { minLagMs: 0, maxLagMs }));
  }
  return {
    likeness: median(found.map(({ correlation }) => correlation)) ?? 0,
    // One value a millisecond, which `align` takes for a sample.
    delayMs: median(found.map(({ lagMs }) => (lagMs * PHONE_RATE) / 1000)) ?? 0,
  };
}

/** Level over 20 ms, every millisecond, around its mean. */
function loudness(pcm: Int16Array): Int16Array {
  const step = PHONE_RATE / 1000;
  const levels = new Float64Array(Math.max(0, Math.floor(pcm.length / step) - 20));
  for (let i = 0; i < levels.length; i++) {
    let sum = 0;
    for (const sample of pcm.subarray(i * step, (i + 20) * step)) sum += Math.abs(sample);
    levels[i] = sum / (20 * step);
  }
  const mean = levels.reduce((sum, level) => sum + level, 0) / levels.length;
  return Int16Array.from(levels, (level) => level - mean);
}

function faultsOf(
  calls: number,
  proofs: readonly Proof[],
  { activeCalls }: GatewayStats,
  { deaths }: StreamBridgeStats,
): string[] {
  const faults: string[] = [];
  if (activeCalls < calls) faults.push(`${calls - activeCalls} calls were cut off`);
  if (deaths > 0) faults.push(`${deaths} media workers died`);
  const deaf = proofs.filter(({ likeness }) => !(likeness >= LEAST_LIKENESS));
  if (deaf.length > 0) {
    faults.push(
      `the speech did not come back in ${deaf.length} calls: likeness ${deaf[0]?.likeness.toFixed(3)}`,
    );
  }
  return faults;
}

function print(
  { gateway, stream, joinMs, proofs, faults }: StreamDemoReport,
  where: string,
  { console }: Shell,
): void {
  const quantile = (values: readonly number[], q: number) =>
    [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? 0;
  const row = (name: string, values: readonly number[], digits = 0) => [
    name,
    quantile(values, 0.5).toFixed(digits),
    quantile(values, 1).toFixed(digits),
  ];
  const { traffic, latency } = gateway;
  console.log(
    table(
      [`phone → gateway → media worker → ${where} → agent, and back`, 'median', 'largest'],
      [
        row('webhook to both sides joined, ms', joinMs),
        row(
          'said to heard again, ms',
          proofs.map(({ delayMs }) => delayMs),
        ),
        row(
          'likeness of the speech, of 1',
          proofs.map(({ likeness }) => likeness),
          3,
        ),
        [
          'worker to phone socket, ms',
          (latency.gateway.p50Us / 1000).toFixed(1),
          (latency.gateway.maxUs / 1000).toFixed(1),
        ],
      ],
    ),
  );
  console.log(
    table(
      ['of the gateway', 'count'],
      [
        ['media workers, the spare one included', stream.workers],
        ['frames of 20 ms from phones', Math.round(traffic.framesIn)],
        ['frames to phones', traffic.framesOut],
        ['frames dropped before the join', traffic.droppedIntake],
        ['frames dropped since', traffic.droppedLead + traffic.droppedBackpressure + stream.dropped],
      ],
    ),
  );
  console.log(faults.length === 0 ? 'The speech came back.' : `FAILED: ${faults.join('; ')}`);
}
