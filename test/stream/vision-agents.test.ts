import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { freePort } from '../support/port.js';
import { snippets } from '../support/snippets.js';
import { Agent } from '../support/stream/agent.js';
import { StreamDouble } from '../support/stream/double.js';
import { agentLevel, callPhone, heardBy, LEVEL, phoneLevel } from '../support/stream-call.js';
import { eventually } from '../support/time.js';

/** As an agent server of Vision Agents: `POST /calls/{id}/sessions` starts an agent that joins this call. */
async function startAgents(double: StreamDouble) {
  const agents: Agent[] = [];
  const bodies: unknown[] = [];
  const server = createServer(async (request, response) => {
    const [, id] = /^\/calls\/([\w-]+)\/sessions$/.exec(request.url ?? '') ?? [];
    bodies.push(JSON.parse(await text(request)));
    if (id === undefined || request.method !== 'POST') return void response.writeHead(404).end();
    const agent = await Agent.join({ double, callId: id, userId: 'agent' });
    agent.play(1_700, LEVEL);
    agents.push(agent);
    response.writeHead(201, { 'content-type': 'application/json' }).end('{}');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { agents, bodies, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Runs the page's gateway against the double. */
async function startPage(double: StreamDouble, agentsUrl: string): Promise<[ChildProcess, url: string]> {
  const [code = ''] = snippets('docs/vision-agents.md', 'ts');
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-vision-'));
  const file = join(folder, 'gateway.mts');
  const entry = new URL('../../dist/index.js', import.meta.url).href;
  writeFileSync(file, code.replace("'trunkline'", `'${entry}'`).replace('http://127.0.0.1:8000', agentsUrl));
  const port = await freePort();
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: join(import.meta.dirname, '../..'),
    env: {
      PATH: process.env.PATH,
      TWILIO_ACCOUNT_SID: ACCOUNT_SID,
      TWILIO_AUTH_TOKEN: AUTH_TOKEN,
      PUBLIC_URL,
      PORT: String(port),
      STREAM_API_KEY: double.apiKey,
      STREAM_API_SECRET: double.apiSecret,
      STREAM_BASE_URL: double.url,
      // The page's `STREAM_CONTROL`.
      STREAM_CONTROL: 'user:agent',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += chunk));
  try {
    await eventually('the gateway', () => said.includes('"msg":"listening"'), 60_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
  return [child, `http://127.0.0.1:${port}`];
}

it('an agent that the gateway starts as the page says meets the phone in its call, greets when told, and hangs up', {
  timeout: 180_000,
}, async () => {
  const double = await StreamDouble.start();
  const { agents, bodies, server, url: agentsUrl } = await startAgents(double);
  const [gateway, url] = await startPage(double, agentsUrl);
  try {
    const phone = callPhone(url, 1_000);
    const over = once(phone, 'end');
    await eventually('an agent', () => agents.length === 1, 30_000);
    const [agent] = agents as [Agent];
    expect(bodies).toEqual([{ call_type: 'default' }]);
    const told = (type: string) => agent.events.find(({ custom }) => custom.type === type);
    await eventually('phone.answered', () => told('phone.answered') !== undefined, 30_000);
    expect(told('phone.answered')?.userId).toMatch(/^phone-[0-9a-f-]{36}$/);
    await heardBy('the agent', () => agentLevel(agent, 1_000));
    await heardBy('the phone', () => phoneLevel(phone, 1_700));
    phone.dtmf('0');
    await eventually('the key', () => told('phone.digit') !== undefined, 30_000);
    await agent.sendEvent({ type: 'phone.hangup', phone: told('phone.digit')?.custom.phone });
    expect(await over).toMatchObject([{ status: 'completed' }]);
  } finally {
    gateway.kill();
    for (const agent of agents) await agent.leave();
    server.close();
    await double.close();
  }
});
