import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a stranger sends. */
export interface Attack {
  readonly name: string;
  /** One request. */
  readonly piece: string;
  /** So many of them in one go. */
  readonly times: number;
  /** Whether it reads responses. */
  readonly reads: boolean;
  /** Whether it sends more when it has an answer, on a connection that is kept. */
  readonly waits?: boolean;
  /** So many bytes behind it. */
  readonly bodyBytes?: number;
}

/** What an attacker did so far. */
export interface AttackCounts {
  readonly connections: number;
  readonly answers: number;
  readonly sentBytes: number;
}

const HOST = 'voice.example.com';
const FORGED = `${'A'.repeat(27)}=`;

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n${headers}\r\n`;

function webhook(path: string, body: string): string {
  return (
    `POST ${path} HTTP/1.1\r\nhost: ${HOST}\r\nx-twilio-signature: ${FORGED}\r\n` +
    `content-type: application/x-www-form-urlencoded\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  );
}

const SMALL = 'CallSid=CA00000000000000000000000000000000&From=%2B15551234567&To=%2B15557654321';
const LARGE = Array.from({ length: 499 }, (_, i) => `p${(i * 7919) % 499}=${i}`).join('&');
const UPGRADE =
  'upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** Some 5,000 requests in 170 KB and the like: what a stranger can send without any key. */
export const ATTACKS: readonly Attack[] = [
  { name: 'pipelined /metrics', piece: get('/metrics'), times: 5_000, reads: true },
  { name: '/metrics, one after the other', piece: get('/metrics'), times: 1, reads: true, waits: true },
  { name: 'pipelined 404s', piece: get('/none'), times: 10_000, reads: true },
  { name: '404s, a connection each', piece: get('/none'), times: 1, reads: true },
  { name: 'page files that nobody reads', piece: get('/dashboard/app.js'), times: 60_000, reads: false },
  { name: 'figures that nobody reads', piece: get('/metrics'), times: 1, reads: false, waits: true },
  { name: 'forged webhooks', piece: webhook('/twilio/voice', SMALL), times: 1_000, reads: true },
  { name: 'forged, 499 parameters', piece: webhook('/twilio/voice', LARGE), times: 30, reads: true },
  {
    name: 'forged, 499 parameters and a query',
    piece: webhook('/twilio/status?callId=abc', LARGE),
    times: 30,
    reads: true,
  },
  {
    name: 'forged, with prefix and query',
    piece: webhook('/edge/twilio/status?callId=abc', LARGE),
    times: 30,
    reads: true,
  },
  {
    name: 'forged media sockets',
    piece: get(`/twilio/media/call/token`, `${UPGRADE}x-twilio-signature: ${FORGED}\r\n`),
    times: 1_000,
    reads: true,
  },
  { name: 'control without its key', piece: get('/v1/calls'), times: 1_000, reads: true },
  { name: 'raw legs without a key', piece: get('/v1/rooms/desk/leg', UPGRADE), times: 1_000, reads: true },
  {
    name: 'uploads that nobody wants',
    piece: `POST /none HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 100000000000\r\n\r\n`,
    times: 1,
    bodyBytes: 50_000_000,
    reads: true,
  },
  { name: 'half a request', piece: 'GET /metrics HTTP/1.1\r\nhost: ', times: 1, reads: true },
];

/** Somebody who attacks from its own process. */
export class Attacker {
  private constructor(private readonly child: ChildProcess) {}

  /** @param prefix a command that starts the process, e.g. on its own core */
  static async start(
    url: string,
    { name: _, ...attack }: Attack,
    connections: number,
    prefix: readonly string[] = [],
  ): Promise<Attacker> {
    const script = fileURLToPath(new URL('attacker-child.mjs', import.meta.url));
    const options = JSON.stringify({ port: Number(new URL(url).port), connections, ...attack });
    const [command = '', ...args] = [...prefix, process.execPath, script, options];
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(child, 'message');
    return new Attacker(child);
  }

  async counts(): Promise<AttackCounts> {
    this.child.send('counts');
    const [counts] = (await once(this.child, 'message')) as [AttackCounts];
    return counts;
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}
