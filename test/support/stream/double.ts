import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { StreamApp } from './app.js';
import { CORS, Coordinator, readJson, sendJson } from './coordinator.js';
import { Faults } from './faults.js';
import { injectFault } from './remote-faults.js';
import { Sfu } from './sfu.js';
import { handleSfuRpc, isSfuRpc, type RpcCounts } from './sfu-rpc.js';
import { type DoubleState, stateOf } from './state.js';

export interface StreamDoubleOptions {
  /** Default: any that is free. */
  readonly port?: number;
  readonly apiKey?: string;
  readonly apiSecret?: string;
  /** Call types besides those that every app has. */
  readonly callTypes?: readonly string[];
  /** How long a client may take to reconnect after its socket broke; its participant stays 2 s longer. Default 10. */
  readonly fastReconnectSeconds?: number;
}

/**
 * A double of Stream: coordinator and SFU, on loopback, for the real clients. What they rely on is there, audio is
 * forwarded, and whatever may go wrong with the real one can be made to go wrong.
 */
export class StreamDouble extends Faults {
  private readonly server: http.Server;
  private readonly upgrades = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  private readonly rpcCounts: RpcCounts = new Map();

  private constructor(app: StreamApp, sfu: Sfu) {
    super(app, new Coordinator(app, sfu), sfu);
    this.server = http.createServer((request, response) => {
      this.handle(request, response).catch((error) => {
        console.error('stream double:', error);
        response.destroy();
      });
    });
    this.server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
  }

  static async start(options: StreamDoubleOptions = {}): Promise<StreamDouble> {
    const { port = 0, apiKey = 'double-key', apiSecret = 'double-secret' } = options;
    const app = new StreamApp(apiKey, apiSecret, options.callTypes);
    const double = new StreamDouble(app, new Sfu(app, options.fastReconnectSeconds ?? 10));
    double.server.listen(port, '127.0.0.1');
    await once(double.server, 'listening');
    double.sfu.origin = double.url;
    return double;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** What there is right now. */
  get state(): DoubleState {
    return stateOf(this.app, this.coordinator, this.sfu, this.rpcCounts);
  }

  /** Nothing of it is left: no socket, no connection, no timer. */
  async close(): Promise<void> {
    this.coordinator.sockets.drop();
    await this.sfu.close();
    this.upgrades.close();
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    if (request.method === 'OPTIONS') {
      response.writeHead(204, CORS).end();
    } else if (url.pathname === '/hint') {
      response.writeHead(200, { ...CORS, 'x-amz-cf-pop': 'LOC1-P1' }).end();
    } else if (isSfuRpc(url.pathname)) {
      await handleSfuRpc(this.sfu, this.coordinator.faults, request, response, url.pathname, this.rpcCounts);
    } else if (url.pathname === '/double/state') {
      sendJson(response, 200, this.state);
    } else if (url.pathname === '/double/faults') {
      await this.takeFault(request, response);
    } else {
      await this.coordinator.handle(request, response, url);
    }
  }

  /** The faults, for those who run the double in another process. */
  private async takeFault(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      injectFault(this, await readJson(request));
      sendJson(response, 200, {});
    } catch (error) {
      sendJson(response, 400, { error: String(error) });
    }
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(request.url ?? '/', this.url);
    const edge = /^\/sfu\/([^/]+)\/ws$/.exec(url.pathname)?.[1];
    if (this.coordinator.faults.isRefusing && edge === undefined) {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    if (edge === undefined && url.pathname !== '/video/connect') {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    this.upgrades.handleUpgrade(request, socket, head, (opened) => {
      if (edge === undefined) this.coordinator.acceptSocket(opened, url);
      else this.sfu.accept(opened, edge, url.searchParams.get('cid') ?? '');
    });
  }
}
