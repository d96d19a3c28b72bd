import { randomBytes } from 'node:crypto';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { type Clock, systemClock } from '../clock.js';

/** Twilio is more patient, but a caller is not. */
const TIMEOUT_MS = 10_000;
const MAX_BODY_BYTES = 64 * 1024;

export interface WireOptions {
  /** `host:port` to connect to in place of every public host, as with a name that is not in DNS yet. */
  readonly connect?: { readonly host: string; readonly port: number };
  /** PEM of an authority to trust besides the usual ones. */
  readonly ca?: string;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
}

export interface Question {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What came back. */
export interface ProbeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Code and text of an error in the gateway's own JSON; absent where somebody else answered. */
  readonly code?: string;
  readonly message?: string;
  /** Whether it is what a gateway's `/health` says. */
  readonly isHealth?: boolean;
  /** How long it took, and when it was there, by our clock. */
  readonly ms: number;
  readonly receivedAt: number;
}

/** What a TLS server shows. */
export interface ServerCertificate {
  /** Why it is not to be trusted; absent where it is. */
  readonly fault?: string;
  readonly names: string;
  readonly validTo: Date;
}

/**
 * Requests as Twilio sends them: no redirect is followed, each connection is new. What a certificate is worth is asked
 * by itself ({@link certificate}); all else goes on in spite of it, so that one run tells of every mistake.
 */
export class Wire {
  private readonly clock: Clock;

  constructor(private readonly options: WireOptions) {
    this.clock = options.clock ?? systemClock;
  }

  /** One that connects where a URL says. */
  get direct(): Wire {
    const { connect: _, ...direct } = this.options;
    return new Wire(direct);
  }

  /** Sends a request. Rejects with the system's error where nothing answers. */
  ask(url: string, { method = 'GET', headers = {}, body }: Question = {}): Promise<ProbeAnswer> {
    return this.send(url, method, headers, body);
  }

  /** Asks for a WebSocket; it is closed at once where it is granted (status 101). */
  upgrade(url: string, headers: Readonly<Record<string, string>>): Promise<ProbeAnswer> {
    return this.send(url.replace(/^ws/, 'http'), 'GET', {
      ...headers,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
    });
  }

  /** What the host of an https URL shows. Rejects where it speaks no TLS. */
  certificate(url: string): Promise<ServerCertificate> {
    const { hostname, port } = new URL(url);
    const { ca } = this.options;
    return this.clock.limited(
      TIMEOUT_MS,
      (signal) =>
        new Promise((resolve, reject) => {
          const socket = tls.connect({
            host: hostname.replace(/^\[|\]$/g, ''),
            port: Number(port || 443),
            ...this.options.connect,
            ...serverName(hostname),
            rejectUnauthorized: false,
            ...(ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }),
          });
          signal.addEventListener('abort', () => socket.destroy(late()));
          socket.on('error', reject);
          socket.on('secureConnect', () => {
            const { subjectaltname, subject, valid_to } = socket.getPeerCertificate();
            const fault = socket.authorizationError as Error | string | undefined | null;
            socket.destroy();
            resolve({
              ...(fault && { fault: typeof fault === 'string' ? fault : fault.message }),
              names: (subjectaltname ?? String(subject?.CN ?? 'nobody')).replaceAll(/DNS:|IP Address:/g, ''),
              validTo: new Date(valid_to),
            });
          });
        }),
    );
  }

  private send(
    url: string,
    method: string,
    headers: Readonly<Record<string, string>>,
    body?: string,
  ): Promise<ProbeAnswer> {
    const to = new URL(url);
    const { clock } = this;
    const started = clock.now();
    const isSecure = to.protocol === 'https:';
    const { connect } = this.options;
    return clock.limited(
      TIMEOUT_MS,
      (signal) =>
        new Promise((resolve, reject) => {
          const request = (isSecure ? https : http).request(to, {
            method,
            // Of a URL the host name goes before the host.
            ...(connect && { hostname: connect.host, port: connect.port }),
            ...(isSecure ? { ...serverName(to.hostname), rejectUnauthorized: false } : {}),
            agent: false,
            signal,
            headers: {
              host: to.host,
              'user-agent': 'TwilioProxy/1.1',
              accept: '*/*',
              ...headers,
              ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
            },
          });
          request.on('error', (error) => reject(error.name === 'AbortError' ? late() : error));
          request.on('upgrade', (response, socket) => {
            socket.destroy();
            resolve(answerOf(response, '', started, clock));
          });
          request.on('response', (response) => {
            let text = '';
            response.setEncoding('latin1').on('data', (chunk: string) => {
              text += chunk;
              if (text.length > MAX_BODY_BYTES) response.destroy(new Error('more than 64 KiB'));
            });
            response.on('error', reject);
            response.on('end', () => resolve(answerOf(response, text, started, clock)));
          });
          request.end(body);
        }),
    );
  }
}

function answerOf(response: IncomingMessage, text: string, started: number, clock: Clock): ProbeAnswer {
  const { statusCode = 0, headers } = response;
  const at = { ms: clock.now() - started, receivedAt: clock.date().getTime() };
  return { status: statusCode, headers, ...errorOf(text), ...at };
}

/** The gateway's own errors are JSON with a code that begins with `GW_`; its health tells of its core. */
function errorOf(text: string): Pick<ProbeAnswer, 'code' | 'message' | 'isHealth'> {
  try {
    const said = JSON.parse(text) as { transcoder?: unknown; error: { code: unknown; message: unknown } };
    if (said.transcoder !== undefined) return { isHealth: true };
    const { code, message } = said.error;
    return typeof code === 'string' && code.startsWith('GW_') ? { code, message: String(message) } : {};
  } catch {
    return {};
  }
}

/** No name is sent for an address. */
function serverName(hostname: string): { servername?: string } {
  const host = hostname.replace(/^\[|\]$/g, '');
  return net.isIP(host) ? {} : { servername: host };
}

function late(): Error {
  return Object.assign(new Error(`no answer within ${TIMEOUT_MS} ms`), { code: 'ETIMEDOUT' });
}

/** Why nothing answered, in words. */
export function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name is not in DNS';
    case 'ECONNREFUSED':
      return 'nobody listens there';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the connection was cut';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no way to it';
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'it speaks no TLS on that port';
    default:
      // An error for each address that was tried has no text of its own.
      return error instanceof AggregateError ? reasonOf(error.errors[0]) : message;
  }
}
