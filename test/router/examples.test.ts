import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { needs } from '../support/needs.js';
import { freePort } from '../support/port.js';
import { SECRET } from '../support/receiver.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const README = readFileSync(join(ROOT, 'src/router/README.md'), 'utf8');

/** The first example in a language, verbatim. */
function example(language: string): string {
  const code = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(README)?.[1];
  if (code === undefined) throw new Error(`no example in ${language}`);
  return code;
}

const hasPython = needs(
  'Python 3',
  'apt-get install python3',
  () => spawnSync('python3', ['-c', '']).status === 0,
);
const needsPython = it.runIf(hasPython);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-router-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null) continue;
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
  }
});

/** Starts a router and waits until it listens. */
async function run(command: string, args: string[], secret: string, port: number): Promise<string> {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, WEBHOOK_SECRET: secret, PORT: String(port) },
    stdio: 'ignore',
  });
  children.push(child);
  const deadline = performance.now() + 15_000;
  while (!(await listens(port))) {
    if (performance.now() > deadline || child.exitCode !== null)
      throw new Error('the router does not listen');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return `http://127.0.0.1:${port}/route`;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

needsPython.each([SECRET, 'a secret in plain words'])(
  'the router in Python decides where calls go (%s)',
  { timeout: 40_000 },
  async (secret) => {
    const file = join(folder, 'router.py');
    const code = example('python');
    expect(code.trimEnd().split('\n').length).toBeLessThanOrEqual(30);
    writeFileSync(file, code);
    const router = await run('python3', [file], secret, await freePort());
    const joined: { room: string; user: { name?: string } }[] = [];
    const { url } = await startGateway({
      router: { url: router, secret },
      bridge: {
        name: 'noting',
        join: async (request) => {
          joined.push(request);
          return { write() {}, dtmf() {}, close() {} };
        },
        close: async () => {},
      },
    });
    const ask = async (more: Record<string, string>) =>
      (await postForm(url, '/twilio/voice', voiceParameters(more))).text();
    expect(await ask({ CallerName: 'ADA' })).toContain('<Connect><Stream');
    expect(joined[0]).toMatchObject({ room: 'default:support', user: { name: 'ADA' } });
    expect(await ask({ From: '+19005550000' })).toContain('<Say>We do not take this call.</Say><Hangup/>');

    // A gateway with a wrong secret is rejected.
    const { url: stranger } = await startGateway({ router: { url: router, secret: 'quite another secret' } });
    const answer = await (await postForm(stranger, '/twilio/voice', voiceParameters())).text();
    expect(answer).toContain('<Reject reason="busy"/>');
    expect((await fetch(router, { method: 'POST', body: '{}' })).status).toBe(401);
  },
);

it('the router in TypeScript decides where calls go', { timeout: 60_000 }, async () => {
  const port = await freePort();
  const file = join(folder, 'router.mts');
  const code = example('ts')
    .replace("'trunkline'", `'${new URL('../../dist/index.js', import.meta.url).href}'`)
    .replace('listen(4000)', `listen(${port}, '127.0.0.1')`);
  writeFileSync(file, code);
  const tsx = join(ROOT, 'node_modules/tsx/dist/cli.mjs');
  const router = await run(process.execPath, [tsx, file], SECRET, port);
  const { url } = await startGateway({ router: { url: router, secret: SECRET } });
  const ask = async (to: string) =>
    (await postForm(url, '/twilio/voice', voiceParameters({ To: to, Called: to }))).text();
  expect(await ask('+15550100')).toContain('<Connect><Stream');
  expect(await ask('+15550199')).toContain('<Reject reason="busy"/>');
  expect((await fetch(router, { method: 'POST', body: '{}' })).status).toBe(401);
});
