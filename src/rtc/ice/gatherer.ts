import type { Clock, Timeout } from '../../clock.js';
import { type IceCandidate, makeCandidate } from './ice-candidate.js';
import type { IcePath, IceRoute } from './ice-path.js';
import type { ServerAddress } from './ice-server.js';
import { type Endpoint, familyOf, type IpFamily, unicastIp } from './ip-address.js';
import type { DatagramSocket, Network } from './network.js';
import { StunAttribute, StunBuilder, StunClass, type StunMessage, StunMethod } from './stun-message.js';
import { StunTransactions } from './stun-transactions.js';
import { TurnClient, type TurnListener } from './turn-client.js';

/** A server that has not answered by then is not waited for. */
const GATHERING_MS = 10_000;
/** Addresses of this machine that are told; a host of containers may have hundreds. */
const MOST_HOST_CANDIDATES = 8;
const BEST_PREFERENCE = 65_535;
/** Relays that the connection does not need are freed after so long (RFC 8445, section 8.3). */
const RELEASE_MS = 3_000;
/** Of relays, in this order. */
const TRANSPORTS = ['udp', 'tcp', 'tls'] as const;

/** Hears what a {@link Gatherer} finds and receives. */
export interface GathererListener {
  candidate(candidate: IceCandidate): void;
  /** Another way to send; told before its first candidate. */
  opened(path: IcePath): void;
  /** A relay is gone. */
  lost(path: IcePath): void;
  /** Borrowed memory. */
  received(path: IcePath, datagram: Buffer, address: string, port: number): void;
  /** No further candidate comes until the next `gather`. */
  ended(): void;
}

export interface GathererOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly servers: readonly ServerAddress[];
  readonly isRelayOnly: boolean;
  /** See `IceAgentOptions`. */
  readonly certificates: readonly string[] | undefined;
}

/** Finds the candidates of this side (RFC 8445, section 5.1.1), and owns their sockets and allocations. */
export class Gatherer {
  state: 'new' | 'gathering' | 'complete' = 'new';
  private readonly sockets = new Map<IpFamily, SocketPath>();
  private readonly relays = new Map<ServerAddress, TurnClient>();
  private readonly queries: StunTransactions;
  private deadline: Timeout | undefined;
  private release: Timeout | undefined;
  private pending = 0;
  /** Tells results of an earlier gathering from those of this one. */
  private round = 0;
  private isClosed = false;

  constructor(
    private readonly options: GathererOptions,
    private readonly listener: GathererListener,
  ) {
    this.queries = new StunTransactions(options.clock, false);
  }

  /** Tells what is there at once, and asks the servers for the rest. Idempotent until {@link reset}. */
  gather(): void {
    if (this.state !== 'new' || this.isClosed) return;
    this.state = 'gathering';
    this.pending = 1;
    this.deadline = this.options.clock.timeout(GATHERING_MS, () => this.end());
    const { servers } = this.options;
    if (!this.options.isRelayOnly) {
      this.gatherHosts();
      for (const server of servers)
        if (server.kind === 'stun' && !this.isClosed) void this.query(server, this.round);
    }
    // Whoever hears of a candidate may close.
    if (this.isClosed) return;
    for (const [i, server] of servers.entries()) if (server.kind === 'turn') this.allocate(server, i);
    this.settle(this.round);
  }

  /** Forgets a gathering that is under way, so that the next one can begin. Sockets and allocations stay. */
  reset(): void {
    this.round += 1;
    this.state = 'new';
    this.queries.close();
    this.deadline?.cancel();
    this.release?.cancel();
    for (const [server, relay] of this.relays) if (relay.state === 'opening') this.free(server, relay);
  }

  /** Opens the socket of a family, for candidates of the other side, unless relays alone may be used. */
  open(family: IpFamily): SocketPath | undefined {
    const known = this.sockets.get(family);
    if (known !== undefined || this.options.isRelayOnly || this.isClosed) return known;
    const path: SocketPath = new SocketPath(family);
    const socket = this.options.network.open(family, (datagram, address, port) =>
      this.listener.received(path, datagram, address, port),
    );
    if (socket === undefined) return undefined;
    path.socket = socket;
    this.sockets.set(family, path);
    this.listener.opened(path);
    return path;
  }

  /** Has relays other than the one in use freed, soon. */
  keepOnly(path: IcePath): void {
    this.release?.cancel();
    this.release = this.options.clock.timeout(RELEASE_MS, () => {
      for (const [server, relay] of this.relays) {
        if (relay === path) continue;
        const wasOpening = relay.state === 'opening';
        this.free(server, relay);
        if (wasOpening) this.settle(this.round);
      }
    });
  }

  /** Whether a response is one that a server was asked for. */
  take(response: StunMessage): boolean {
    return this.queries.take(response);
  }

