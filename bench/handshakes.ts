import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { table } from '../src/cli/table.js';
import { BenchCertificate } from './capacity/bench-certificate.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { type Machine, machine, machineLine } from './machine.js';
import { trunkline } from './peers/trunkline.js';
import { treeCpuMs } from './processor.js';
import { writeResult } from './result.js';

const ROUNDS = 5;
const HANDSHAKES = 500;
/** Until V8 has compiled what a connection needs. */
const WARM_UP = 200;
const KINDS = ['ECDSA', 'RSA'] as const;

export interface HandshakesRow {
  readonly certificate: (typeof KINDS)[number];
  /** Whether the client came with a ticket of an earlier connection. */
  readonly isResumed: boolean;
  /** CPU of the gateway, microseconds: the connection, its handshake and its end; the median of the rounds. */
  readonly us: number;
}

export interface HandshakesResult {
  readonly machine: Machine;
  readonly rows: readonly HandshakesRow[];
}

/** What a TLS connection costs the gateway before the first byte of its request, by the kind of the certificate. */
export async function benchHandshakes(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(`\nTLS handshakes, ${ROUNDS} rounds of ${HANDSHAKES} (${machineLine(at)})`);
  if (process.platform !== 'linux' || !BenchCertificate.isPossible()) {
    console.log('not measured: needs Linux and openssl');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const costs = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const certificate of KINDS) {
      for (const [name, cost] of await measure(certificate, cores?.gateway)) {
        costs.set(name, [...(costs.get(name) ?? []), cost]);
      }
    }
  }
  const rows = KINDS.flatMap((certificate) =>
    [false, true].map((isResumed): HandshakesRow => {
      const sorted = (costs.get(nameOf(certificate, isResumed)) ?? []).sort((a, b) => a - b);
      return { certificate, isResumed, us: sorted[sorted.length >> 1] ?? Number.NaN };
    }),
  );
  console.log(
    table(
      ['certificate', 'resumed', 'µs CPU of the gateway'],
      rows.map(({ certificate, isResumed, us }) => [certificate, isResumed ? 'yes' : 'no', us.toFixed(0)]),
    ),
  );
  const result: HandshakesResult = { machine: at, rows };
  writeResult('handshakes', result);
}

/** Of one gateway: microseconds by {@link nameOf}. */
async function measure(kind: HandshakesRow['certificate'], core?: number): Promise<[string, number][]> {
  const certificate = new BenchCertificate(kind);
  const server = await trunkline('', {}, certificate).start(core);
  try {
    const client = new Client(server.port, readFileSync(certificate.certFile, 'utf8'));
    await client.connectOften(WARM_UP, false);
    const costs: [string, number][] = [];
    for (const isResumed of [false, true]) {
      const before = usedMs(server.pids);
      await client.connectOften(HANDSHAKES, isResumed);
      costs.push([nameOf(kind, isResumed), ((usedMs(server.pids) - before) * 1_000) / HANDSHAKES]);
    }
    return costs;
  } finally {
    await server.stop();
    certificate.remove();
  }
}

const nameOf = (kind: string, isResumed: boolean) => `${kind} ${isResumed}`;
const usedMs = (pids: readonly number[]) => pids.reduce((total, pid) => total + treeCpuMs(pid), 0);

/** Connects and leaves, once after the other. */
class Client {
  private ticket: Buffer | undefined;

  constructor(
    private readonly port: number,
    private readonly ca: string,
  ) {}

  /** @throws Error where a server takes no ticket */
  async connectOften(times: number, isResumed: boolean): Promise<void> {
    if (isResumed) this.ticket ??= await this.firstTicket();
    for (let i = 0; i < times; i++) {
      const socket = this.open(isResumed ? this.ticket : undefined);
      await once(socket, 'secureConnect');
      const wasResumed = socket.isSessionReused();
      socket.destroy();
      if (wasResumed !== isResumed)
        throw new Error(`Expected resumed to be ${isResumed} but it was ${wasResumed}`);
    }
  }

  /** uWebSockets.js sends it with its first answer. */
  private async firstTicket(): Promise<Buffer> {
    const socket = this.open();
    socket.write('GET /health HTTP/1.1\r\nhost: gateway.invalid\r\n\r\n');
    const [ticket] = (await once(socket, 'session')) as [Buffer];
    socket.destroy();
    return ticket;
  }

  private open(session?: Buffer): TLSSocket {
    const { port, ca } = this;
    const trust = { ca, servername: 'gateway.invalid' };
    return connect({ host: '127.0.0.1', port, ...trust, ...(session === undefined ? {} : { session }) });
  }
}
