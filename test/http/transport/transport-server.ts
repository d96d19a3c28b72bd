import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { eventually } from '../../support/time.js';
import { TRANSPORTS } from '../../support/transports.js';

/**
 * Where the server runs, by the environment; the checkout's `dist` in this Node unless told otherwise.
 * `TRANSPORT_ROOT`: it is started inside that folder by `chroot`, and the others are paths in there.
 * `TRANSPORT_COMMAND`: a program and its arguments, in JSON, that run Node there by other means than `chroot`.
 */
const {
  TRANSPORT_ROOT: root = '',
  TRANSPORT_NODE: node = process.execPath,
  TRANSPORT_DIST: dist = fileURLToPath(new URL('../../../dist', import.meta.url)),
  TRANSPORT_COMMAND: given,
  TRANSPORTS: names = TRANSPORTS.join(),
} = process.env;

const SCRIPT = 'server-child.mjs';

/** What runs Node where the server is to run. */
function command(): readonly string[] {
  if (given !== undefined) return JSON.parse(given) as string[];
  return root === '' ? [node] : ['chroot', root, node];
}

/** Something that happened at the server's side. */
export interface ServerEvent {
  readonly event: string;
  readonly key: string;
  readonly [detail: string]: unknown;
}

interface Line {
  readonly id?: number;
  readonly event?: string;
  readonly error?: { readonly code?: string; readonly message: string };
  readonly [detail: string]: unknown;
}

let keys = 0;
/** A name for a request or a socket that no other one has. */
export function newKey(): string {
  keys += 1;
  return `k${keys}`;
}

/** Runs the cases over each transport, each with its own server. */
export function overTransports(cases: (server: TransportServer) => void): void {
  describe.each(names.split(','))('%s', (name) => {
    const server = new TransportServer(name);
    beforeAll(() => server.start());
    afterEach(() => server.check());
    afterAll(() => server.stop());
    cases(server);
  });
}

/** A transport in its own process. */
export class TransportServer {
  /** Of its first port. */
  port = 0;
  origin = '';
  /** Version of the Node it runs in. */
  node = '';
  readonly events: ServerEvent[] = [];
  private child: ChildProcess | undefined;
  private readonly answers = new Map<number, (line: Line) => void>();
  private asked = 0;
  private folder = '';
  private stderr = '';

  constructor(readonly name: string) {}

  async start(): Promise<void> {
    // The same path inside and outside of the root, but for the root itself.
    mkdirSync(join(root, tmpdir()), { recursive: true });
    this.folder = mkdtempSync(join(root, tmpdir(), 'trunkline-transport-'));
    copyFileSync(fileURLToPath(new URL(SCRIPT, import.meta.url)), join(this.folder, SCRIPT));
    const [file = '', ...args] = command();
    this.child = spawn(file, [...args, this.inside(SCRIPT), dist, this.name], { stdio: 'pipe' });
    this.child.stderr?.on('data', (text) => {
      this.stderr += text;
    });
    this.child.on('exit', () => this.fail());
    const { stdout } = this.child;
    if (stdout === null) throw new Error('Expected a pipe');
    createInterface({ input: stdout }).on('line', (text) => this.take(text));
    await eventually('a server', () => {
      if (!this.isRunning) throw new Error(this.ended());
      return this.origin !== '';
    });
    this.port = (await this.tell('listen')).port as number;
  }

  get isRunning(): boolean {
    return this.child?.exitCode === null && this.child.signalCode === null;
  }

  get pid(): number {
    return this.child?.pid as number;
  }

  /** A file in a folder that the server sees as well: its path out here. */
  outside(file: string): string {
    return join(this.folder, file);
  }

  /** The same file as the server names it. */
  inside(file: string): string {
    return join(this.folder.slice(root.length), file);
  }

  /** Has it do something; answers what came of it. @throws what it threw, with its code */
  async tell(op: string, wish: Readonly<Record<string, unknown>> = {}): Promise<Line> {
    this.asked += 1;
    const id = this.asked;
    const line = await new Promise<Line>((resolve) => {
      this.answers.set(id, resolve);
      if (this.isRunning) this.child?.stdin?.write(`${JSON.stringify({ id, op, ...wish })}\n`);
      else this.fail();
    });
    if (line.error !== undefined) {
      throw Object.assign(new Error(line.error.message), { code: line.error.code });
    }
    return line;
  }

  /** Of one kind, of a request or a socket. */
  of(event: string, key: string): ServerEvent[] {
    return this.events.filter((happened) => happened.event === event && happened.key === key);
  }

  /** Waits for the n-th event of that kind. */
  async event(event: string, key: string, n = 1): Promise<ServerEvent> {
    await eventually(`${event} of ${key}`, () => {
      if (!this.isRunning) throw new Error(this.ended());
      return this.of(event, key).length >= n;
    });
    return this.of(event, key)[n - 1] as ServerEvent;
  }

  /** Waits until it has handled everything received so far, twice. */
  async settled(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await this.tell('turn');
  }

  /** Fails where it has ended, or threw what it should not. */
  check(): void {
    const threw = this.events.filter(({ event }) => event === 'threw');
    this.events.length = 0;
    if (!this.isRunning) throw new Error(this.ended());
    if (threw.length > 0) throw new Error(`Expected nothing thrown but received ${JSON.stringify(threw)}`);
  }

  async stop(): Promise<void> {
    if (this.isRunning && this.child !== undefined) {
      const exited = once(this.child, 'exit');
      this.child.stdin?.end();
      await exited;
    }
    rmSync(this.folder, { recursive: true });
  }

  private take(text: string): void {
    const line = JSON.parse(text) as Line;
    if (line.event === 'ready') {
      this.origin = String(line.origin);
      this.node = String(line.node);
    } else if (line.event !== undefined) this.events.push(line as ServerEvent);
    else this.answers.get(line.id as number)?.(line);
  }

  private fail(): void {
    for (const answer of this.answers.values()) answer({ error: { message: this.ended() } });
    this.answers.clear();
  }

  private ended(): string {
    return `Expected a server that goes on but it has ended: ${this.stderr.slice(-2_000)}`;
  }
}
