import { type IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { Socket as NetSocket } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import type { Timer } from '../../../clock.js';
import { BAD_FRAMING, badHandshake, isWellFramed } from '../framing.js';
import { guarded, refuse } from '../refusal.js';
import type { Head, PortOptions, SocketRoute } from '../transport.js';
import { NodeReply, NodeRequest, type Target, targetOf } from './reply.js';
import { NodeRoutes } from './routes.js';
import { NodeSocket, SWEEP_MS, type TcpConnection } from './socket.js';

/** A peer that does not answer a close frame within this time is dropped. */
const CLOSE_TIMEOUT_MS = 5_000;
/** Also the timeout for bodies that Node does not watch. */
const BODY_TIMEOUT_MS = 30_000;

/** The response to HTTP versions other than 1.1. */
const OLD_VERSION: Head = { status: 505, headers: [] };

export type FrontOptions = Pick<PortOptions, 'addRoutes' | 'clock' | 'log'>;

/** Serves the requests of one of Node's HTTP servers, the transport's own or the user's. */
export class NodeFront {
  private readonly routes = new NodeRoutes();
  private readonly doors = new Map<SocketRoute<unknown>, WebSocketServer>();
  private readonly sockets = new Set<NodeSocket>();
  /** Connections with a pending response. */
  private readonly asked = new WeakSet<Duplex>();
  private isClosed = false;
  private readonly sweeping: Timer;
  /** Loaded only if this transport is used. */
  private readonly ws = createRequire(import.meta.url)('ws') as typeof import('ws');

  constructor(private readonly options: FrontOptions) {
    options.addRoutes(this.routes);
    this.sweeping = options.clock.every(SWEEP_MS, () => {
      for (const socket of [...this.sockets]) socket.sweep();
    });
    this.sweeping.unref();
  }

  /** @param target path and query below the mount prefix */
  request(message: IncomingMessage, response: ServerResponse, target = targetOf(message.url ?? '/')): void {
    const { socket } = message;
    // Pipelined requests would have to be queued without limit. And for one behind a pending response of another
    // listener, Node reports neither its address nor its disconnect.
    if (this.asked.has(socket) || response.socket === null) {
      socket.destroy();
      return;
    }
    this.asked.add(socket);
    response.once('close', () => this.asked.delete(socket));
    const found = wantsSocket(message) ? this.routes.socketOf(target.path) : undefined;
    if (found === undefined) {
      this.handle(message, response, message, target);
      return;
    }
    // Without `Upgrade`, which a proxy has dropped, Node hands over no connection; the route reports it.
    const reply = new NodeReply(response, message, 0);
    const accept = () => refuse(reply, { status: 426, headers: [] });
    const request = new NodeRequest(message, target, found.parameters);
    guarded(() => found.leadsTo.upgrade(request, reply, accept), reply, this.options.log);
  }

  /**
   * A request with an `Upgrade`, of which Node hands over the connection.
   * @param onAccepted called when it has become a WebSocket
   */
  upgrade(
    message: IncomingMessage,
    connection: Duplex,
    head: Buffer,
    target = targetOf(message.url ?? '/'),
    onAccepted: () => void = () => {},
  ): void {
    const response = responseOver(message, connection);
    if (response === undefined) return;
    const found = wantsSocket(message) ? this.routes.socketOf(target.path) : undefined;
    if (found === undefined) {
      // An unsupported upgrade is an ordinary request, whose body has yet to be read.
      if (head.length > 0) connection.unshift(head);
      this.handle(message, response, this.bodyOf(message, connection), target);
      return;
    }
    const request = new NodeRequest(message, target, found.parameters);
    const reply = new NodeReply(response, message, 0);
    const refusal = message.httpVersion === '1.1' ? badHandshake(request) : OLD_VERSION;
    if (refusal !== undefined) {
      refuse(reply, refusal);
      return;
    }
    // A client that disconnects, or sends before it is accepted, is dropped. Reported at once: Node would do so only
    // after it may have been accepted.
    const cut = () => {
      connection.destroy();
      if (response.socket !== null) response.emit('close');
    };
    connection.on('data', cut).on('end', cut).on('error', cut);
    const route = found.leadsTo;
    const accept = (data: unknown, protocol = '') => {
      if (this.isClosed) cut();
      if (connection.destroyed) return;
      connection.off('data', cut).off('end', cut).off('error', cut);
      response.detachSocket(connection as NetSocket);
      this.door(route).handleUpgrade(asTaken(message, protocol), connection, head, (ws) => {
        onAccepted();
        this.open(ws, connection as TcpConnection, route, data);
      });
    };
    guarded(() => route.upgrade(request, reply, accept), reply, this.options.log);
    if (head.length > 0 && response.socket !== null) cut();
  }

  /** Whether a route other than the catch-all matches this path. */
  knows(path: string): boolean {
    return this.routes.knows(path);
  }

  /** Drops all WebSockets. */
  close(): void {
    this.isClosed = true;
    this.options.clock.cancel(this.sweeping);
    for (const socket of [...this.sockets]) socket.cut();
  }

  private open(ws: WebSocket, connection: TcpConnection, route: SocketRoute<unknown>, data: unknown): void {
    const socket = new NodeSocket(ws, connection, route, data, (closed) => this.sockets.delete(closed));
    this.sockets.add(socket);
    socket.opened();
  }

  private handle(message: IncomingMessage, response: ServerResponse, body: Readable, target: Target): void {
    const found = this.routes.handlerOf((message.method ?? '').toLowerCase(), target.path);
    if (found === undefined) {
      response.writeHead(404).end();
      return;
    }
    const length = message.headers['content-length'];
    const reply = new NodeReply(response, body, length === undefined ? undefined : Number(length));
    const request = new NodeRequest(message, target, found.parameters);
    if (message.httpVersion !== '1.1') refuse(reply, OLD_VERSION);
    else if (!isWellFramed(request)) refuse(reply, BAD_FRAMING);
    else guarded(() => found.leadsTo(request, reply), reply, this.options.log);
  }

  /** The body of a request whose connection Node has handed over, of a known length or none. */
  private bodyOf(message: IncomingMessage, connection: Duplex): Readable {
    let left = Number(message.headers['content-length'] ?? 0);
    if (left === 0) return Readable.from([]);
    const body = new Readable({
      read() {
        connection.resume();
      },
      destroy(error, done) {
        connection.off('data', take);
        done(error);
      },
    });
    const take = (chunk: Buffer) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (!body.push(part)) connection.pause();
      if (left === 0) body.push(null);
    };
    connection.on('data', take);
    const late = this.options.clock.after(BODY_TIMEOUT_MS, () => {
      if (left > 0) connection.destroy();
    });
    connection.once('close', () => this.options.clock.cancel(late));
    connection.pause();
    return body;
  }

  private door(route: SocketRoute<unknown>): WebSocketServer {
    const known = this.doors.get(route);
    if (known !== undefined) return known;
    const options = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: route.maxMessageBytes,
      // Not among its types yet.
      closeTimeout: CLOSE_TIMEOUT_MS,
    };
    const door = new this.ws.WebSocketServer(options);
    this.doors.set(route, door);
    return door;
  }
}

