import { Agent, request } from 'node:http';
import { table } from '../src/cli/table.js';
import { newSid, signatureOf, webhookParameters } from '../src/simulator/index.js';
import { Account } from './capacity/account.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { answerOf, startChild } from './child.js';
import type { GatewayReport } from './gateway-process.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const REQUESTS = 1_000;
const ROUNDS = 7;

export interface RefusalResult {
  readonly machine: Machine;
  /** Microseconds of the gateway's CPU for one request, medians of the rounds. */
  readonly rows: readonly { readonly name: string; readonly cpuUs: number }[];
}

/** A webhook, and what must be answered. */
export interface Ask {
  readonly path: string;
  readonly body: string;
  readonly signature: string;
  readonly agent: Agent;
  readonly status: number;
  /** Text that the answer must have in it. */
  readonly says: string;
}

/** What a full gateway pays for callers that it turns away, each kind in turn. */
export async function benchRefusal(): Promise<void> {
  const at = machine();
  console.log(`\nWhat a refusal costs a full gateway (${machineLine(at)})`);
  const cores = coresOf();
  if (cores !== undefined) pinSelf(cores.generator);
  const options = { ...Account.gatewayOptions, port: 0, maxCalls: 1, logLevel: 'silent' };
  const gateway = startChild('capacity/gateway-process.mjs', options, cores?.gateway);
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const single = new Agent({ keepAlive: false });
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const first = new Account(url);
    if ((await first.place()) === 'busy')
      throw new Error('Expected the first call to be taken but received busy');
    const known = { ...webhook(kept), says: 'Reject' };
    const kinds: Readonly<Record<string, () => Ask>> = {
      'unknown route, for comparison': () => ({ ...webhook(kept), path: '/none', status: 404, says: 'GW_' }),
      'refused, one connection': () => webhook(kept),
      'refused, a connection each': () => webhook(single),
      'refused, the same call again': () => known,
      'forged signature': () => ({
        ...webhook(kept),
        signature: `${'A'.repeat(27)}=`,
        status: 403,
        says: 'GW_SIGNATURE_INVALID',
      }),
    };
    const costs = new Map<string, number[]>(Object.keys(kinds).map((name) => [name, []]));
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, make] of Object.entries(kinds)) {
        const cpuUs = await cpuOf(gateway, url, make);
        // The first is for the compiler.
        if (round > 0) costs.get(name)?.push(cpuUs);
      }
    }
    const rows = [...costs].map(([name, of]) => ({ name, cpuUs: median(of) }));
    console.log(
      table(
        ['a request', 'µs of CPU'],
        rows.map(({ name, cpuUs }) => [name, cpuUs.toFixed(0)]),
      ),
    );
    writeResult('refusal', { machine: at, rows } satisfies RefusalResult);
  } finally {
    kept.destroy();
    single.destroy();
    gateway.kill('SIGKILL');
  }
}

/** Microseconds of the gateway's CPU a request. */
export async function cpuOf(
  gateway: ReturnType<typeof startChild>,
  url: string,
  make: () => Ask,
): Promise<number> {
  const cpuMs = async () => {
    const answer = answerOf<GatewayReport>(gateway);
    gateway.send('report');
    return (await answer).cpuMs;
  };
  const asks = Array.from({ length: REQUESTS }, make);
  const before = await cpuMs();
  for (const ask of asks) await send(url, ask);
  return (((await cpuMs()) - before) * 1_000) / REQUESTS;
}

/** Another caller's webhook, rightly signed. */
function webhook(agent: Agent): Ask {
  const { accountSid, authToken, webhookUrl } = new Account('').phoneOptions;
  const call = {
    callSid: newSid('CA'),
    accountSid,
    from: '+12065550100',
    to: '+14155550123',
    direction: 'inbound',
  } as const;
  const parameters = webhookParameters(call, 'ringing');
  return {
    path: new URL(webhookUrl).pathname,
    body: new URLSearchParams(parameters).toString(),
    signature: signatureOf(authToken, webhookUrl, parameters),
    agent,
    status: 200,
    says: '<Reject reason="busy"/>',
  };
}

/** @throws Error for another answer than is expected */
function send(url: string, { path, body, signature, agent, status, says }: Ask): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': body.length,
      'x-twilio-signature': signature,
    };
    const asked = request(new URL(path, url), { method: 'POST', agent, headers }, async (answer) => {
      const text = (await answer.setEncoding('utf8').toArray()).join('');
      if (answer.statusCode === status && text.includes(says)) resolve();
      else reject(new Error(`Expected ${status} with ${says} but received ${answer.statusCode} ${text}`));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
