import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { newSid } from '../../src/simulator/index.js';
import type { BenchCertificate } from '../capacity/bench-certificate.js';
import type { Order, RtpOrder } from '../capacity/generator.js';
import { processTree } from '../processor.js';

const START_MS = 30_000;
const POLL_MS = 20;

/** A server that does the same work as the others: it echoes phone calls by way of 48 kHz audio. */
export interface Peer {
  readonly name: string;
  /** Calls that it is measured with at most, where that is fewer than for others. */
  readonly mostCalls?: number;
  /** How much louder its echo is than what was said, decibels; default 0. */
  readonly gainDb?: number;
  /** Of its phones' TLS: see `Generator.start`. */
  readonly ciphers?: string;
  /** Whether its phones speak RTP; default Media Streams. */
  readonly isRtp?: boolean;
  /** What is missing on this machine to run it. */
  missing(): string | undefined;
  /** @param core where it runs; default anywhere */
  start(core?: number): Promise<RunningPeer>;
}

export interface RunningPeer {
  /** Its processes; each with those that it started counts as the server. */
  readonly pids: readonly number[];
  /** The one of them that is a proxy in front: its CPU is also told apart. */
  readonly frontPid?: number;
  /** On loopback. */
  readonly port: number;
  /** Prepares one more call. */
  order(): Promise<Order | RtpOrder>;
  /** Called once all calls are up. */
  onConnected?(): Promise<void>;
  stop(): Promise<void>;
}

/** A program and its environment. */
export interface Program {
  readonly command: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A process that serves at a port. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  /**
   * Starts a program that listens at the port that `PORT` in its environment names, and waits until it does.
   * @throws Error where it ends first, or does not listen within 30 s
   */
  static async start({ command, env }: Program, core?: number): Promise<ServerProcess> {
    const port = await freePort();
    const pin = core === undefined ? [] : ['taskset', '-c', String(core)];
    const [first = '', ...args] = [...pin, ...command];
    const child = spawn(first, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ...env, PORT: String(port) },
    });
    const server = new ServerProcess(child, port);
    await server.listening();
    return server;
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async stop(): Promise<void> {
    if (this.isOver) return;
    const exit = once(this.child, 'exit');
    for (const pid of processTree(this.pid)) killIfThere(pid);
    await exit;
  }

  private get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private async listening(): Promise<void> {
    const latest = performance.now() + START_MS;
    while (!(await accepts(this.port))) {
      if (this.isOver || performance.now() > latest) {
        await this.stop();
        throw new Error(`Expected ${this.child.spawnargs.join(' ')} to listen at ${this.port}`);
      }
      await pause(POLL_MS);
    }
  }
}

/**
 * A peer that is one program and takes any phone at `/media`.
 * @param certificate over TLS with it
 */
export function programPeer(
  name: string,
  missing: () => string | undefined,
  program: () => Program,
  certificate?: BenchCertificate,
): Peer {
  return {
    name,
    missing,
    async start(core) {
      const { command, env } = program();
      const server = await ServerProcess.start({ command, env: { ...env, ...tlsOf(certificate) } }, core);
      return {
        pids: [server.pid],
        port: server.port,
        order: async () => mediaOrder(server.port, certificate !== undefined),
        stop: () => server.stop(),
      };
    },
  };
}

/** The variables in which all servers look for a certificate. */
export function tlsOf(certificate: BenchCertificate | undefined): NodeJS.ProcessEnv {
  if (certificate === undefined) return {};
  return { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile };
}

/** A call without a webhook before it. */
export function mediaOrder(port: number, isSecure = false): Order {
  return {
    isSecure,
    host: '127.0.0.1',
    port,
    path: '/media',
    publicHost: `127.0.0.1:${port}`,
    signature: 'none',
    callSid: newSid('CA'),
    accountSid: `AC${'0'.repeat(32)}`,
    streamSid: newSid('MZ'),
  };
}

/** Whether a command runs and succeeds. */
export function runs(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, [...args], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
