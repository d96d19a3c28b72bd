import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { GatewayOptions, GatewayStats } from '../../src/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';

/** What a gateway process holds, after a garbage collection. */
export interface ProcessReport {
  readonly rss: number;
  readonly heapUsed: number;
  /** Bytes of ArrayBuffers, which are not on the heap. */
  readonly bufferBytes: number;
  readonly fds: number;
  readonly timers: number;
  readonly registrySize: number;
  readonly transcoders: number;
  readonly stats: GatewayStats;
}

/** A gateway in its own process. */
export class GatewayChild {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  static async start(options: GatewayOptions = {}): Promise<GatewayChild> {
    const all: GatewayOptions = {
      port: 0,
      publicUrl: PUBLIC_URL,
      logLevel: 'silent',
      twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] },
      ...options,
    };
    const script = fileURLToPath(new URL('gateway-child.mjs', import.meta.url));
    const child = fork(script, [JSON.stringify(all)], { execArgv: ['--expose-gc'] });
    const [{ url }] = (await once(child, 'message')) as [{ url: string }];
    return new GatewayChild(child, url);
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async report(): Promise<ProcessReport> {
    this.child.send('report');
    const [report] = (await once(this.child, 'message')) as [ProcessReport];
    return report;
  }

  /** Stands still for so long, as a machine that is moved: SIGSTOP, then SIGCONT. */
  async stall(ms: number): Promise<void> {
    this.child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}
