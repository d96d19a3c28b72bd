import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { afterAll, describe } from 'vitest';
import { needs } from './needs.js';
import { freePort } from './port.js';

const running: RedisServer[] = [];

afterAll(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
});

/** A real redis-server on a port of its own, without files. */
export class RedisServer {
  private child: ChildProcess | undefined;

  private constructor(private readonly port: number) {}

  /** Gone after the file's tests. */
  static async start(...more: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    running.push(server);
    await server.start(...more);
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, or again: with nothing in it. */
  async start(...more: string[]): Promise<void> {
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    // What a replica is sent by its primary comes as a file.
    own.push('--dir', tmpdir());
    const child = spawn('redis-server', [...own, ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.includes('Ready to accept connections')) break;
    }
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

/** Tests that need a redis-server; skipped, and said so in a line, where there is none. */
export const describeOnRedis = describe.runIf(hasRedis);
