import { randomBytes } from 'node:crypto';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { type Clock, systemClock } from '../clock.js';

/** Twilio waits longer, but callers do not. */
const TIMEOUT_MS = 10_000;
const MAX_BODY_BYTES = 64 * 1024;

export interface WireOptions {
  /** `host:port` to connect to instead of every public host, e.g. before its name is in DNS. */
  readonly connect?: { readonly host: string; readonly port: number };
  /** PEM of an additional trusted authority. */
  readonly ca?: string;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
}

export interface Question {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A response. */
export interface ProbeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Code and message of a gateway's JSON error; absent if something else answered. */
  readonly code?: string;
  readonly message?: string;
  /** Whether it is a gateway's `/health`. */
  readonly isHealth?: boolean;
  /** How long it took in milliseconds, and when it arrived by our clock. */
  readonly ms: number;
  readonly receivedAt: number;
}

/** The certificate of a TLS server. */
export interface ServerCertificate {
  /** Why it is not trusted; absent if it is. */
  readonly fault?: string;
  readonly names: string;
  readonly validTo: Date;
}

/**
 * Sends requests like Twilio: without following redirects, each on a new connection. Certificates are only
 * checked by {@link certificate}; other requests ignore their faults, so that one run reports every mistake.
 */
export class Wire {
  private readonly clock: Clock;

  constructor(private readonly options: WireOptions) {
    this.clock = options.clock ?? systemClock;
  }

  /** A copy that connects to the URL's own host. */
  get direct(): Wire {
    const { connect: _, ...direct } = this.options;
    return new Wire(direct);
  }

  /** Sends a request. Rejects with the system's error if nothing answers. */
  ask(url: string, { method = 'GET', headers = {}, body }: Question = {}): Promise<ProbeAnswer> {
    return this.send(url, method, headers, body);
  }

  /** Requests a WebSocket; closes it at once if it is accepted (status 101). */
  upgrade(url: string, headers: Readonly<Record<string, string>>): Promise<ProbeAnswer> {
    return this.send(url.replace(/^ws/, 'http'), 'GET', {
      ...headers,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
    });
  }

  /** Returns the certificate of an https URL's host. Rejects without TLS. */
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
            // The hostname option takes precedence over host.
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

/** The gateway's errors are JSON with a code that starts with `GW_`; its health names its core. */
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

/** TLS sends no server name for an IP address. */
function serverName(hostname: string): { servername?: string } {
  const host = hostname.replace(/^\[|\]$/g, '');
  return net.isIP(host) ? {} : { servername: host };
}

function late(): Error {
  return Object.assign(new Error(`no answer within ${TIMEOUT_MS} ms`), { code: 'ETIMEDOUT' });
}

/** Why there was no answer, in words. */
export function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name is not in DNS';
    case 'ECONNREFUSED':
      return 'nothing listens there';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the connection was closed';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no route to it';
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'it speaks no TLS on that port';
    default:
      // An error with one cause per address has no message.
      return error instanceof AggregateError ? reasonOf(error.errors[0]) : message;
  }
}
