import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { ROOT } from './installed.js';
import { freePort } from './port.js';
import { snippets } from './snippets.js';

const PROGRAMS = {
  python: { command: 'python3', args: [], extension: 'py' },
  ts: {
    command: process.execPath,
    // Not tsx's own command, which starts one more process that outlives it.
    args: ['--import', 'tsx'],
    extension: 'mts',
  },
} as const;

const open: ExampleServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

/** The first server of a page in a language, word for word, in its own process; ended after the test. */
export class ExampleServer {
  /** What it printed. */
  said = '';
  private errors = '';

  private constructor(
    /** Where it listens. */
    readonly url: string,
    readonly code: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
  ) {
    child.stdout?.on('data', (chunk) => (this.said += chunk));
    child.stderr?.on('data', (chunk) => (this.errors += chunk));
  }

  /** @param secret its `WEBHOOK_SECRET` */
  static async start(page: string, language: keyof typeof PROGRAMS, secret: string): Promise<ExampleServer> {
    const [code] = snippets(page, language);
    if (code === undefined) throw new Error(`${page} has no example in ${language}`);
    const { command, args, extension } = PROGRAMS[language];
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'trunkline-example-'));
    const file = join(folder, `server.${extension}`);
    // What its readers install lies elsewhere here.
    const here = code
      .replace("'trunkline'", `'${join(ROOT, 'dist/index.js')}'`)
      .replace("'standardwebhooks'", `'${join(ROOT, 'node_modules/standardwebhooks/dist/index.js')}'`)
      .replace('listen(4000)', `listen(${port}, '127.0.0.1')`);
    writeFileSync(file, here);
    const child = spawn(command, [...args, file], {
      cwd: ROOT,
      env: { ...process.env, WEBHOOK_SECRET: secret, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const server = new ExampleServer(`http://127.0.0.1:${port}`, code, folder, child);
    open.push(server);
    while (!(await listens(port))) {
      if (child.exitCode !== null) throw new Error(`the example ended: ${server.errors}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return server;
  }

  async close(): Promise<void> {
    if (this.child.exitCode === null) {
      this.child.kill('SIGKILL');
      await new Promise((resolve) => this.child.once('exit', resolve));
    }
    rmSync(this.folder, { recursive: true });
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
