import type { StackChoice } from '../src/bridge/stream/stack-choice.js';
import { table } from '../src/cli/table.js';
import { AudioSource, decodeMulaw } from '../src/simulator/index.js';
import { Caller } from '../test/support/caller.js';
import { amplitudeAt } from '../test/support/media.js';
import { Agent } from '../test/support/stream/agent.js';
import { toneMulaw } from '../test/support/tone.js';
import { machine, machineLine } from './machine.js';
import { threadCount, watchProcess } from './processor.js';
import { writeResult } from './result.js';
import { StreamSetup } from './stream-setup.js';

const STEPS = process.env.STREAM_STEPS?.split(',').map(Number) ?? [1, 20, 40];
/** Each step so often with each stack, in turns: the machine's state drifts. */
const ROUNDS = Number(process.env.STREAM_ROUNDS ?? 2);
const STACKS = (process.env.STREAM_STACKS?.split(',') ?? ['wrtc', 'lean']) as readonly StackChoice[];
/** The compiler needs it, too: a worker runs for days. */
const WARM_UP_MS = 15_000;
const WINDOW_MS = 10_000;
const TONES_HZ = [503, 1_117] as const;
const LEVEL = 8_000;
const LATENCY_CALLS = 8;
const BURSTS = 15;
const BARS = { ratio: 3, outMs: 40, backMs: 45, rssMbPerCall: 1.5 };

interface CostRow {
  readonly stack: StackChoice;
  readonly calls: number;
  /** Shares of one core. */
  readonly worker: number;
  readonly workerPerCall: number;
  readonly gateway: number;
  readonly rssMb: number;
  readonly threads: number;
  readonly byThread: Readonly<Record<string, number>>;
  /** Phones that heard the other's tone within 1 dB. */
  readonly right: number;
  /** Frames dropped by the gateway or its worker once all were joined. */
  readonly dropped: number;
}

interface LatencyRow {
  readonly stack: StackChoice;
  readonly calls: number;
  readonly direction: string;
  /** Of each of several calls: NetEq settles anew in every one. */
  readonly medians: readonly number[];
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly bursts: number;
}

/** What a phone in a Stream call costs and how late it is heard, against the double on the same machine. */
export async function benchStream(): Promise<void> {
  const at = machine();
  console.log(`\nThe Stream bridge (${machineLine(at)})`);
  console.log('Stream, gateway, media worker and phones each in a process of their own, on loopback\n');
  const cost: CostRow[] = [];
  for (const calls of STEPS) {
    for (let round = 0; round < ROUNDS; round++) {
      for (const stack of STACKS) cost.push(await measureCost(calls, stack));
    }
  }
  printCost(cost);
  printRatios(cost);
  const latency: LatencyRow[] = [];
  for (const calls of [1, 20]) {
    for (const stack of STACKS) latency.push(...(await measureLatency(calls, stack)));
  }
  printLatency(latency);
  writeResult('stream', { machine: at, cost, latency });
  const missed = missedBars(cost, latency);
  for (const line of missed) console.log(line);
  if (missed.length > 0) process.exitCode = 1;
}

/** Phones in pairs, each hearing the other: one track sent and one heard a call, as with an agent. */
async function measureCost(calls: number, stack: StackChoice): Promise<CostRow> {
  const setup = await StreamSetup.start(stack);
  const alone =
    calls === 1
      ? await Agent.join({ ...setup.keys, callId: 'from-15550000000', userId: 'agent' })
      : undefined;
  alone?.play(TONES_HZ[1], LEVEL);
  try {
    await setup.call(calls);
    await pause(WARM_UP_MS);
    const before = await setup.report('reset');
    const pid = await setup.worker();
    const [worker, gateway] = await Promise.all([
      watchProcess(pid, WINDOW_MS),
      watchProcess(setup.gatewayPid, WINDOW_MS),
    ]);
    const after = await setup.report();
    const rssMb = (after.workers.find((one) => one.pid === pid)?.rssBytes ?? 0) / 1e6;
    const right = await countRight(setup, alone);
    return {
      stack,
      calls,
      worker: worker.total,
      workerPerCall: worker.total / calls,
      gateway: gateway.total,
      rssMb,
      threads: threadCount(pid),
      byThread: Object.fromEntries(worker.threads.filter(([, share]) => share > 0.002)),
      right,
      dropped: droppedIn(after) - droppedIn(before),
    };
  } finally {
    await alone?.leave();
    await setup.close();
  }
}

