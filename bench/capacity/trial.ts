import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
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
  /** Calls of the generator and the simulator together. */
  readonly calls: number;
  /** As many are offered besides, evenly over the hold, to a gateway that takes no more. */
  readonly excess?: number;
  readonly warmUpMs: number;
  readonly holdMs: number;
}

/** What one gateway did with so many calls. Shares are of one core. */
export interface Outcome {
  readonly calls: number;
  readonly phones: GeneratorReport;
  /** Message callback to the return of the send, microseconds. */
  readonly gateway: GatewayReport['stats']['latency']['gateway'];
  readonly dropped: number;
  readonly gatewayCpu: number;
  /** The gateway's thread was ready and had no core: others were in the way. */
  readonly gatewayWaited: number;
  readonly rssMb: number;
  readonly filesPerCall: number;
  /** Frames lost before the hold: while calls were placed. */
  readonly lostBefore: number;
  /** Worst correlation of what a phone heard with what it said; 1 where it is the same. */
  readonly proof: number;
  /** Webhooks of the ramp that failed. */
  readonly unanswered: number;
  /** What became of the calls offered besides. */
  readonly excess: Placed | undefined;
}

/** Starts a gateway and a generator, holds the calls, and ends both. */
export async function hold(setting: Setting): Promise<Outcome> {
  const { calls, cores } = setting;
  const options = { ...Account.gatewayOptions, port: 0, maxCalls: calls, logLevel: 'silent' };
  const gateway = startChild('capacity/gateway-process.mjs', options, cores?.gateway);
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const generator = await Generator.start(setting.program, calls - PROOFS, cores?.generator);
    const twilio = new SimulatedTwilio(new Account(url).phoneOptions);
    try {
      return await new Trial(setting, url, gateway, generator, new Account(url), twilio).run();
    } finally {
      generator.kill();
      await twilio.close();
    }
  } finally {
    gateway.kill('SIGKILL');
  }
}

class Trial {
  constructor(
    private readonly setting: Setting,
    private readonly url: string,
    private readonly gateway: ChildProcess,
    private readonly generator: Generator,
    private readonly account: Account,
    private readonly twilio: SimulatedTwilio,
  ) {}

  async run(): Promise<Outcome> {
    const { calls, warmUpMs, holdMs, excess = 0 } = this.setting;
    const pid = this.gatewayPid();
    const idleFiles = openFiles(pid);
    const ramp = await this.account.placeMany(calls - PROOFS, RATE, (order) => this.generator.call(order));
    await this.generator.connected(ramp.admitted);
    const settled = await this.generator.settle();
    const proofs = await this.placeProofs();
    await pause(warmUpMs);

    const offers = excess > 0 ? await this.readyOffers(excess) : undefined;
    const before = await this.report('reset');
    const waitedBefore = waitedMs(pid);
    const begun = performance.now();
    await this.generator.hold();
    const offering = offers && answerOf<Placed>(offers);
    offers?.send('go');
    const [offered] = await Promise.all([offering, pause(holdMs)]);
    const after = await this.report();
    const elapsed = performance.now() - begun;
    const gatewayWaited = (waitedMs(pid) - waitedBefore) / elapsed;
    const files = openFiles(pid);
    const phones = await this.generator.endHold();
    await this.generator.stop();
    return {
      calls,
      phones,
      gateway: after.stats.latency.gateway,
      dropped: droppedIn(after) - droppedIn(before),
      gatewayCpu: (after.cpuMs - before.cpuMs) / elapsed,
      gatewayWaited,
      rssMb: after.rssMb,
      filesPerCall: (files - idleFiles) / calls,
      lostBefore: settled.lost,
      proof: await proofOf(proofs),
      unanswered: ramp.errors.length + ramp.busy,
      excess: offered,
    };
  }

  /** Callers that wait for the word. */
  private async readyOffers(calls: number): Promise<ChildProcess> {
    const { cores, holdMs } = this.setting;
    const offers: Offers = { gateway: this.url, calls, rate: (calls / holdMs) * 1_000 };
    const child = startChild('capacity/offers-process.ts', offers, cores?.generator, true);
    await answerOf(child);
    return child;
  }

  private gatewayPid(): number {
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
    return report?.pairing === 'valid' ? (report.proof?.received.correlation ?? 0) : 0;
  });
  return Math.min(...worst);
}
