import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { eventually } from './time.js';

const running: Served[] = [];

afterEach(async () => {
  for (const served of running.splice(0)) await served.kill();
});

export interface ServeOptions {
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
  /** What stands before the program's name: a shell's `ulimit`, options of Node. */
  readonly shell?: string;
  readonly nodeArgs?: readonly string[];
  /** A session of its own: without a terminal, whoever started the tests. */
  readonly detached?: boolean;
}

/** `trunkline serve` from `dist` in its own process, which is gone after the test. */
export class Served {
  output = '';
  readonly exited: Promise<[code: number | null, signal: string | null]>;

  private constructor(readonly child: ChildProcess) {
    // With the last of its output.
    this.exited = once(child, 'close') as Promise<[number | null, string | null]>;
    const take = (chunk: Buffer) => {
      this.output += chunk;
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
  }

  static start({ env = {}, args = [], shell, nodeArgs = [], detached = false }: ServeOptions = {}): Served {
    const program = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
    const command = [process.execPath, ...nodeArgs, program, 'serve', ...args];
    const [first, ...rest] =
      shell === undefined ? command : ['bash', '-c', `${shell}; exec "$0" "$@"`, ...command];
    const child = spawn(first as string, rest, {
      detached,
      env: {
        PATH: process.env.PATH,
        ...(process.env.NODE_OPTIONS && { NODE_OPTIONS: process.env.NODE_OPTIONS }),
        PORT: '0',
        PUBLIC_URL,
        TWILIO_ACCOUNT_SID: ACCOUNT_SID,
        TWILIO_AUTH_TOKEN: AUTH_TOKEN,
        // Callers and gateways share a machine here.
        MAX_LOOP_DELAY_MS: '0',
        MAX_CPU_PERCENT: '0',
        DRAIN_SECONDS: '30',
        ...env,
      },
    });
    const served = new Served(child);
    running.push(served);
    return served;
  }

  /** Waits until it listens; returns its address. */
  async listening(): Promise<string> {
    await this.says(/"url":"/);
    return /"url":"([^"]+)"/.exec(this.output)?.[1] as string;
  }

  /** Waits until its output has this. */
  async says(text: string | RegExp): Promise<void> {
    const isSaid = () => (typeof text === 'string' ? this.output.includes(text) : text.test(this.output));
    await eventually(`"${text}"`, () => isSaid() || this.isOver, 15_000);
    if (!isSaid()) throw new Error(`Expected "${text}" but received an end: ${this.output}`);
  }

  /** Lines of its log that have this text. */
  lines(text: string): Record<string, unknown>[] {
    return this.output
      .split('\n')
      .filter((line) => line.startsWith('{') && line.includes(text))
      .map((line) => JSON.parse(line));
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async kill(): Promise<void> {
    if (this.isOver) return;
    this.child.kill('SIGKILL');
    await this.exited;
  }
}