function droppedIn({ stats, bridge }: Awaited<ReturnType<StreamSetup['report']>>): number {
  const { droppedLead, droppedBackpressure } = stats.traffic;
  return droppedLead + droppedBackpressure + bridge.dropped;
}

/** Has everybody say a tone and counts who hears the other's. */
async function countRight(setup: StreamSetup, agent: Agent | undefined): Promise<number> {
  const dbfs = 20 * Math.log10(LEVEL / 32_767);
  for (const [i, phone] of setup.phones.entries()) {
    phone.speak(AudioSource.tone(TONES_HZ[i % 2] as number, dbfs));
  }
  await pause(2_500);
  const isRight = (amplitude: number) => Math.abs(20 * Math.log10(amplitude / LEVEL)) < 1;
  return setup.phones.filter((phone, i) => {
    const heard = phone.heard().slice(-4_000);
    const own = TONES_HZ[i % 2] as number;
    const other = TONES_HZ[(i + 1) % 2] as number;
    return isRight(amplitudeAt(other, 8_000, heard)) && (agent === undefined || isRight(agent.heard(own)));
  }).length;
}

/**
 * Short tones in silence, both ways at once. Sent: when the WebSocket message that holds the onset is handed over, or
 * the 10 ms that hold it to WebRTC. Heard: when the 10 ms that hold the onset come out of WebRTC, or the message out of
 * the phone's WebSocket.
 */
async function measureLatency(calls: number, stack: StackChoice): Promise<LatencyRow[]> {
  const setup = await StreamSetup.start(stack);
  try {
    await setup.call(calls - 1);
    const out: number[][] = [];
    const back: number[][] = [];
    for (let call = 0; call < LATENCY_CALLS; call++) {
      const probe = await probeLatency(setup, `+1666000000${call}`, calls);
      out.push(probe.out);
      back.push(probe.back);
    }
    return [row(stack, calls, 'phone → participant', out), row(stack, calls, 'participant → phone', back)];
  } finally {
    await setup.close();
  }
}

async function probeLatency(
  setup: StreamSetup,
  from: string,
  joined: number,
): Promise<{ out: number[]; back: number[] }> {
  const callId = `from-${from.slice(1)}`;
  const agent = await Agent.join({ ...setup.keys, callId, userId: `agent-${callId}` });
  const caller = await Caller.call(setup.url, { From: from, Caller: from });
  const [out, back] = [new Onsets(), new Onsets()];
  agent.onFrame((_, samples, atMs) => out.hear(samples, atMs));
  caller.socket.on('message', (data) => {
    const at = performance.now();
    const message = JSON.parse(String(data));
    if (message.event === 'media') back.hear(decodeMulaw(Buffer.from(message.media.payload, 'base64')), at);
  });
  const burst = toneMulaw(1_000, 20, 16_000);
  const silence = new Uint8Array(160).fill(0xff);
  // 240 ms of silence between bursts of 60 ms, and nothing in step with the other direction.
  const isBurst = (frame: number, every: number) => frame > 50 && frame % every < 3;
  const tone = Int16Array.from(
    { length: 480 },
    (_, i) => 16_000 * Math.sin((2 * Math.PI * 1_000 * i) / 48_000),
  );
  const quiet = new Int16Array(480);
  let block = 0;
  agent.playFrames(() => {
    const [frame, half] = [block >> 1, block++ & 1];
    if (!isBurst(frame, 17)) return quiet;
    if (frame % 17 === 0 && half === 0) back.say(performance.now());
    return tone;
  });
  try {
    await setup.joined(joined);
    const begun = performance.now();
    for (let frame = 0; frame < 50 + BURSTS * 15; frame++) {
      const wait = begun + frame * 20 - performance.now();
      if (wait > 0) await pause(wait);
      const speaks = isBurst(frame, 15);
      if (speaks && frame % 15 === 0) out.say(performance.now());
      caller.media(speaks ? burst : silence);
    }
    await pause(500);
    return { out: out.delays, back: back.delays };
  } finally {
    caller.hangUp();
    await agent.leave();
  }
}

/** Pairs the beginning of each burst with the moment it was said. */
class Onsets {
  readonly delays: number[] = [];
  private saidAt = 0;
  private quietMs = 0;

  say(atMs: number): void {
    this.saidAt = atMs;
  }

