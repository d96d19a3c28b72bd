import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { expected, GatewayError } from '../errors.js';
import { LEG_PROTOCOL, MAX_MESSAGE_BYTES } from '../legs/leg-messages.js';
import { secretsOf, verifyWebhook } from '../webhooks/signature.js';
import type { AgentHandler } from './agent-call.js';
import { CALL_HEADER } from './call-header.js';
import { callOn } from './call-socket.js';

/** Where an agent listens, and whose calls it takes. */
export interface AgentServerOptions {
  /** Default 0: a free one. */
  readonly port?: number;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string;
  /** Path of the agent; default any. */
  readonly path?: string;
  /** The gateway's `WEBHOOK_SECRET`, one or several: calls that none of them signed are refused. Default: anybody may call. */
  readonly secret?: string | readonly string[] | undefined;
  /** Calls at a time; further ones are refused with 503. Default 1,000. */
  readonly maxCalls?: number;
  /** What a handler threw or rejected with; default: a process warning. The call is then dialled anew. */
  readonly onError?: (error: unknown) => void;
}

/** A running agent. */
export interface AgentServer {
  /** What gateways dial: `ws://…`. */
  readonly url: string;
  readonly port: number;
  /** Calls that are connected. */
  readonly calls: number;
  /** Takes no more calls, closes those that are connected with 1001, and frees the port. */
  close(): Promise<void>;
}

/**
 * Runs an agent that gateways dial: `trunkline serve --agent ws://…`. Without TLS: put a proxy in front, or keep it on a private
 * network.
 * @param handler gets every call; a promise of it that rejects closes the connection with 1011
 * @throws TypeError for invalid options; what `listen` throws, such as `EADDRINUSE`
 */
export async function serveAgent(options: AgentServerOptions, handler: AgentHandler): Promise<AgentServer> {
  const { port = 0, host = '127.0.0.1', path, maxCalls = 1_000, secret } = options;
  if (typeof handler !== 'function') throw expected('a function', 'handler', handler);
  const secrets = secret === undefined ? [] : secretsOf(secret, 'secret');
  const onError = options.onError ?? ((error: unknown) => process.emitWarning(String(error)));
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => offered.has(LEG_PROTOCOL) && LEG_PROTOCOL,
  });
  const http = createServer((_, response) => {
    response
      .writeHead(426, { connection: 'close', 'content-type': 'text/plain' })
      .end('Expected a WebSocket\n');
  });
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const status = refusalOf(request);
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      callOn(accepted)
        .then(async (call) => {
          try {
            await handler(call);
          } catch (error) {
            call.close(1011, 'internal error');
            throw error;
          }
        })
        .catch(onError);
    });
  });
  const refusalOf = ({ url = '', headers }: IncomingMessage): string | undefined => {
    if (path !== undefined && url.split('?')[0] !== path) return '404 Not Found';
    if (secrets.length > 0 && !secrets.some((each) => isSigned(headers, each))) return '401 Unauthorized';
    return sockets.clients.size >= maxCalls ? '503 Service Unavailable' : undefined;
  };
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, host, resolve);
  });
  const address = http.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `ws://${name}:${address.port}${path ?? ''}`,
    port: address.port,
    get calls() {
      return sockets.clients.size;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets.clients) socket.close(1001, 'going away');
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}

/** Whether a secret signed the facts of an upgrade request. */
function isSigned(headers: IncomingMessage['headers'], secret: string): boolean {
  const header = (name: string) => [headers[name]].flat()[0];
  try {
    verifyWebhook(header, header(CALL_HEADER) ?? '', secret);
    return true;
  } catch (error) {
    if (error instanceof GatewayError) return false;
    throw error;
  }
}
