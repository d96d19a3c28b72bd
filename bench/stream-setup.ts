import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { StackChoice } from '../src/bridge/stream/stack-choice.js';
import { AudioSource, PhoneClock, SimulatedPhone } from '../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../test/support/caller.js';
import { type StreamProcess, startStreamDouble } from '../test/support/stream/process.js';
import type { StreamGatewayReport } from './stream-gateway-process.js';

const PROGRAM = fileURLToPath(new URL('stream-gateway-process.ts', import.meta.url));

/** Stream's double and a gateway, each in its own process, and phones in this one. */
export class StreamSetup {
  readonly clock = new PhoneClock();
  readonly phones: SimulatedPhone[] = [];

  private constructor(
    private readonly double: StreamProcess,
    private readonly gateway: ChildProcess,
    readonly url: string,
  ) {}

  /**
   * @param stack WebRTC of the media workers
   * @param preload a module that they load first
   */
  static async start(stack: StackChoice, preload?: string): Promise<StreamSetup> {
    const double = await startStreamDouble();
    const gateway = fork(PROGRAM, [JSON.stringify({ ...double.keys, stack, legsPerWorker: 50 })], {
      env: { ...process.env, ...(preload === undefined ? {} : { NODE_OPTIONS: `--import ${preload}` }) },
    });
    const [{ url }] = (await once(gateway, 'message')) as [{ url: string }];
    return new StreamSetup(double, gateway, url);
  }

  get keys() {
    const { apiKey, apiSecret, baseUrl } = this.double.keys;
    return { apiKey, apiSecret, url: baseUrl };
  }

  get gatewayPid(): number {
    return this.gateway.pid as number;
  }

  async report(message: 'reset' | 'report' = 'report'): Promise<StreamGatewayReport> {
    this.gateway.send(message);
    const [report] = (await once(this.gateway, 'message')) as [StreamGatewayReport];
    return report;
  }

  /** The worker that carries the calls. */
  async worker(): Promise<number> {
    const { workers } = await this.report();
    return [...workers].sort((a, b) => b.legs - a.legs)[0]?.pid as number;
  }

  /** Calls until `count` phones are in, two in each Stream call, and waits for each to be joined. */
  async call(
    count: number,
    audio: (index: number) => AudioSource = () => AudioSource.speech(),
  ): Promise<void> {
    while (this.phones.length < count) {
      const index = this.phones.length;
      const phone = new SimulatedPhone({
        accountSid: ACCOUNT_SID,
        authToken: AUTH_TOKEN,
        from: `+1555${String(Math.floor(index / 2)).padStart(7, '0')}`,
        to: '+15552223333',
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        dial: { publicUrl: PUBLIC_URL, target: this.url },
        audio: audio(index),
        record: true,
        clock: this.clock,
      });
      this.phones.push(phone.dial());
      await phone.started;
      await this.joined(this.phones.length);
    }
  }

  /** Waits until so many phones are in their Stream calls. */
  async joined(count: number): Promise<void> {
    const deadline = performance.now() + 20_000;
    while ((await this.report()).bridge.joined < count) {
      if (performance.now() > deadline) throw new Error(`Expected ${count} phones to join within 20 s`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async close(): Promise<void> {
    for (const phone of this.phones.splice(0)) phone.close();
    const exited = once(this.gateway, 'exit');
    this.gateway.send('close');
    await exited;
    await this.double.close();
  }
}
