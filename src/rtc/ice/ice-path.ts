import type { IceCandidate } from './ice-candidate.js';
import type { IpFamily } from './ip-address.js';

/** A way for datagrams from this machine: a socket, or a relay's allocation. */
export interface IcePath {
  readonly family: IpFamily;
  readonly isRelay: boolean;
  /** Candidates of this side that it carries, best first. */
  readonly candidates: readonly IceCandidate[];
  /** A route to an address; the same object for the same address. `undefined` when there are too many. */
  route(address: string, port: number): IceRoute | undefined;
}

/** A path to one address of a peer. */
export interface IceRoute {
  /** Sends, or loses the datagram; never throws. Hot path. */
  send(datagram: Uint8Array): void;
}
