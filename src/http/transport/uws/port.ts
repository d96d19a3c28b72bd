import type { us_listen_socket } from 'uWebSockets.js';
import { GatewayError } from '../../../errors.js';
import { readCertificate } from '../certificate.js';
import { quietTurn } from '../quiet-turn.js';
import type { Certificate, Port, PortOptions } from '../transport.js';
import { Hall } from './hall.js';
import type { Uws } from './load.js';
import { Lobby } from './lobby.js';
import { UpgradeCork } from './upgrade-cork.js';

/** Missing in its types. */
interface Flags {
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}
const SHARED = 0;

/** A listening port, and the apps of uWebSockets.js that handle its connections. */
export class UwsPort implements Port {
  /** The app that listens. */
  private readonly first: Hall;
  /** Apps that get connections from the first one: those with a renewed certificate, and rooms of the lobby. */
  private readonly others: Hall[] = [];
  /** The app with the latest certificate. */
  private latest: Hall;
  /** The app that gets new connections. */
  private taker: Hall;
  private readonly lobby: Lobby<Hall>;
  private readonly cork: UpgradeCork;
  private listener: us_listen_socket | undefined;

  /** @throws GatewayError `GW_TLS_FILE` */
  constructor(
    private readonly uws: Uws,
    private readonly options: PortOptions,
  ) {
    this.cork = new UpgradeCork(uws);
    this.first = this.hall(options.tls);
    this.latest = this.first;
    this.taker = this.first;
    this.lobby = new Lobby(
      options.seats,
      () => this.room(),
      (room) => this.direct(room ?? this.latest),
    );
  }

  async listen(host: string, port: number, isShared: boolean): Promise<number> {
    await this.cork.open();
    const { LIBUS_LISTEN_EXCLUSIVE_PORT } = this.uws as unknown as Flags;
    return new Promise((resolve, reject) => {
      this.first.full.listen(host, port, isShared ? SHARED : LIBUS_LISTEN_EXCLUSIVE_PORT, (listener) => {
        if (listener) {
          this.listener = listener;
          resolve(this.uws.us_socket_local_port(listener));
        } else {
          const message = `Expected a free address to listen on but received ${host}:${port}, which is taken or not ours`;
          reject(new GatewayError('GW_LISTEN_FAILED', message));
        }
      });
    });
  }

  renewed(tls: Certificate): (() => void) | undefined {
    const { cert, key } = readCertificate(tls);
    const { certificate } = this.latest;
    if (certificate?.cert === cert && certificate.key === key) return undefined;
    const next = this.hall(tls);
    return () => {
      this.others.push(next);
      const isCrowded = this.taker !== this.latest;
      this.latest = next;
      if (isCrowded) this.lobby.renew();
      else this.direct(next);
    };
  }

  crowded(isCrowded: boolean): void {
    if (isCrowded) this.lobby.open();
    else this.lobby.close();
  }

  async leave(): Promise<void> {
    await quietTurn(this.options.clock);
    if (this.listener !== undefined) this.uws.us_listen_socket_close(this.listener);
    this.listener = undefined;
  }

  close(): void {
    this.cork.close();
    // Its app closes the listener.
    this.listener = undefined;
    for (const hall of [this.first, ...this.others]) hall.clear();
  }

  private hall(tls: Certificate | undefined): Hall {
    const { addRoutes, descriptors, log } = this.options;
    const hall = new Hall(this.uws, tls, this.cork, log, (entered) => {
      descriptors.opened();
      if (entered !== this.first) this.lobby.entered(entered);
    });
    addRoutes(hall);
    return hall;
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
