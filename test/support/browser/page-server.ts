import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { WebSocketServer } from 'ws';
import { Page } from './page.js';

const HTML = '<!doctype html><meta charset="utf-8"><title>Trunkline</title><script src="/page.js"></script>';

/** Serves the page to browsers, and connects to each opened page. */
export class PageServer {
  private readonly server: http.Server;
  private readonly sockets: WebSocketServer;
  private readonly opened = new EventEmitter<Record<string, [page: Page]>>();

  private constructor(script: Uint8Array) {
    this.server = http.createServer((request, response) => {
      const isScript = request.url === '/page.js';
      response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' });
      response.end(isScript ? script : HTML);
    });
    this.sockets = new WebSocketServer({ server: this.server });
    this.sockets.on('connection', (socket, { url = '' }) => this.opened.emit(url, new Page(socket)));
  }

  static async start(): Promise<PageServer> {
    const bundle = await build({
      entryPoints: [fileURLToPath(new URL('page.mjs', import.meta.url))],
      bundle: true,
      write: false,
      format: 'iife',
      platform: 'browser',
      target: 'chrome110',
      legalComments: 'none',
      logLevel: 'error',
    });
    const server = new PageServer(bundle.outputFiles[0]?.contents as Uint8Array);
    server.server.listen(0, '127.0.0.1');
    await once(server.server, 'listening');
    return server;
  }

  urlOf(name: string): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/${name}`;
  }

  /** The page of this name, once a browser has opened it. */
  async page(name: string, timeoutMs: number): Promise<Page> {
    const [page] = (await once(this.opened, `/${name}`, { signal: AbortSignal.timeout(timeoutMs) })) as [
      Page,
    ];
    return page;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets.clients) socket.terminate();
    this.sockets.close();
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
