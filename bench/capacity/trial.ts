import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { GatewayOptions } from '../../src/index.js';
import { AudioSource, type SimulatedPhone, SimulatedTwilio } from '../../src/simulator/index.js';
import { answerOf, startChild } from '../child.js';
import type { GatewayReport } from '../gateway-process.js';
import { openFiles, waitedMs } from '../processor.js';
import { Account, type Placed } from './account.js';
import type { Cores } from './cores.js';
import { Generator, type GeneratorProgram, type GeneratorReport } from './generator.js';
import type { Offers } from './offers-process.js';

/** Phones of the TypeScript simulator among the calls: they keep what they hear and compare it with what they said. */
const PROOFS = 2;
const PROOF_MS = 6_000;
const RATE = 200;

export interface Setting {
  readonly program: GeneratorProgram;
  readonly cores: Cores | undefined;
  /** Calls of the generator and the simulator together: as many as the gateway takes. */
  readonly calls: number;
  readonly warmUpMs: number;
  /** Of the gateway, besides what all trials need. */
  readonly options?: GatewayOptions;
  /** How the gateway measures its leads by marks; default as it is. */
  readonly probes?: 'none' | 'many' | undefined;
  /** Of the phones' TLS, where the gateway has a certificate; see `Generator.start`. */
  readonly ciphers?: string | undefined;
}

/** What one gateway did with so many calls for a while. Shares are of one core. */
export interface Held {
  readonly calls: number;
  readonly phones: GeneratorReport;
  /** Message callback to the return of the send, microseconds. */
  readonly gateway: GatewayReport['stats']['latency']['gateway'];
  /** From a caller's message to the message that its agent gets, microseconds. */
  readonly legHeard: GatewayReport['stats']['latency']['legHeard'];
  readonly dropped: number;
  readonly gatewayCpu: number;
  /** Marks sent a second, by which leads are measured. */
  readonly probesPerSecond: number;
  /** The gateway's thread was ready but had no core: other processes interfered. */
  readonly gatewayWaited: number;
  readonly rssMb: number;
  readonly filesPerCall: number;
  /** What became of the calls offered besides. */
  readonly excess: Placed | undefined;
}

export interface Outcome extends Held {
  /** Frames lost before the hold: while calls were placed. */
  readonly lostBefore: number;
  /** Worst correlation of what a phone heard with what it said; 1 where it is the same. */
  readonly proof: number;
  /** Webhooks of the ramp that failed. */
  readonly unanswered: number;
}

/** Starts a gateway and a generator, holds the calls, and ends both. */
export async function hold(setting: Setting, holdMs: number): Promise<Outcome> {
  return withCalls(setting, async (trial) => {
    const held = await trial.hold(holdMs);
    const { lostBefore, unanswered } = trial;
    return { ...held, lostBefore, unanswered, proof: await trial.proof() };
  });
}

/** Starts a gateway and a generator, connects the calls for as long as `work` needs them, and ends both. */
export async function withCalls<T>(setting: Setting, work: (trial: Trial) => Promise<T>): Promise<T> {
  const { calls, cores } = setting;
  const options = {
    ...setting.options,
    ...Account.gatewayOptions,
    port: 0,
    maxCalls: calls,
    logLevel: 'silent',
    probes: setting.probes,
  };
  const gateway = startChild('capacity/gateway-process.mjs', options, cores?.gateway);
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const generator = await Generator.start(
      setting.program,
      calls - PROOFS,
      cores?.generator,
      setting.ciphers,
    );
    const account = new Account(
      url,
      setting.options?.tls && readFileSync(setting.options.tls.certFile, 'utf8'),
    );
    const twilio = new SimulatedTwilio(account.phoneOptions);
    try {
      const trial = new Trial(setting, url, gateway, generator, twilio, account);
      await trial.connect();
      return await work(trial);
    } finally {
      generator.kill();
      await twilio.close();
    }
  } finally {
    gateway.kill('SIGKILL');
  }
}

