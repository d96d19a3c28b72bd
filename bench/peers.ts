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
/** Numbers of calls that are tried in turn, until a server does not carry them. */
const STEPS = (PEERS_STEPS ?? '25,50,75,100,150,200,300,400,500,750,1000,1250,1500,1750,2000')
  .split(',')
  .map(Number);
/** Most repetitions of a void trial, */
const RETRIES = Number(PEERS_RETRIES ?? 4);
/** and of a sound that differs. */
const SOUND_RETRIES = 5;

const TRUNKLINE = 'Trunkline';
const FLOOR = 'uWS floor';
const RTPENGINE = 'rtpengine, PCMU↔PCMA';
const GO = 'Go, linear';
/** Bars for `times` of a row, at the most calls that its server carries. */
const BARS: Readonly<Record<string, { readonly least?: number; readonly most?: number }>> = {
  // Trunkline takes at most 1.5 times the floor's CPU.
  [FLOOR]: { least: 1 / 1.5 },
  [GO]: { least: 1.5 },
  'Go, soxr': { least: 2 },
  'Python, audioop': { least: 3.5 },
  'Python, numpy and PyAV': { least: 3.5 },
  'naive Node, q3': { least: 4 },
  'naive Node, q7': { least: 7 },
  [RTPENGINE]: { least: 8 },
  'Trunkline, 2 workers': { most: 1.1 },
  'Trunkline, TLS': { most: 1.2 },
};

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
  /** The part of it that a proxy in front used. */
  readonly frontCpu: number;
  readonly generatorCpu: number;
  readonly lateP99Ms: number;
  /** Shares: used by others of the server's core, and taken by the host. */
  readonly foreign: number;
  readonly stolen: number;
  readonly missing: number;
  /** The server that it is compared with: Trunkline, or the same server in its usual setting. */
  readonly base: string;
  /** Its CPU divided by that one's for as many calls: the median of the rounds' ratios. */
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
  /** Whether the next step failed: otherwise it may carry more. */
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
    go.peer(GO, 'linear'),
    go.peer('Go, soxr', 'soxr'),
    python('Python, audioop', 'audioop'),
    python('Python, numpy and PyAV', 'pyav'),
    naive('naive Node, q3', 3),
    naive('naive Node, q7', 7),
    rtpengine(RTPENGINE, 'PCMA'),
    rtpengine('rtpengine, PCMU↔Opus', 'Opus'),
  ];
}

/** A server in another setting, and the name of the one in its usual setting. */
type Variant = readonly [peer: Peer, base: string];

