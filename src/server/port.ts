import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Room } from './lobby.js';
import { uWS } from './uws.js';

/** Files of a certificate and its key. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

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
const EXCLUSIVE = (uWS as unknown as { LIBUS_LISTEN_EXCLUSIVE_PORT: number }).LIBUS_LISTEN_EXCLUSIVE_PORT;
const SHARED = 0;

/** A turn of the event loop that is no longer leaves hardly anybody waiting to be accepted. */
const QUIET_MS = 0.05;
/** So many turns are looked at for a quiet one. */
const TURNS = 1_000;

/** A port, the uWebSockets.js application behind it, and its certificate. */
export class Port implements Room {
  readonly app: TemplatedApp;
  connections = 0;
  hasSockets = false;
  /** Told of each connection that came here. */
  onConnection: () => void = () => {};
  private readonly certificate: string;
  /** Which had other certificates, one after the other. */
  private readonly successors: Port[] = [];
  /** Who takes new connections. */
  private taker: Port = this;
  private listener: us_listen_socket | undefined;

  /**
   * @param tls absent: http and ws
   * @throws GatewayError `GW_TLS_FILE`
   */
  constructor(
    tls: Certificate | undefined,
    private readonly clock: Clock,
  ) {
    this.certificate = tls === undefined ? '' : certificateOf(tls);
    this.app = tls === undefined ? uWS.App() : secureApp(tls);
    this.app.filter((_, change) => this.count(Number(change)));
    this.noteSockets();
  }

  /**
   * Begins to listen; answers the port, which is another one where 0 was asked for.
   * @param isShared whether other processes of this host may listen on it as well
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  listen(host: string, port: number, isShared: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.fullApp.listen(host, port, isShared ? SHARED : EXCLUSIVE, (listener) => {
        if (listener) {
          this.listener = listener;
          resolve(uWS.us_socket_local_port(listener));
        } else {
          const message = `Expected a free address to listen on but received ${host}:${port}, which is taken or not ours`;
          reject(new GatewayError('GW_LISTEN_FAILED', message));
        }
      });
    });
  }

  /** Whether the files hold another certificate or key than new connections get. @throws GatewayError `GW_TLS_FILE` */
  isOutdatedBy(tls: Certificate): boolean {
    return certificateOf(tls) !== this.latest.certificate;
  }

  /**
   * New connections are another one's from now on, with another certificate; this one listens for it and keeps those it
   * has. So nobody is refused meanwhile, whatever name they ask for.
   */
  handOn(next: Port): void {
    const isDirected = this.taker !== this.latest;
    this.successors.push(next);
    if (!isDirected) this.direct();
  }

  /** Has new connections come to another one; default: to that with the last certificate. */
  direct(taker = this.latest): void {
    if (taker === this.taker) return;
    if (taker !== this) this.fullApp.addChildAppDescriptor(taker.fullApp.getDescriptor());
    if (this.taker !== this) this.fullApp.removeChildAppDescriptor(this.taker.fullApp.getDescriptor());
    this.taker = taker;
  }

  clear(): void {
    this.app.close();
  }

  /**
   * Stops listening, so that new connections come to the others who share the port; what is connected goes on. Linux resets
   * what waits to be accepted at a listener that is closed: it is closed in a moment when all were.
   */
  async leave(): Promise<void> {
    for (let turn = 0, ms = QUIET_MS; turn < TURNS && ms >= QUIET_MS; turn++) {
      const begun = this.clock.now();
      await new Promise((resolve) => setImmediate(resolve));
      ms = this.clock.now() - begun;
    }
    if (this.listener !== undefined) uWS.us_listen_socket_close(this.listener);
    this.listener = undefined;
  }

  /** Stops listening and cuts what is still connected. */
  close(): void {
    for (const { app } of [this, ...this.successors]) app.close();
  }

  private count(change: number): void {
    this.connections += change;
    if (change > 0) this.onConnection();
  }

  private get latest(): Port {
    return this.successors.at(-1) ?? this;
  }

  /** Whoever adds a route for WebSockets has them noted. */
  private noteSockets(): void {
    const ws = this.app.ws.bind(this.app);
    this.app.ws = (path, behavior) =>
      ws(path, {
        ...behavior,
        open: (socket) => {
          this.hasSockets = true;
          return behavior.open?.(socket);
        },
      });
  }

  private get fullApp(): FullApp {
    return this.app as unknown as FullApp;
  }
}

/** What is in the files: uWebSockets.js only says that it failed; which one it could not read is told here. */
function certificateOf(tls: Certificate): string {
  let text = '';
  for (const [what, file] of [
    ['a certificate', tls.certFile],
    ['a private key', tls.keyFile],
  ] as const) {
    try {
      text += readFileSync(file, 'utf8');
    } catch (cause) {
      const message = `Expected a readable file for ${what} but received ${JSON.stringify(file)}`;
      throw new GatewayError('GW_TLS_FILE', message, { cause });
    }
  }
  return text;
}

function secureApp(tls: Certificate): TemplatedApp {
  try {
    return uWS.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
  } catch (cause) {
    const message = `Expected a certificate and its private key in PEM but received ${tls.certFile} and ${tls.keyFile}`;
    throw new GatewayError('GW_TLS_FILE', message, { cause });
  }
}
