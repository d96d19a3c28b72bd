import { table } from '../src/cli/table.js';
import { BenchCertificate } from './capacity/bench-certificate.js';
import { type Cores, coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { type Machine, machine, machineLine } from './machine.js';
import { behindHaproxy } from './peers/haproxy.js';
import { type Conditions, isCarried, isValid, type Load, load } from './peers/load.js';
import type { Peer } from './peers/peer.js';
import { floor, GoServer, naive, python } from './peers/programs.js';
import { rtpengine } from './peers/rtpengine.js';
import { isSame, type Sound, soundOf } from './peers/sound.js';
import { recording, trunkline } from './peers/trunkline.js';
import { writeResult } from './result.js';

/**
 * Shorter or elsewhere by PEERS_CALLS=50, PEERS_ROUNDS=2, PEERS_HOLD=3 (seconds), PEERS_STEPS=50,100, PEERS_RETRIES=0 and names as in
 * PEERS_ONLY="Python;Go, soxr".
 */
const { PEERS_CALLS, PEERS_ROUNDS, PEERS_HOLD, PEERS_STEPS, PEERS_RETRIES, PEERS_ONLY } = process.env;
const CALLS = Number(PEERS_CALLS ?? 300);
const ROUNDS = Number(PEERS_ROUNDS ?? 5);
const HOLD_MS = Number(PEERS_HOLD ?? 10) * 1_000;
const STEP_HOLD_MS = Math.min(HOLD_MS, 5_000);
const WARM_UP_MS = Math.min(HOLD_MS, 3_000);
/** Sizes at which a server is asked how many calls it carries. */
const STEPS = (PEERS_STEPS ?? '25,50,75,100,150,200,300,400,500,750,1000,1250,1500,1750,2000')
  .split(',')
  .map(Number);
/** How often a void trial is repeated. */
const RETRIES = Number(PEERS_RETRIES ?? 4);

const TRUNKLINE = 'Trunkline';
const FLOOR = 'uWS floor';
const RTPENGINE = 'rtpengine, PCMU↔PCMA';
/** How many times Trunkline's CPU a server may or must take, at the most calls that it carries. */
const BARS: Readonly<Record<string, number>> = {
  'naive Node, q3': 4,
  'naive Node, q7': 7,
  Python: 3.5,
  'Go, linear': 1.5,
  'Go, soxr': 2,
  [RTPENGINE]: 8,
};
/** Of the floor's CPU. */
const FLOOR_BAR = 1.5;

export interface PeerRow {
  readonly name: string;
  readonly calls: number;
  /** Medians of the valid rounds; of all, where none is. CPU in microseconds. */
  readonly usPerCallSecond: number;
  readonly usPerPair: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly serverCpu: number;
  /** Of that, of a proxy in front. */
  readonly frontCpu: number;
  readonly generatorCpu: number;
  readonly lateP99Ms: number;
  /** Shares: used by others of the server's core, and taken by the host. */
  readonly foreign: number;
  readonly stolen: number;
  readonly missing: number;
  /** Its CPU in parts of Trunkline's for as many calls: the median of the rounds' ratios. */
  readonly times: number | undefined;
  readonly rounds: number;
  readonly valid: number;
}

export interface PeerSound extends Sound {
  readonly name: string;
}

export interface PeerCapacity {
  readonly name: string;
  /** Most calls of a step that one core carries: each frame is echoed, p99 10 ms. */
  readonly calls: number;
  /** Whether the next step was tried: otherwise it may carry more. */
  readonly isLimit: boolean;
}

export interface PeersResult {
  readonly machine: Machine;
  readonly holdMs: number;
  readonly pinned: boolean;
  readonly sounds: readonly PeerSound[];
  readonly capacities: readonly PeerCapacity[];
  readonly rows: readonly PeerRow[];
  /** Peers that were not measured, and what they lack. */
  readonly skipped: Readonly<Record<string, string>>;
}

/** The same work on other servers: each echoes phone calls by way of 48 kHz audio. */
export async function benchPeers(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(`\nThe same echo calls on several servers (${machineLine(at)})`);
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const go = new GoServer();
  const hasTls = GeneratorProgram.speaksTls() && BenchCertificate.isPossible();
  const certificate = hasTls ? new BenchCertificate() : undefined;
  if (certificate === undefined) console.log('TLS: not measured, needs apt-get install openssl libssl-dev');
  try {
    const bench = new PeersBench(program, cores);
    const result = await bench.run(serversOf(go), variantsOf(go, certificate));
    console.log(soundsTable(result.sounds));
    console.log(rowsTable(result));
    for (const line of verdicts(result)) console.log(line);
    writeResult('peers', { machine: at, holdMs: HOLD_MS, pinned: cores !== undefined, ...result });
  } finally {
    certificate?.remove();
    go.remove();
    program.remove();
  }
}

/** Servers by different authors. */
function serversOf(go: GoServer): Peer[] {
  return [
    trunkline(TRUNKLINE),
    floor(FLOOR),
    go.peer('Go, linear', 'linear'),
    go.peer('Go, soxr', 'soxr'),
    python('Python'),
    naive('naive Node, q3', 3),
    naive('naive Node, q7', 7),
    rtpengine(RTPENGINE, 'PCMA'),
    rtpengine('rtpengine, PCMU↔Opus', 'Opus'),
  ];
}

/** Trunkline in other settings, and what speaks TLS. */
function variantsOf(go: GoServer, certificate: BenchCertificate | undefined): Peer[] {
  const plain = [
    trunkline('Trunkline, node transport', { SERVER: 'node' }),
    trunkline('Trunkline, WebAssembly', { TRANSCODER: 'wasm' }),
    recording('Trunkline, every call recorded'),
  ];
  if (certificate === undefined) return plain;
  return [
    ...plain,
    trunkline('Trunkline, TLS', {}, certificate),
    behindHaproxy('Trunkline behind HAProxy with TLS', trunkline(TRUNKLINE), certificate),
    floor('uWS floor, TLS', certificate),
    go.peer('Go, linear, TLS', 'linear', certificate),
  ];
}

class PeersBench {
  private readonly sounds: PeerSound[] = [];
  private readonly capacities: PeerCapacity[] = [];
  private readonly skipped: Record<string, string> = {};

  constructor(
    private readonly program: GeneratorProgram,
    private readonly cores: Cores | undefined,
  ) {}

  async run(
    servers: readonly Peer[],
    settings: readonly Peer[],
  ): Promise<Pick<PeersResult, 'sounds' | 'capacities' | 'rows' | 'skipped'>> {
    const present: Peer[] = [];
    for (const peer of [...servers, ...settings]) if (await this.isFit(peer)) present.push(peer);
    for (const peer of servers) if (present.includes(peer)) await this.findCapacity(peer);
    const rows = await this.measure(this.trials(present));
    const { sounds, capacities, skipped } = this;
    return { sounds, capacities, rows, skipped };
  }

  /** Whether it is here and echoes what it hears. */
  private async isFit(peer: Peer): Promise<boolean> {
    const { name } = peer;
    if (PEERS_ONLY !== undefined && name !== TRUNKLINE && !PEERS_ONLY.split(';').includes(name)) return false;
    const missing = peer.missing();
    if (missing !== undefined) return this.skip(name, `needs ${missing}`);
    for (let attempt = 0; ; attempt++) {
      const sound = await this.soundOf(peer);
      if (isSame(sound, peer.gainDb)) {
        this.sounds.push({ name, ...sound });
        return true;
      }
      // A gateway that was kept from its core shortens pauses: a busy machine sounds different.
      if (attempt === RETRIES) return this.skip(name, `another sound: ${JSON.stringify(sound)}`);
    }
  }

  private skip(name: string, reason: string): false {
    console.log(`${name}: not measured, ${reason}`);
    this.skipped[name] = reason;
    return false;
  }

  private async soundOf(peer: Peer): Promise<Sound> {
    const server = await peer.start(this.cores?.gateway);
    try {
      return await soundOf(await server.order());
    } finally {
      await server.stop();
    }
  }

  /** Up in steps until one fails twice. */
  private async findCapacity(peer: Peer): Promise<void> {
    let carried = 0;
    for (const calls of STEPS) {
      const isOk = (await this.isCarrying(peer, calls)) || (await this.isCarrying(peer, calls));
      if (!isOk) {
        this.capacities.push({ name: peer.name, calls: carried, isLimit: true });
        return;
      }
      carried = calls;
    }
    this.capacities.push({ name: peer.name, calls: carried, isLimit: false });
  }

  private async isCarrying(peer: Peer, calls: number): Promise<boolean> {
    const outcome = await this.undisturbed(peer, calls, { holdMs: STEP_HOLD_MS });
    const isOk = isCarried(outcome);
    console.log(`${lineOf(peer.name, outcome)}${isOk ? '' : ', not carried'}`);
    return isOk;
  }

  /** A valid trial, if there is one within several attempts. */
  private async undisturbed(peer: Peer, calls: number, { holdMs = HOLD_MS } = {}): Promise<Load> {
    const { program, cores } = this;
    const conditions: Conditions = { program, cores, warmUpMs: WARM_UP_MS, holdMs };
    for (let attempt = 0; ; attempt++) {
      const outcome = await load(peer, calls, conditions);
      if (isValid(outcome) || attempt === RETRIES) return outcome;
    }
  }

  /** Each server with as many calls as it carries, {@link CALLS} at most; Trunkline with each of these. */
  private trials(peers: readonly Peer[]): [Peer, number][] {
    const [first, ...others] = peers;
    if (first === undefined) return [];
    const sizes = others.map((peer): [Peer, number] => [peer, this.callsOf(peer)]);
    const all = new Set([this.callsOf(first), ...sizes.map(([, calls]) => calls)]);
    return [...[...all].map((calls): [Peer, number] => [first, calls]), ...sizes].filter(
      ([, calls]) => calls > 0,
    );
  }

  private callsOf({ name, mostCalls = CALLS }: Peer): number {
    const capacity = this.capacities.find((each) => each.name === name)?.calls ?? CALLS;
    return Math.min(CALLS, capacity, mostCalls);
  }

  /** In turn, so that a machine that gets slower or faster favours nobody. */
  private async measure(trials: readonly [Peer, number][]): Promise<PeerRow[]> {
    const outcomes: Load[][] = trials.map(() => []);
    for (let round = 0; round < ROUNDS; round++) {
      const order = trials.map((_, i) => i);
      if (round % 2 === 1) order.reverse();
      for (const i of order) {
        const [peer, calls] = trials[i] as [Peer, number];
        const outcome = await this.undisturbed(peer, calls);
        outcomes[i]?.push(outcome);
        console.log(lineOf(peer.name, outcome));
      }
    }
    return trials.map(([peer, calls], i) => {
      const own = trials.findIndex(([other, size]) => other.name === TRUNKLINE && size === calls);
      return rowOf(peer.name, outcomes[i] ?? [], outcomes[own] ?? []);
    });
  }
}

/** @param own Trunkline's outcomes in the same rounds, with as many calls */
function rowOf(name: string, outcomes: readonly Load[], own: readonly Load[]): PeerRow {
  const valid = outcomes.filter(isValid);
  const told = valid.length > 0 ? valid : outcomes;
  const of = (value: (load: Load) => number) => median(told.map(value));
  const ratios = outcomes.flatMap((outcome, round) => {
    const other = own[round];
    return other !== undefined && isValid(outcome) && isValid(other)
      ? [outcome.usPerPair / other.usPerPair]
      : [];
  });
  return {
    name,
    calls: told[0]?.calls ?? 0,
    usPerCallSecond: of(({ cpu, calls }) => (cpu / calls) * 1e6),
    usPerPair: of(({ usPerPair }) => usPerPair),
    p50Ms: of(({ phones }) => phones.roundTrip.p50Ms),
    p99Ms: of(({ phones }) => phones.roundTrip.p99Ms),
    p999Ms: of(({ phones }) => phones.roundTrip.p999Ms),
    serverCpu: of(({ cpu }) => cpu),
    frontCpu: of(({ frontCpu }) => frontCpu),
    generatorCpu: of(({ phones }) => phones.cpu),
    lateP99Ms: of(({ phones }) => phones.lateness.p99Ms),
    foreign: of(({ foreign }) => foreign),
    stolen: of(({ stolen }) => stolen),
    missing: told.reduce((total, { phones }) => total + phones.missing + phones.discarded, 0),
    times: ratios.length === 0 ? undefined : median(ratios),
    rounds: outcomes.length,
    valid: valid.length,
  };
}

function lineOf(name: string, outcome: Load): string {
  const { calls, phones, cpu, usPerPair } = outcome;
  return (
    `${name}, ${calls} calls: ${usPerPair.toFixed(1)} µs a pair, ${percent(cpu)} of a core, ` +
    `p99 ${phones.roundTrip.p99Ms.toFixed(2)} ms${isValid(outcome) ? '' : ', void'}`
  );
}

function soundsTable(sounds: readonly PeerSound[]): string {
  return table(
    ['server', 'correlation', 'level dB', 'delay of the sound, ms'],
    sounds.map(({ name, correlation, gainDb, delayMs }) => [
      name,
      correlation.toFixed(4),
      gainDb.toFixed(2),
      delayMs.toFixed(1),
    ]),
  );
}

function rowsTable({ rows, capacities }: Pick<PeersResult, 'rows' | 'capacities'>): string {
  return table(
    [
      'server',
      'calls',
      'µs CPU a call-second',
      'a frame pair',
      'times',
      'p50 ms',
      'p99',
      'p99.9',
      'calls a core',
      'CPU',
      'of a proxy',
      'generator',
      'late p99 ms',
      'others',
      'stolen',
      'missing',
      'valid',
    ],
    rows.map((row) => [
      row.name,
      row.calls,
      row.usPerCallSecond.toFixed(0),
      row.usPerPair.toFixed(1),
      row.times?.toFixed(2) ?? '',
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.p999Ms.toFixed(2),
      capacityOf(row.name, capacities),
      percent(row.serverCpu),
      row.frontCpu === 0 ? '' : percent(row.frontCpu),
      percent(row.generatorCpu),
      row.lateP99Ms.toFixed(2),
      percent(row.foreign),
      `${(row.stolen * 100).toFixed(2)} %`,
      row.missing,
      `${row.valid} of ${row.rounds}`,
    ]),
  );
}

/** Most calls that a core carries; empty where not asked. */
export function capacityOf(name: string, capacities: readonly PeerCapacity[]): string {
  const found = capacities.find((each) => each.name === name);
  return found === undefined ? '' : `${found.isLimit ? '' : '≥ '}${found.calls}`;
}

function verdicts({ rows }: Pick<PeersResult, 'rows'>): string[] {
  const lines = rows.flatMap(({ name, calls, times }) => {
    const bar = BARS[name];
    if (bar === undefined || times === undefined) return [];
    return [
      `${name}: ${times.toFixed(2)} times at ${calls} calls, bar ≥ ${bar}: ${times >= bar ? 'met' : 'missed'}`,
    ];
  });
  const floor = rows.find(({ name }) => name === FLOOR)?.times;
  if (floor !== undefined) {
    const times = 1 / floor;
    lines.push(
      `${TRUNKLINE}: ${times.toFixed(2)} times the floor, bar ≤ ${FLOOR_BAR}: ${times <= FLOOR_BAR ? 'met' : 'missed'}`,
    );
  }
  return lines;
}

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
