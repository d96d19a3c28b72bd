import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { afterAll, describe } from 'vitest';
import { needs } from './needs.js';
import { freePort } from './port.js';
import { eventually } from './time.js';

const running: RedisServer[] = [];
const folders: string[] = [];

afterAll(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Gone after the file's tests. */
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-redis-'));
  folders.push(folder);
  return folder;
}

/** A real redis-server on its own port, without files. */
export class RedisServer {
  private child: ChildProcess | undefined;

  private constructor(readonly port: number) {}

  /** Gone after the file's tests. */
  static async start(...more: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    running.push(server);
    await server.start(...more);
    return server;
  }

  /** One that speaks TLS alone, with a certificate and its key in one file. */
  static async startSecure(pem: string): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    running.push(server);
    const files = ['--tls-cert-file', pem, '--tls-key-file', pem, '--tls-auth-clients', 'no'];
    await server.start('--port', '0', '--tls-port', String(server.port), ...files);
    return server;
  }

  /** The nodes of a cluster, each with its share of the slots. */
  static async startCluster(size: number): Promise<RedisServer[]> {
    const nodes: RedisServer[] = [];
    const buses: string[] = [];
    // Who has lost some slots serves the others.
    const enabled = ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no'];
    for (let i = 0; i < size; i++) {
      // Its default is 10,000 above the port, within the range of ephemeral ports.
      buses.push(String(await freePort()));
      const bus = ['--cluster-port', buses[i] as string];
      nodes.push(await RedisServer.start(...enabled, ...bus, '--dir', newFolder()));
    }
    const [first] = nodes as [RedisServer];
    for (const [i, node] of nodes.entries()) {
      const slot = (at: number) => Math.ceil((at * 16_384) / size);
      await node.ask('CLUSTER', 'ADDSLOTSRANGE', String(slot(i)), String(slot(i + 1) - 1));
      if (node !== first) {
        await node.ask('CLUSTER', 'MEET', '127.0.0.1', String(first.port), buses[0] as string);
      }
    }
    for (const node of nodes) {
      await eventually(
        'a cluster',
        async () => {
          const info = String(await node.ask('CLUSTER', 'INFO'));
          return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${size}`);
        },
        20_000,
      );
    }
    return nodes;
  }

  /** A primary with one replica, and three sentinels that watch them under the name `main`. */
  static async startWatched(): Promise<{ primary: RedisServer; sentinels: RedisServer[] }> {
    const primary = await RedisServer.start();
    await RedisServer.start('--replicaof', '127.0.0.1', String(primary.port));
    const sentinels: RedisServer[] = [];
    for (let i = 0; i < 3; i++) {
      const sentinel = new RedisServer(await freePort());
      running.push(sentinel);
      const file = join(newFolder(), 'sentinel.conf');
      const lines = [
        `port ${sentinel.port}`,
        'bind 127.0.0.1',
        `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
        'sentinel down-after-milliseconds main 1000',
        'sentinel failover-timeout main 1000',
      ];
      writeFileSync(file, lines.join('\n'));
      await sentinel.spawn([file, '--sentinel'], '+monitor');
      sentinels.push(sentinel);
    }
    for (const sentinel of sentinels) {
      await eventually(
        'sentinels that know each other',
        async () => {
          const answer = await sentinel.ask('SENTINEL', 'CKQUORUM', 'main').catch(String);
          const replicas = (await sentinel.ask('SENTINEL', 'REPLICAS', 'main')) as unknown[];
          return String(answer).includes('OK 3') && replicas.length === 1;
        },
        30_000,
      );
    }
    return { primary, sentinels };
  }

  /** Sends it a command, by its own connection. */
  async ask(...command: string[]): Promise<unknown> {
    const client = createClient({ url: this.url, socket: { reconnectStrategy: false } });
    client.on('error', () => {});
    await client.connect();
    try {
      return await client.sendCommand(command);
    } finally {
      client.destroy();
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, or again: with nothing in it. */
  async start(...more: string[]): Promise<void> {
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    // What a replica is sent by its primary comes as a file.
    own.push('--dir', tmpdir());
    await this.spawn([...own, ...more], 'Ready to accept connections');
  }

  private async spawn(args: readonly string[], ready: string): Promise<void> {
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.includes(ready)) break;
    }
    if (!output.includes(ready)) throw new Error(`redis-server did not start: ${output}`);
    child.stdout.resume();
  }

  /** Answers nothing, and keeps its connections, as a machine that hangs. */
  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  /** Ends it at once; everything in it is lost. */
  async stop(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

/** Whether there is a redis-server. */
export const hasRedis = needs(
  'Redis',
  'apt-get install redis-server',
  () => spawnSync('redis-server', ['--version']).status === 0,
);

/** Tests that need a redis-server; skipped with a notice if there is none. */
export const describeOnRedis = describe.runIf(hasRedis);
