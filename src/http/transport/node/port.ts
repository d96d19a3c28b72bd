import cluster from 'node:cluster';
import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import { GatewayError } from '../../../errors.js';
import { type CertificateText, readCertificate } from '../certificate.js';
import { quietTurn } from '../quiet-turn.js';
import { type Certificate, MAX_HEADER_BYTES, type Port, type PortOptions } from '../transport.js';
import { NodeFront, wantsSocket } from './front.js';

/** Silent connections are dropped after this time, as uWebSockets.js does. */
const IDLE_MS = 10_000;
// Not among the types of Node 20.
const LIMITS: ServerOptions & { shouldUpgradeCallback: typeof wantsSocket } = {
  shouldUpgradeCallback: wantsSocket,
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: IDLE_MS,
  keepAliveTimeout: IDLE_MS,
  requestTimeout: 3 * IDLE_MS,
  connectionsCheckingInterval: 1_000,
};

/** A port on which Node's server listens. */
export class NodePort implements Port {
  private readonly server: Server | SecureServer;
  private readonly front: NodeFront;
  private certificate: CertificateText | undefined;
  /** HTTP connections, oldest first, by the address of their peer. */
  private readonly plain = new Map<string, Socket>();
  private isCrowded = false;

  /** @throws GatewayError `GW_TLS_FILE` */
  constructor(private readonly options: PortOptions) {
    this.front = new NodeFront(options);
    this.certificate = options.tls && readCertificate(options.tls);
    this.server =
      this.certificate === undefined
        ? createServer(LIMITS)
        : createSecureServer({ ...LIMITS, ...this.certificate, handshakeTimeout: IDLE_MS });
    // Their size is bounded elsewhere; beyond 2,000 headers Node would drop the last ones, including those of proxies.
    this.server.maxHeadersCount = 0;
    this.server
      .on('connection', (socket: Socket) => this.connected(socket))
      .on('request', (message, response) => this.front.request(message, response))
      .on('upgrade', (message, connection, head) => {
        const onAccepted = () => this.plain.delete(peerOf(connection as Socket));
        this.front.upgrade(message, connection, head, undefined, onAccepted);
      });
  }

  async listen(host: string, port: number, isShared: boolean): Promise<number> {
    // Where the kernel cannot spread connections, the primary of Node's cluster deals them out in turn.
    const isDealt = isShared && !canShare() && cluster.isWorker;
    if (isShared && !canShare() && !cluster.isWorker) {
      const message = `SHARE_PORT needs uWebSockets.js or Node 22.12 or later: this is Node ${process.versions.node} without it`;
      throw new GatewayError('GW_LISTEN_FAILED', message);
    }
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: Error) => {
        const message = `Expected a free address to listen on but received ${host}:${port}, which is taken or not ours`;
        reject(new GatewayError('GW_LISTEN_FAILED', message, { cause }));
      };
      this.server.once('error', failed);
      const how = isShared ? { reusePort: true, exclusive: true } : { exclusive: true };
      const where = { host, port, ...(isDealt ? {} : how) };
      this.server.listen(where, () => {
        this.server.off('error', failed);
        // E.g. too few descriptors for another one: continue with the existing ones.
        this.server.on('error', (error) =>
          this.options.log.error({ err: error }, 'a connection was not accepted'),
        );
        resolve();
      });
    });
    return (this.server.address() as AddressInfo).port;
  }

  renewed(tls: Certificate): (() => void) | undefined {
    const next = readCertificate(tls);
    if (next.cert === this.certificate?.cert && next.key === this.certificate.key) return undefined;
    return () => {
      this.certificate = next;
      (this.server as SecureServer).setSecureContext(next);
    };
  }

  crowded(isCrowded: boolean): void {
    this.isCrowded = isCrowded;
    this.thin();
  }

  async leave(): Promise<void> {
    await quietTurn(this.options.clock);
    // The server's own close would also close idle connections, whose next request may be on its way.
    NetServer.prototype.close.call(this.server);
  }

  close(): void {
    this.server.close();
    this.front.close();
    for (const socket of this.plain.values()) socket.destroy();
  }

  private connected(socket: Socket): void {
    const peer = peerOf(socket);
    this.plain.set(peer, socket);
    socket.once('close', () => {
      if (this.plain.get(peer) === socket) this.plain.delete(peer);
    });
    this.options.descriptors.opened();
    this.thin();
  }

  /** While descriptors are short, the oldest connections are closed for new ones. */
  private thin(): void {
    if (!this.isCrowded) return;
    for (const [peer, socket] of this.plain) {
      if (this.plain.size <= 2 * this.options.seats) return;
      this.plain.delete(peer);
      socket.destroy();
    }
  }
}

/** A TLS connection has the address of its TCP connection. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function canShare(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}
