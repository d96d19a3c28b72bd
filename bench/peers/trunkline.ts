import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Account } from '../capacity/account.js';
import type { BenchCertificate } from '../capacity/bench-certificate.js';
import { type Peer, type RunningPeer, ServerProcess, tlsOf } from './peer.js';

const CLI = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
const POLL_MS = 20;
const CONTROL_API_KEY = 'bench-control-key';
const { publicUrl, twilio } = Account.gatewayOptions;
const ENVIRONMENT = {
  TWILIO_ACCOUNT_SID: twilio.accountSid,
  TWILIO_AUTH_TOKEN: twilio.authTokens.join(','),
  PUBLIC_URL: publicUrl,
  BRIDGE: 'local',
  LOG_LEVEL: 'silent',
  CONTROL_API_KEY,
  MAX_CALLS: '100000',
  // Above the gateway's own limits, because the bench looks for the point of failure.
  MAX_LOOP_DELAY_MS: '0',
  MAX_CPU_PERCENT: '0',
} as const;

/** `trunkline serve` as users start it: every webhook and upgrade signed and checked, every frame measured. */
export function trunkline(name: string, env: NodeJS.ProcessEnv = {}, certificate?: BenchCertificate): Peer {
  return { name, missing: () => undefined, start: (core) => serve(env, core, certificate) };
}

/** A gateway makes 200 recordings at a time. */
const MOST_RECORDED = 150;

/** The same, with every call recorded to a file. */
export function recording(name: string): Peer {
  return {
    name,
    mostCalls: MOST_RECORDED,
    missing: () => undefined,
    async start(core) {
      const folder = mkdtempSync(join(tmpdir(), 'trunkline-peers-'));
      const running = await serve({ RECORD_DIR: folder }, core);
      return {
        ...running,
        onConnected: () => recordAll(running.url),
        async stop() {
          await running.stop();
          rmSync(folder, { recursive: true });
        },
      };
    },
  };
}

async function serve(
  env: NodeJS.ProcessEnv,
  core?: number,
  certificate?: BenchCertificate,
): Promise<RunningPeer & { readonly url: string }> {
  const command = [process.execPath, CLI, 'serve'];
  const settings = { ...ENVIRONMENT, ...env, ...tlsOf(certificate) };
  const server = await ServerProcess.start({ command, env: settings }, core);
  const url = `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${server.port}`;
  if (env.WORKERS !== undefined) await serving(url, Number(env.WORKERS));
  const account = new Account(url, certificate && readFileSync(certificate.certFile, 'utf8'));
  return {
    url,
    pids: [server.pid],
    port: server.port,
    async order() {
      const answer = await account.place();
      if (answer === 'busy') throw new Error('Expected a stream but the gateway is busy');
      return answer;
    },
    stop: () => server.stop(),
  };
}

/** Waits until so many workers take calls. */
async function serving(gateway: string, count: number): Promise<void> {
  for (;;) {
    const { workers = [] } = (await (await fetch(`${gateway}/health`)).json()) as { workers?: object[] };
    if (workers.length >= count) return;
    await pause(POLL_MS);
  }
}

async function recordAll(gateway: string): Promise<void> {
  const headers = { authorization: `Bearer ${CONTROL_API_KEY}` };
  const answer = await fetch(`${gateway}/v1/calls`, { headers });
  const { calls } = (await answer.json()) as { calls: { callId: string }[] };
  for (const { callId } of calls) {
    const { status } = await fetch(`${gateway}/v1/calls/${callId}/recording`, { method: 'POST', headers });
    if (status !== 201) throw new Error(`Expected 201 for the recording of a call but received ${status}`);
  }
}
