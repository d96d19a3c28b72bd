import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import type { Logger } from '../../../telemetry/log.js';
import { type CertificateText, readCertificate } from '../certificate.js';
import { BAD_FRAMING, badHandshake, isWellFramed } from '../framing.js';
import { guarded, refuse } from '../refusal.js';
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

/** Parts of uWebSockets.js that its types leave out. */
interface FullApp {
  /** Forwards new connections to other apps, in turn, instead of accepting them itself. */
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

/** One app of uWebSockets.js, with all routes of its port. */
export class Hall implements LobbyRoom, Routes {
  connections = 0;
  hasSockets = false;
  /** Contents of the certificate's files. */
  readonly certificate: CertificateText | undefined;
  private readonly app: TemplatedApp;

  /** @throws GatewayError `GW_TLS_FILE` */
  constructor(
    uws: Uws,
    readonly tls: Certificate | undefined,
    private readonly cork: UpgradeCork,
    private readonly log: Logger,
    onEntered: (hall: Hall) => void,
  ) {
    this.certificate = tls && readCertificate(tls);
    this.app =
      tls === undefined
        ? uws.App()
        : uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
    // Becoming a WebSocket does not count as a disconnect.
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
      const asked = new UwsRequest(request);
      const reply = new UwsReply(response, request.getMethod() === 'head');
      if (isWellFramed(asked)) guarded(() => handler(asked, reply), reply, this.log);
      else refuse(reply, BAD_FRAMING);
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
        const asked = new UwsRequest(request);
        const refusal = badHandshake(asked);
        if (refusal !== undefined) {
          refuse(reply, refusal);
          return;
        }
        const key = request.getHeader('sec-websocket-key');
        const extensions = request.getHeader('sec-websocket-extensions');
        const accept = (data: T, protocol = '') => {
          this.cork.run(() =>
            response.upgrade({ data, socket: undefined }, key, protocol, extensions, context),
          );
        };
        guarded(() => route.upgrade(asked, reply, accept), reply, this.log);
      },
      open: (ws) => {
        this.hasSockets = true;
        const kept = ws.getUserData();
        kept.socket = new UwsSocket(ws);
        try {
          route.open(kept.data, kept.socket);
        } catch (error) {
          route.failed(kept.data, error);
        }
      },
      message: (ws, message, isBinary) => {
        const { data } = ws.getUserData();
        try {
          route.message(data, message, isBinary);
        } catch (error) {
          route.failed(data, error);
        }
      },
      // It drops pongs that do not fit, and continues to read.
      ping: (ws) => {
        if (ws.getBufferedAmount() >= MAX_UNSENT_BYTES) ws.close();
      },
      drain: (ws) => {
        const { data } = ws.getUserData();
        try {
          route.drained(data);
        } catch (error) {
          route.failed(data, error);
        }
      },
      close: (ws, code) => {
        const { data, socket } = ws.getUserData();
        if (socket !== undefined) socket.isOpen = false;
        try {
          route.closed(data, code);
        } catch (error) {
          route.failed(data, error);
        }
      },
    });
  }
}
