import { Agent } from 'node:http';
import type { CallService } from '../src/calls/call-service.js';
import { table } from '../src/cli/table.js';
import { RequestAuthenticator } from '../src/http/request-authenticator.js';
import { errorBody, type RequestContext } from '../src/http/request-context.js';
import { TwilioRoutes } from '../src/http/twilio-routes.js';
import { Account } from './capacity/account.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { type Ask, cpuOf, median } from './refusal.js';
import { writeResult } from './result.js';

const ROUNDS = 7;
const REPEATS = 3_000;
const TOKENS = ['a', 'b', 'c'];
/** The most that a forged webhook may cost its route, in microseconds. */
const BAR_US = 300;
const PATH = '/p/twilio/voice';
/** The largest form that is read. */
const FORM_BYTES = 16 * 1024;
const PARAMETERS = 200;
/** Well-formed, but never signed. */
const FORGED = `${'A'.repeat(27)}=`;

export interface ForgedResult {
  readonly machine: Machine;
  readonly barUs: number;
  readonly rows: readonly {
    readonly name: string;
    /** Microseconds from the route's first look to the error's text, median; the body is here already. */
    readonly routeUs: number;
    /** Microseconds of the gateway's CPU for one request over HTTP, asked one by one: median of the rounds. */
    readonly cpuUs: number;
  }[];
}

/** The cost of unsigned webhooks of the most expensive shapes, for a gateway with a path prefix and three tokens. */
export async function benchForged(): Promise<void> {
  const at = machine();
  console.log(`\nWhat a forged webhook costs (${machineLine(at)})`);
  const cores = coresOf();
  if (cores !== undefined) pinSelf(cores.generator);
  const { publicUrl, twilio } = Account.gatewayOptions;
  const options = {
    publicUrl: `${publicUrl}/p`,
    twilio: { ...twilio, authTokens: TOKENS },
    ...{ port: 0, logLevel: 'silent' },
  };
  const gateway = startChild('capacity/gateway-process.mjs', options, cores?.gateway);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const asks = Object.entries(shapes(agent));
    const costs = new Map<string, number[]>(asks.map(([name]) => [name, []]));
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, ask] of asks) {
        const cpuUs = await cpuOf(gateway, url, () => ask);
        // The first is for the compiler.
        if (round > 0) costs.get(name)?.push(cpuUs);
      }
    }
    const rows: { name: string; routeUs: number; cpuUs: number }[] = [];
    for (const [name, ask] of asks) {
      rows.push({
        name,
        routeUs: await inRoute(ask, options.publicUrl),
        cpuUs: median(costs.get(name) ?? []),
      });
    }
    console.log(
      table(
        ['a forged webhook', 'µs in the route', 'µs of CPU over HTTP'],
        rows.map(({ name, routeUs, cpuUs }) => [
          name,
          routeUs.toFixed(0) + (routeUs > BAR_US ? ' (too much)' : ''),
          cpuUs.toFixed(0),
        ]),
      ),
    );
    writeResult('forged', { machine: at, barUs: BAR_US, rows } satisfies ForgedResult);
  } finally {
    agent.destroy();
    gateway.kill('SIGKILL');
  }
}

/** Microseconds, median of many: no socket, nothing but the route. */
async function inRoute({ path, body, signature }: Ask, publicUrl: string): Promise<number> {
  const routes = new TwilioRoutes(
    {} as CallService,
    new RequestAuthenticator({ publicUrl, authTokens: TOKENS, secure: false }),
  );
  const [before = '', query = ''] = path.split('?');
  const bytes = Buffer.from(body);
  const spent: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const exchange = {
      ...{ path: before, query, hasBareQuery: path.endsWith('?') },
      contentType: 'application/x-www-form-urlencoded',
      header: (name: string) => (name === 'x-twilio-signature' ? signature : ''),
      // The route decodes it where it is.
      bytes: async () => Buffer.from(bytes),
    };
    const begun = performance.now();
    await routes.voice(exchange as unknown as RequestContext).catch(errorBody);
    spent.push((performance.now() - begun) * 1_000);
  }
  return median(spent);
}

function shapes(agent: Agent): Readonly<Record<string, Ask>> {
  const ask = (body: string, more: Partial<Ask> = {}): Ask => ({
    ...{ path: PATH, signature: FORGED, agent, status: 403, says: 'GW_SIGNATURE_INVALID' },
    ...{ body, ...more },
  });
  const many = (piece: (i: number) => string, count = PARAMETERS) =>
    Array.from({ length: count }, (_, i) => piece((i * 7_919) % count)).join('&');
  const filled = (piece: (i: number) => string) =>
    many((i) => {
      const start = piece(i);
      return start + 'x'.repeat(Math.floor(FORM_BYTES / PARAMETERS) - 1 - start.length);
    });
  return {
    small: ask('CallSid=CA1&AccountSid=AC1&From=%2B12065550100'),
    'no signature': ask('a=1', { signature: '', says: 'GW_SIGNATURE_MISSING' }),
    'a query of ours': ask('a=1', { path: `${PATH}?again=${'1'.repeat(9)}` }),
    'a long query': ask('a=1', { path: `${PATH}?a=${'x'.repeat(2_000)}`, status: 404, says: 'GW_NOT_FOUND' }),
    'one long value': ask(`a=${'x'.repeat(FORM_BYTES - 2)}`),
    'all escapes': ask(`a=${'%41'.repeat((FORM_BYTES - 2) / 3)}`),
    'no UTF-8': ask(`a=${'%ff'.repeat((FORM_BYTES - 2) / 3)}`),
    'all parameters': ask(filled((i) => `SipHeader_X-${i}=`)),
    'all parameters, a query': ask(
      filled((i) => `SipHeader_X-${i}=`),
      { path: `${PATH}?again=1` },
    ),
    'all parameters, a bare "?"': ask(
      filled((i) => `SipHeader_X-${i}=`),
      { path: `${PATH}?` },
    ),
    'all parameters, escaped': ask(many((i) => `%C3%A4${i}=${'%C3%A4'.repeat(8)}`)),
    'all parameters of one name': ask(filled((i) => `a=${i}`)),
    'a parameter too many': ask(
      many((i) => `SipHeader_X-${i}=0123456789`, 499),
      { status: 413, says: 'GW_TOO_MANY_PARAMETERS' },
    ),
    'nothing but separators': ask('&'.repeat(FORM_BYTES)),
  };
}
