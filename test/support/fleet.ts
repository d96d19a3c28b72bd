import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { RoundRobin } from './round-robin.js';
import { eventually, sleep } from './time.js';

export const CONTROL_KEY = 'a-control-key-for-tests';

const freed: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

/** One `trunkline serve` in its own process. */
export class FleetNode {
  output = '';
  url = '';
  readonly exited: Promise<[code: number | null, signal: string | null]>;

  private constructor(readonly child: ChildProcess) {
    this.exited = once(child, 'exit') as Promise<[number | null, string | null]>;
    const take = (chunk: Buffer) => {
      this.output += chunk;
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
  }

  static async start(env: Record<string, string>): Promise<FleetNode> {
    const program = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
    const child = spawn(process.execPath, [program, 'serve'], {
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        PUBLIC_URL,
        TWILIO_ACCOUNT_SID: ACCOUNT_SID,
        TWILIO_AUTH_TOKEN: AUTH_TOKEN,
        TWILIO_FROM: '+15550009999',
        CONTROL_API_KEY: CONTROL_KEY,
        // Callers and nodes share a machine here.
        MAX_LOOP_DELAY_MS: '0',
        STREAM_MAX_WORKER_DELAY_MS: '0',
        MAX_CPU_PERCENT: '0',
        DRAIN_SECONDS: '20',
        ...env,
      },
    });
    const node = new FleetNode(child);
    freed.push(() => node.kill());
    await eventually('listening', () => /"url":"/.test(node.output) || child.exitCode !== null, 15_000);
    node.url = /"url":"([^"]+)"/.exec(node.output)?.[1] ?? '';
    if (node.url === '') throw new Error(`the node did not start: ${node.output}`);
    return node;
  }

  private scrapedAt = Number.NEGATIVE_INFINITY;
  private figures: Promise<string> | undefined;

  /** `host:port` */
  get address(): string {
    return new URL(this.url).host;
  }

  /** A figure as it is now: nodes write them down once a second. */
  async metric(name: string): Promise<number> {
    this.figures ??= this.scrape().finally(() => {
      this.figures = undefined;
    });
    const line = (await this.figures).split('\n').find((each) => each.startsWith(`trunkline_${name} `));
    return Number(line?.split(' ').at(-1));
  }

  private async scrape(): Promise<string> {
    await sleep(Math.max(0, this.scrapedAt + 1_000 - performance.now()));
    const text = await (await fetch(`${this.url}/metrics`)).text();
    this.scrapedAt = performance.now();
    return text;
  }

  async ready(): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${this.url}/ready`);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  control(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${CONTROL_KEY}`, ...init.headers };
    return fetch(this.url + path, { ...init, headers });
  }

  /** SIGKILL: nothing is said to anybody. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Nodes on one Redis behind a proxy that spreads every call over them, and the Twilio that calls them. */
export interface Fleet {
  readonly nodes: FleetNode[];
  readonly proxy: RoundRobin;
  readonly twilio: SimulatedTwilio;
  /** One node more. */
  add(): Promise<FleetNode>;
}

export async function startFleet(
  size: number,
  redisUrl: string,
  env: Record<string, string> = {},
): Promise<Fleet> {
  let target = '';
  const dial = {
    publicUrl: PUBLIC_URL,
    get target() {
      return target;
    },
  };
  const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
  const apiUrl = await twilio.listen();
  const all = { REDIS_URL: redisUrl, TWILIO_API_URL: apiUrl, ...env };
  const start = (i: number) => FleetNode.start({ ...all, NODE_ID: `node${i + 1}` });
  const nodes = await Promise.all(Array.from({ length: size }, (_, i) => start(i)));
  const proxy = await RoundRobin.listen(nodes.map(({ address }) => address));
  freed.push(() => proxy.close());
  freed.push(() => twilio.close());
  target = proxy.url;
  await Promise.all(nodes.map((node) => sees(node, size)));
  return {
    nodes,
    proxy,
    twilio,
    async add() {
      const node = await start(nodes.length);
      nodes.push(node);
      proxy.add(node.address);
      return node;
    },
  };
}

/** Waits until a node knows that so many live. */
export async function sees(node: FleetNode, size: number): Promise<void> {
  await eventually(`${size} nodes`, async () => (await node.metric('fleet_nodes')) === size, 15_000);
}
