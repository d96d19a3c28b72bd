import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Descriptors } from '../telemetry/descriptors.js';
import type { Logger } from '../telemetry/log.js';
import { Lobby, type LobbyRoom } from './lobby.js';
import { uWS } from './uws.js';

/** Files of a certificate and its key. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface PortOptions {
  /** Absent: http and ws. */
  readonly tls: Certificate | undefined;
  /** What is answered there. */
  readonly addRoutes: (app: TemplatedApp) => void;
  /** Connections of each of its two rooms while few descriptors are left. */
  readonly seats: number;
  readonly descriptors: Descriptors;
  readonly log: Logger;
  readonly clock: Clock;
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

/** A port that is listened on, and the apps of uWebSockets.js that its connections come to. */
export class Port {
  /** The one that listens. */
  private readonly first: Hall;
  /** Which take connections that the first one listens for: with a renewed certificate, or as rooms of the lobby. */
  private readonly others: Hall[] = [];
  /** The one with the last certificate. */
  private latest: Hall;
  /** Who takes new connections. */
  private taker: Hall;
  private readonly lobby: Lobby<Hall>;
  private listener: us_listen_socket | undefined;

  /** @throws GatewayError `GW_TLS_FILE` */
  constructor(private readonly options: PortOptions) {
    this.first = this.hall(options.tls);
    this.latest = this.first;
    this.taker = this.first;
    this.lobby = new Lobby(
      options.seats,
      () => this.room(),
      (room) => this.direct(room ?? this.latest),
    );
  }

  /**
   * Begins to listen; answers the port, which is another one where 0 was asked for.
   * @param isShared whether other processes of this host may listen on it as well
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  listen(host: string, port: number, isShared: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.first.full.listen(host, port, isShared ? SHARED : EXCLUSIVE, (listener) => {
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

  /**
   * Where the files hold another certificate or key than new connections get: what gives them that one. Those that are there
   * keep theirs, and nobody is refused meanwhile, whatever name they ask for.
   * @throws GatewayError `GW_TLS_FILE`
   */
  renewed(tls: Certificate): (() => void) | undefined {
    if (certificateOf(tls) === this.latest.certificate) return undefined;
    const next = this.hall(tls);
    return () => {
      this.others.push(next);
      const isCrowded = this.taker !== this.latest;
      this.latest = next;
      if (isCrowded) this.lobby.renew();
      else this.direct(next);
    };
  }

  /** Few descriptors are left, or enough again. */
  crowded(isCrowded: boolean): void {
    if (isCrowded) this.lobby.open();
    else this.lobby.close();
  }

  /**
   * Stops listening, so that new connections come to the others who share the port; what is connected goes on. Linux resets
   * what waits to be accepted at a listener that is closed: it is closed in a moment when all were.
   */
  async leave(): Promise<void> {
    const { clock } = this.options;
    for (let turn = 0, ms = QUIET_MS; turn < TURNS && ms >= QUIET_MS; turn++) {
      const begun = clock.now();
      await new Promise((resolve) => setImmediate(resolve));
      ms = clock.now() - begun;
    }
    if (this.listener !== undefined) uWS.us_listen_socket_close(this.listener);
    this.listener = undefined;
  }

  /** Stops listening and cuts what is still connected. */
  close(): void {
    for (const hall of [this.first, ...this.others]) hall.clear();
  }

  private hall(tls: Certificate | undefined): Hall {
    const { addRoutes, descriptors } = this.options;
    return new Hall(tls, addRoutes, (hall) => {
      descriptors.opened();
      if (hall !== this.first) this.lobby.entered(hall);
    });
  }

  /** A room for the lobby. */
  private room(): Hall | undefined {
    try {
      const room = this.hall(this.latest.tls);
      this.others.push(room);
      return room;
    } catch (error) {
      this.options.log.error({ err: error }, 'no room for new connections');
      return undefined;
    }
  }

  private direct(taker: Hall): void {
    if (taker === this.taker) return;
    const { first } = this;
    if (taker !== first) first.full.addChildAppDescriptor(taker.full.getDescriptor());
    if (this.taker !== first) first.full.removeChildAppDescriptor(this.taker.full.getDescriptor());
    this.taker = taker;
  }
}

/** One app, with all routes of its port. */
class Hall implements LobbyRoom {
  connections = 0;
  hasSockets = false;
  /** What the certificate's files held. */
  readonly certificate: string;
  private readonly app: TemplatedApp;

  constructor(
    readonly tls: Certificate | undefined,
    addRoutes: (app: TemplatedApp) => void,
    onEntered: (hall: Hall) => void,
  ) {
    this.certificate = tls === undefined ? '' : certificateOf(tls);
    this.app = tls === undefined ? uWS.App() : secureApp(tls);
    // One that becomes a WebSocket does not count as gone.
    const count = (change: number) => {
      this.connections += change;
      if (change > 0) onEntered(this);
    };
    this.app.filter((_, change) => count(Number(change)));
    const ws = this.app.ws.bind(this.app);
    this.app.ws = (path, behavior) =>
      ws(path, {
        ...behavior,
        open: (socket) => {
          this.hasSockets = true;
          return behavior.open?.(socket);
        },
      });
    addRoutes(this.app);
  }

  get full(): FullApp {
    return this.app as unknown as FullApp;
  }

  clear(): void {
    this.app.close();
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