function variantsOf(go: GoServer, certificate: BenchCertificate | undefined): Variant[] {
  const plain: Variant[] = [
    [trunkline('Trunkline, node transport', { SERVER: 'node' }), TRUNKLINE],
    [trunkline('Trunkline, WebAssembly', { TRANSCODER: 'wasm' }), TRUNKLINE],
    [trunkline('Trunkline, 2 workers', { WORKERS: '2' }), TRUNKLINE],
    [recording('Trunkline, every call recorded'), TRUNKLINE],
  ];
  if (certificate === undefined) return plain;
  return [
    ...plain,
    [trunkline('Trunkline, TLS', {}, certificate), TRUNKLINE],
    [
      { ...trunkline('Trunkline, TLS with AES-128', {}, certificate), ciphers: 'TLS_AES_128_GCM_SHA256' },
      TRUNKLINE,
    ],
    [
      {
        ...trunkline('Trunkline, TLS with ChaCha20', {}, certificate),
        ciphers: 'TLS_CHACHA20_POLY1305_SHA256',
      },
      TRUNKLINE,
    ],
    [behindHaproxy('Trunkline, HAProxy with TLS in front', trunkline(TRUNKLINE), certificate), TRUNKLINE],
    [floor('uWS floor, TLS', certificate), FLOOR],
    [go.peer('Go, linear, TLS', 'linear', certificate), GO],
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
    variants: readonly Variant[],
  ): Promise<Pick<PeersResult, 'sounds' | 'capacities' | 'rows' | 'skipped'>> {
    const all: Variant[] = [...servers.map((peer): Variant => [peer, TRUNKLINE]), ...variants];
    const fit: Variant[] = [];
    for (const variant of all) if (await this.isFit(variant[0])) fit.push(variant);
    if (TRUNKLINE in this.skipped) throw new Error('Expected a machine on which Trunkline is left in peace');
    for (const [peer] of fit) if (servers.includes(peer)) await this.findCapacity(peer);
    const rows = await this.measure(this.trialsOf(fit));
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
      if (attempt === SOUND_RETRIES) return this.skip(name, `another sound: ${JSON.stringify(sound)}`);
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

  /** Up in steps until one fails twice. A void step that fails ends the search without an answer. */
  private async findCapacity(peer: Peer): Promise<void> {
    let calls = 0;
    for (const step of STEPS) {
      const outcome = await this.step(peer, step);
      if (!isCarried(outcome)) {
        this.capacities.push({ name: peer.name, calls, isLimit: isValid(outcome) });
        return;
      }
      calls = step;
    }
    this.capacities.push({ name: peer.name, calls, isLimit: false });
  }

  private async step(peer: Peer, calls: number): Promise<Load> {
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.undisturbed(peer, calls, { holdMs: STEP_HOLD_MS });
      const isOk = isCarried(outcome);
      console.log(`${lineOf(peer.name, outcome)}${isOk ? '' : ', not carried'}`);
      if (isOk || attempt === 1) return outcome;
    }
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

  /** Each with as many calls as it carries, {@link CALLS} at most, and Trunkline with each of these numbers. */
  private trialsOf(variants: readonly Variant[]): Kind[] {
    const kinds = variants.map(([peer, base]): Kind => ({ peer, base, calls: this.callsOf(peer, base) }));
    const own = kinds.find(({ peer }) => peer.name === TRUNKLINE);
    const sizes = new Set(kinds.filter(({ base }) => base === TRUNKLINE).map(({ calls }) => calls));
    if (own !== undefined) sizes.delete(own.calls);
    const smaller = [...sizes].flatMap((calls) => (own === undefined ? [] : [{ ...own, calls }]));
    return [...kinds, ...smaller].filter(({ calls }) => calls > 0);
  }

  private callsOf({ name, mostCalls = CALLS }: Peer, base: string): number {
    const carried = (wanted: string) => {
      const found = this.capacities.find((each) => each.name === wanted);
      // Nothing is known where even the first step was disturbed.
      return found?.calls === 0 && !found.isLimit ? CALLS : found?.calls;
    };
    return Math.min(CALLS, carried(name) ?? carried(base) ?? CALLS, mostCalls);
  }

  /** In turn, so that a machine that gets slower or faster favours nobody. */
  private async measure(kinds: readonly Kind[]): Promise<PeerRow[]> {
    const outcomes = new Map<Kind, Load[]>(kinds.map((kind) => [kind, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of round % 2 === 1 ? [...kinds].reverse() : kinds) {
        const outcome = await this.undisturbed(kind.peer, kind.calls);
        outcomes.get(kind)?.push(outcome);
        console.log(lineOf(kind.peer.name, outcome));
      }
    }
    return kinds.map((kind) => {
      const base = kinds.find(({ peer, calls }) => peer.name === kind.base && calls === kind.calls);
      return rowOf(kind, outcomes.get(kind) ?? [], (base && outcomes.get(base)) ?? []);
    });
  }
}

/** What is measured in each round. */
interface Kind {
  readonly peer: Peer;
  readonly base: string;
  readonly calls: number;
}

/** @param others the outcomes of its base in the same rounds, with as many calls */
function rowOf({ peer, base, calls }: Kind, outcomes: readonly Load[], others: readonly Load[]): PeerRow {
  const valid = outcomes.filter(isValid);
  const told = valid.length > 0 ? valid : outcomes;
  const of = (value: (load: Load) => number) => median(told.map(value));
  const ratios = outcomes.flatMap((outcome, round) => {
    const other = others[round];
    return other !== undefined && isValid(outcome) && isValid(other)
      ? [outcome.usPerPair / other.usPerPair]
      : [];
  });
  return {
    name: peer.name,
    base,
    calls,
    usPerCallSecond: of(({ cpu }) => (cpu / calls) * 1e6),
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
      'that of',
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
      row.base,
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

/** Most calls that a core carries; empty where that is not known. */
export function capacityOf(name: string, capacities: readonly PeerCapacity[]): string {
  const { calls = 0, isLimit = false } = capacities.find((each) => each.name === name) ?? {};
  if (isLimit) return String(calls);
  return calls === 0 ? '' : `≥ ${calls}`;
}

/** What came of each bar. */
function verdicts({ rows }: Pick<PeersResult, 'rows'>): string[] {
  const own = rows.find((row) => row.name === TRUNKLINE && row.calls === CALLS);
  return rows.flatMap(({ name, base, calls, times, usPerCallSecond }) => {
    const bar = BARS[name];
    if (bar === undefined) return [];
    const elsewhere =
      own === undefined || calls === CALLS
        ? ''
        : ` (${(usPerCallSecond / own.usPerCallSecond).toFixed(2)} times that of a call among ${CALLS})`;
    const { least = 0, most = Number.POSITIVE_INFINITY } = bar;
    const wanted = bar.least === undefined ? `≤ ${most}` : `≥ ${least.toFixed(2)}`;
    const verdict = times === undefined ? 'not measured' : times >= least && times <= most ? 'met' : 'missed';
    const measured = times === undefined ? '' : `${times.toFixed(2)} times `;
    return [`${name}, ${calls} calls: ${measured}the CPU of ${base}${elsewhere}, bar ${wanted}: ${verdict}`];
  });
}

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
