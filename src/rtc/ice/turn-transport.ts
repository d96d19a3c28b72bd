import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../../clock.js';
import type { ServerAddress } from './ice-server.js';
import { familyOf, unicastIp } from './ip-address.js';
import type { DatagramSocket, Network } from './network.js';
import { TurnFramer } from './turn-framer.js';

/** Bytes that may wait for a connection that is slower than what is sent: ten seconds of audio. More is lost. */
const MOST_WAITING_BYTES = 64 * 1024;
/** What still waits when a connection is closed has so long to go: the server may never read it. */
const FAREWELL_MS = 1_000;

/** A way to a TURN server. */
export interface TurnTransport {
  /** Whether what is sent arrives, as long as it stands. */
  readonly isReliable: boolean;
  /** Sends one message, or loses it; never throws. Its memory may be reused at once. */
  send(message: Uint8Array): void;
  /** Idempotent; nothing is told afterwards. */
  close(): void;
}

export interface TurnTransportListener {
  opened(): void;
  /** One message; its memory is only lent. */
  received(message: Buffer): void;
  /** It could not be opened, or broke. Told once. */
  lost(): void;
}

/** @param certificates authorities, PEM, instead of those of Node; for TLS */
export function openTurnTransport(
  server: ServerAddress,
  network: Network,
  clock: Clock,
  certificates: readonly string[] | undefined,
  listener: TurnTransportListener,
): TurnTransport {
  return server.transport === 'udp'
    ? new DatagramTransport(server, network, listener)
    : new StreamTransport(server, clock, certificates, listener);
}

class DatagramTransport implements TurnTransport {
  readonly isReliable = false;
  private socket: DatagramSocket | undefined;
  private address = '';
  private isClosed = false;

  constructor(
    private readonly server: ServerAddress,
    private readonly network: Network,
    private readonly listener: TurnTransportListener,
  ) {
    void this.open();
  }

  send(message: Uint8Array): void {
    this.socket?.send(message, this.address, this.server.port);
  }

  close(): void {
    this.isClosed = true;
    this.socket?.close();
    this.socket = undefined;
  }

  private async open(): Promise<void> {
    const { host, port } = this.server;
    const address = await this.network.resolve(host).then(unicastIp, () => undefined);
    if (this.isClosed) return;
    if (address !== undefined) {
      this.address = address;
      this.socket = this.network.open(familyOf(address), (datagram, from, fromPort) => {
        if (fromPort === port && from === address) this.listener.received(datagram);
      });
    }
    if (this.socket === undefined) this.listener.lost();
    else this.listener.opened();
  }
}

class StreamTransport implements TurnTransport {
  readonly isReliable = true;
  private readonly socket: Socket;
  private isClosed = false;

  constructor(
    { host, port, transport }: ServerAddress,
    private readonly clock: Clock,
    certificates: readonly string[] | undefined,
    listener: TurnTransportListener,
  ) {
    const framer = new TurnFramer((message) => {
      if (!this.isClosed) listener.received(message);
    });
    const isTls = transport === 'tls';
    this.socket = isTls
      ? connectTls({
          host,
          port,
          ...(isIP(host) === 0 && { servername: host }),
          ...(certificates !== undefined && { ca: [...certificates] }),
        })
      : connect({ host, port });
    this.socket.setNoDelay(true);
    this.socket.on(isTls ? 'secureConnect' : 'connect', () => {
      if (!this.isClosed) listener.opened();
    });
    this.socket.on('data', (chunk: Buffer) => {
      if (!framer.push(chunk)) this.socket.destroy();
    });
    // "close" follows.
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (this.isClosed) return;
      this.isClosed = true;
      listener.lost();
    });
  }

  send(message: Uint8Array): void {
    if (this.isClosed || this.socket.writableLength > MOST_WAITING_BYTES) return;
    this.socket.write(Buffer.from(message));
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.socket.connecting) this.socket.destroy();
    else {
      const farewell = this.clock.timeout(FAREWELL_MS, () => this.socket.destroy());
      this.socket.once('close', () => farewell.cancel());
      this.socket.destroySoon();
    }
  }
}