  /** Frees everything. Idempotent. */
  close(): void {
    this.isClosed = true;
    this.round += 1;
    this.queries.close();
    this.deadline?.cancel();
    this.release?.cancel();
    for (const relay of this.relays.values()) relay.close();
    this.relays.clear();
    for (const { socket } of this.sockets.values()) socket?.close();
    this.sockets.clear();
  }

  private gatherHosts(): void {
    const addresses = this.options.network.addresses().slice(0, MOST_HOST_CANDIDATES);
    for (const path of this.sockets.values()) path.candidates.length = 0;
    for (const [i, address] of addresses.entries()) {
      const path = this.open(familyOf(address));
      if (path?.socket === undefined) continue;
      const candidate = makeCandidate('host', { address, port: path.socket.port }, BEST_PREFERENCE - i);
      path.candidates.push(candidate);
    }
    const candidates = [...this.sockets.values()].flatMap((path) => path.candidates);
    for (const candidate of candidates) this.listener.candidate(candidate);
  }

  /** Asks a server for the address that it sees (RFC 8489, section 3). */
  private async query({ host, port }: ServerAddress, round: number): Promise<void> {
    this.pending += 1;
    const address = await this.options.network.resolve(host).then(unicastIp, () => undefined);
    if (round !== this.round || this.state !== 'gathering') return;
    const path = address === undefined ? undefined : this.sockets.get(familyOf(address));
    if (address === undefined || path?.socket === undefined) {
      this.settle(round);
      return;
    }
    const request = new StunBuilder(StunClass.request, StunMethod.binding);
    const datagram = request.finish();
    this.queries.start(
      request.transaction,
      () => path.socket?.send(datagram, address, port),
      (response) => {
        const mapped =
          response?.class_ === StunClass.success
            ? response.xorAddressOf(StunAttribute.xorMappedAddress)
            : undefined;
        if (mapped !== undefined) this.addReflexive(path, mapped, `${host}:${port}`);
        this.settle(round);
      },
    );
  }

  private addReflexive(path: SocketPath, mapped: Endpoint, server: string): void {
    const { candidates } = path;
    if (candidates.some(({ address, port }) => address === mapped.address && port === mapped.port)) return;
    if (familyOf(mapped.address) !== path.family || candidates.length >= 2 * MOST_HOST_CANDIDATES) return;
    const base = candidates[0] ?? mapped;
    const candidate = makeCandidate('srflx', mapped, BEST_PREFERENCE, base, server);
    candidates.push(candidate);
    this.listener.candidate(candidate);
  }

  /** Asks a server for a relay, unless there still is one of it. */
  private allocate(server: ServerAddress, index: number): void {
    const known = this.relays.get(server);
    if (known !== undefined) {
      for (const candidate of known.candidates) this.listener.candidate(candidate);
      return;
    }
    const { network, clock, certificates } = this.options;
    const listener: TurnListener = {
      allocated: (relay, relayed, mapped) => {
        const preference = BEST_PREFERENCE - TRANSPORTS.indexOf(server.transport) * 256 - index;
        const name = `${server.transport} ${server.host}:${server.port}`;
        const candidate = makeCandidate('relay', relayed, preference, mapped ?? relayed, name);
        relay.candidates.push(candidate);
        this.listener.opened(relay);
        this.listener.candidate(candidate);
        this.settle(this.round);
      },
      ended: (relay) => {
        const isWaitedFor = relay.candidates.length === 0;
        this.free(server, relay);
        if (isWaitedFor) this.settle(this.round);
      },
      received: (relay, datagram, address, port) => this.listener.received(relay, datagram, address, port),
    };
    this.pending += 1;
    this.relays.set(server, new TurnClient(server, network, clock, certificates, listener));
  }

  private free(server: ServerAddress, relay: TurnClient): void {
    this.relays.delete(server);
    relay.close();
    this.listener.lost(relay);
  }

  private settle(round: number): void {
    if (round !== this.round || this.state !== 'gathering') return;
    this.pending -= 1;
    if (this.pending === 0) this.end();
  }

  private end(): void {
    this.deadline?.cancel();
    this.queries.close();
    for (const [server, relay] of this.relays) if (relay.state === 'opening') this.free(server, relay);
    this.state = 'complete';
    this.listener.ended();
  }
}

/** A UDP socket of this machine as a way. */
class SocketPath implements IcePath {
  readonly isRelay = false;
  readonly candidates: IceCandidate[] = [];
  socket: DatagramSocket | undefined;

  constructor(readonly family: IpFamily) {}

  route(address: string, port: number): IceRoute {
    return new SocketRoute(this.socket as DatagramSocket, address, port);
  }
}

class SocketRoute implements IceRoute {
  constructor(
    private readonly socket: DatagramSocket,
    private readonly address: string,
    private readonly port: number,
  ) {}

  send(datagram: Uint8Array): void {
    this.socket.send(datagram, this.address, this.port);
  }
}
