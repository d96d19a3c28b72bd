import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import { type CertificateText, readCertificate } from '../certificate.js';
import { badHandshake } from '../handshake.js';
import {
  type Certificate,
  IDLE_SECONDS,
  MAX_UNSENT_BYTES,
  type Method,
  type Reply,
  type Request,
  type Routes,
  type SocketRoute,
} from '../transport.js';
import type { Uws } from './load.js';
import type { LobbyRoom } from './lobby.js';
import { UwsReply, UwsRequest } from './reply.js';
import { type SocketData, UwsSocket } from './socket.js';
import type { UpgradeCork } from './upgrade-cork.js';

/** What uWebSockets.js offers and its types leave out. */
interface FullApp {
  /** Hands new connections on to other apps, to each in turn, in place of taking them itself. */
  addChildAppDescriptor(descriptor: unknown): void;
  removeChildAppDescriptor(descriptor: unknown): void;
  getDescriptor(): unknown;
  listen(
    host: string,
    port: number,
    options: number,
    callback: (listener: us_listen_socket | false) => void,
  ): void;
}

const NOTHING = new Uint8Array(0);

/** One app of uWebSockets.js, with all routes of its port. */
export class Hall implements LobbyRoom, Routes {
  connections = 0;
  hasSockets = false;
  /** What the certificate's files held. */
  readonly certificate: CertificateText | undefined;
  private readonly app: TemplatedApp;

  /** @throws GatewayError `GW_TLS_FILE` */
  constructor(
    uws: Uws,
    readonly tls: Certificate | undefined,
    private readonly cork: UpgradeCork,
    onEntered: (hall: Hall) => void,
  ) {
    this.certificate = tls && readCertificate(tls);
    this.app =
      tls === undefined
        ? uws.App()
        : uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
    // One that becomes a WebSocket does not count as gone.
    const count = (change: number) => {
      this.connections += change;
      if (change > 0) onEntered(this);
    };
    this.app.filter((_, change) => count(Number(change)));
  }

  get full(): FullApp {
    return this.app as unknown as FullApp;
  }

  clear(): void {
    this.app.close();
  }

  on(method: Method | 'any', path: string, handler: (request: Request, reply: Reply) => void): void {
    this.app[method](path, (response, request) => {
      handler(new UwsRequest(request), new UwsReply(response, request.getMethod() === 'head'));
    });
  }

  socket<T>(path: string, route: SocketRoute<T>): void {
    this.app.ws<SocketData<T>>(path, {
      maxPayloadLength: route.maxMessageBytes,
      maxBackpressure: MAX_UNSENT_BYTES,
      closeOnBackpressureLimit: true,
      idleTimeout: IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => {
        const reply = new UwsReply(response, false);
        const refusal = badHandshake(new UwsRequest(request));
        if (refusal !== undefined) {
          reply.answer(refusal, NOTHING, true, () => {});
          return;
        }
        const key = request.getHeader('sec-websocket-key');
        const extensions = request.getHeader('sec-websocket-extensions');
        const accept = (data: T, protocol = '') => {
          this.cork.run(() =>
            response.upgrade({ data, socket: undefined }, key, protocol, extensions, context),
          );
        };
        route.upgrade(new UwsRequest(request), reply, accept);
      },
      open: (ws) => {
        this.hasSockets = true;
        const kept = ws.getUserData();
        kept.socket = new UwsSocket(ws);
        route.open(kept.data, kept.socket);
      },
      message: (ws, message, isBinary) => route.message(ws.getUserData().data, message, isBinary),
      drain: (ws) => route.drained(ws.getUserData().data),
      close: (ws, code) => {
        const { data, socket } = ws.getUserData();
        if (socket !== undefined) socket.isOpen = false;
        route.closed(data, code);
      },
    });
  }
}