/** Calls that are up, and may be held several times. */
export class Trial {
  lostBefore = 0;
  unanswered = 0;
  private idleFiles = 0;
  private proofs: readonly SimulatedPhone[] = [];
  constructor(
    private readonly setting: Setting,
    /** Where the gateway listens. */
    readonly url: string,
    private readonly gateway: ChildProcess,
    private readonly generator: Generator,
    private readonly twilio: SimulatedTwilio,
    private readonly account: Account,
  ) {}

  async connect(): Promise<void> {
    const { calls, warmUpMs } = this.setting;
    this.idleFiles = openFiles(this.gatewayPid);
    const ramp = await this.account.placeMany(calls - PROOFS, RATE, (order) => this.generator.call(order));
    this.unanswered = ramp.errors.length + ramp.busy;
    await this.generator.connected(ramp.admitted);
    this.lostBefore = (await this.generator.settle()).lost;
    this.proofs = await this.placeProofs();
    await pause(warmUpMs);
  }

  /** Pairs frames anew, after a hold that lost some. */
  async settle(): Promise<void> {
    await this.generator.settle();
  }

  /** @param excess as many calls are offered besides, evenly over the hold, to a gateway that takes no more */
  async hold(holdMs: number, excess = 0): Promise<Held> {
    const { calls } = this.setting;
    const offers = excess > 0 ? await this.readyOffers(excess, holdMs) : undefined;
    const before = await this.report('reset');
    const waitedBefore = waitedMs(this.gatewayPid);
    const begun = performance.now();
    await this.generator.hold();
    const offering = offers && answerOf<Placed>(offers);
    offers?.send('go');
    const [offered] = await Promise.all([offering, pause(holdMs)]);
    const after = await this.report();
    const elapsed = performance.now() - begun;
    const gatewayWaited = (waitedMs(this.gatewayPid) - waitedBefore) / elapsed;
    const files = openFiles(this.gatewayPid);
    return {
      calls,
      phones: await this.generator.endHold(),
      gateway: after.stats.latency.gateway,
      legHeard: after.stats.latency.legHeard,
      dropped: droppedIn(after) - droppedIn(before),
      gatewayCpu: (after.cpuMs - before.cpuMs) / elapsed,
      probesPerSecond: (1_000 * ((after.probes ?? 0) - (before.probes ?? 0))) / elapsed,
      gatewayWaited,
      rssMb: after.rssMb,
      filesPerCall: (files - this.idleFiles) / calls,
      excess: offered,
    };
  }

  /** How well the phones that listen heard what they said; ends the calls of the others. */
  async proof(): Promise<number> {
    await this.generator.stop();
    return proofOf(this.proofs);
  }

  /** Callers that wait for the word. */
  private async readyOffers(calls: number, holdMs: number): Promise<ChildProcess> {
    const offers: Offers = { gateway: this.url, calls, rate: (calls / holdMs) * 1_000 };
    const child = startChild('capacity/offers-process.ts', offers, this.setting.cores?.generator, true);
    await answerOf(child);
    return child;
  }

  private get gatewayPid(): number {
    return this.gateway.pid as number;
  }

  private async report(message: 'reset' | 'report' = 'report'): Promise<GatewayReport> {
    const answer = answerOf<GatewayReport>(this.gateway);
    this.gateway.send(message);
    return answer;
  }

  private async placeProofs(): Promise<SimulatedPhone[]> {
    const { webhookUrl } = this.account.phoneOptions;
    const audio = AudioSource.speech();
    const phones = Array.from({ length: PROOFS }, () =>
      this.twilio.placeCall({
        webhookUrl,
        from: '+12065550100',
        to: '+14155550123',
        audio,
        record: PROOF_MS,
      }),
    );
    await Promise.allSettled(phones.map((phone) => phone.started));
    return phones;
  }
}

function droppedIn({ stats: { traffic } }: GatewayReport): number {
  return traffic.droppedLead + traffic.droppedIntake + traffic.droppedBackpressure;
}

/** 0 for a phone that heard nothing, or lost a frame. */
async function proofOf(phones: readonly SimulatedPhone[]): Promise<number> {
  const worst = phones.map((phone) => {
    const report = phone.report();
    return report?.pairing === 'valid' && report.framesMissing === 0
      ? (report.proof?.received.correlation ?? 0)
      : 0;
  });
  return Math.min(...worst);
}