  hear(samples: Int16Array, atMs: number): void {
    const isLoud = samples.some((sample) => Math.abs(sample) > 4_000);
    if (isLoud && this.quietMs >= 60 && this.saidAt > 0) {
      this.delays.push(atMs - this.saidAt);
      this.saidAt = 0;
    }
    const ms = samples.length === 160 ? 20 : 10;
    this.quietMs = isLoud ? 0 : this.quietMs + ms;
  }
}

function row(stack: StackChoice, calls: number, direction: string, delays: readonly number[][]): LatencyRow {
  const all = delays.flat().sort((a, b) => a - b);
  const quantile = (q: number) => all[Math.min(all.length - 1, Math.floor(all.length * q))] ?? Number.NaN;
  return {
    stack,
    calls,
    direction,
    medians: delays.map(median),
    p50: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    bursts: all.length,
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function missedBars(cost: readonly CostRow[], latency: readonly LatencyRow[]): string[] {
  const missed: string[] = [];
  for (const calls of [20, 40]) {
    const ratio = ratioOf(cost, calls);
    if (ratio < BARS.ratio)
      missed.push(`MISSED: ${ratio.toFixed(2)} times less CPU at ${calls} calls, not ${BARS.ratio}`);
  }
  for (const { stack, calls, right, dropped } of cost) {
    if (right < calls)
      missed.push(`MISSED: ${stack}: ${calls - right} of ${calls} phones did not hear the other right`);
    if (dropped > 0) missed.push(`MISSED: ${stack}: ${dropped} frames dropped at ${calls} calls`);
  }
  for (const { stack, calls, direction, p50 } of latency) {
    const bar = direction.startsWith('phone') ? BARS.outMs : BARS.backMs;
    if (stack === 'lean' && !(p50 <= bar))
      missed.push(`MISSED: ${p50.toFixed(1)} ms ${direction} at ${calls} calls, not ${bar}`);
  }
  return missed;
}

/** CPU of a call on libwebrtc by that on the lean stack: medians. */
function ratioOf(cost: readonly CostRow[], of: number): number {
  const perCall = (wanted: StackChoice) =>
    median(
      cost.filter(({ stack, calls }) => stack === wanted && calls === of).map((row) => row.workerPerCall),
    );
  return perCall('wrtc') / perCall('lean');
}

function printRatios(cost: readonly CostRow[]): void {
  for (const calls of STEPS) {
    const grown = (wanted: StackChoice) => {
      const rssOf = (count: number) =>
        median(cost.filter((row) => row.stack === wanted && row.calls === count).map(({ rssMb }) => rssMb));
      return calls > 1 ? `${((rssOf(calls) - rssOf(1)) / (calls - 1)).toFixed(2)} MB a call` : '';
    };
    console.log(
      `${calls} calls: ${ratioOf(cost, calls).toFixed(2)} times less CPU; ${STACKS.map((stack) => `${stack} ${grown(stack)}`).join(', ')}`,
    );
  }
}

const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function printCost(rows: readonly CostRow[]): void {
  console.log(
    table(
      [
        'stack',
        'calls',
        'worker CPU',
        'a call',
        'gateway CPU',
        'worker RSS MB',
        'threads',
        'heard right',
        'dropped',
      ],
      rows.map((of) => [
        of.stack,
        of.calls,
        percent(of.worker),
        percent(of.workerPerCall),
        percent(of.gateway),
        of.rssMb.toFixed(0),
        of.threads,
        of.right,
        of.dropped,
      ]),
    ),
  );
  for (const wanted of STACKS) {
    const twenty = rows.find(({ stack, calls }) => stack === wanted && calls === 20);
    if (twenty === undefined) continue;
    const shares = Object.entries(twenty.byThread).map(([name, share]) => [
      name,
      percent(share),
      percent(share / 20),
    ]);
    console.log(table([`thread of the ${wanted} worker at 20 calls`, 'CPU', 'a call'], shares));
  }
}

function printLatency(rows: readonly LatencyRow[]): void {
  console.log(
    table(
      ['stack', 'calls', 'milliseconds', 'p50', 'p90', 'p99', 'medians of the calls', 'bursts'],
      rows.map((of) => [
        of.stack,
        of.calls,
        of.direction,
        ...[of.p50, of.p90, of.p99].map((ms) => ms.toFixed(1)),
        of.medians.map((ms) => ms.toFixed(0)).join(' '),
        of.bursts,
      ]),
    ),
  );
}