/** A handshake without any choice left to `ws`: everything it could reject or select is already decided. */
function asTaken(message: IncomingMessage, protocol: string): IncomingMessage {
  const { headers } = message;
  headers['sec-websocket-version'] = '13';
  if (protocol === '') delete headers['sec-websocket-protocol'];
  else headers['sec-websocket-protocol'] = protocol;
  return message;
}

/**
 * The response to a request whose connection Node has handed over; the connection ends with it. `undefined` if the request
 * arrived before the previous response, which is then dropped too.
 */
export function responseOver(message: IncomingMessage, connection: Duplex): ServerResponse | undefined {
  connection.on('error', () => {});
  const response = new ServerResponse(message);
  response.shouldKeepAlive = false;
  try {
    response.assignSocket(connection as NetSocket);
  } catch {
    // It belongs to another response.
    connection.destroy();
    return undefined;
  }
  response.once('finish', () => {
    if (response.socket !== null) response.detachSocket(connection as NetSocket);
    connection.end();
    if (connection.writableFinished) connection.destroy();
    else connection.once('finish', () => connection.destroy());
  });
  return response;
}

/** Whether a request asks for a WebSocket and no other protocol: Node 22 and later ask this. */
export function wantsSocket({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers['sec-websocket-key'] !== undefined;
}
