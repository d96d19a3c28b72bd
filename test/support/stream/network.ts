/** What a datagram below WebRTC carries, by its first byte (RFC 7983). */
export type PacketKind = 'stun' | 'dtls' | 'media';

/** How bad the way between the SFU and its clients is. */
export interface NetworkOptions {
  /** Share of all datagrams lost, each way, connectivity checks and handshakes included; 0 to 1. */
  readonly loss?: number;
  /** Kinds of which none gets through. */
  readonly lost?: readonly PacketKind[];
  /** Lets only traffic of these ports through, as if UDP were blocked except to a relay. */
  readonly relayPorts?: readonly [first: number, last: number];
}

/** The network between the SFU's sockets and everybody, below everything. */
export class Network {
  private options: NetworkOptions = {};

  set(options: NetworkOptions): void {
    this.options = options;
  }

  /** Whether a datagram from or to a port gets through. */
  passes(datagram: Uint8Array, port: number | undefined): boolean {
    const { loss = 0, lost = [], relayPorts } = this.options;
    if (lost.includes(kindOf(datagram))) return false;
    if (relayPorts !== undefined && (port === undefined || port < relayPorts[0] || port > relayPorts[1]))
      return false;
    return loss === 0 || Math.random() >= loss;
  }
}

function kindOf([first = 0]: Uint8Array): PacketKind {
  if (first < 4) return 'stun';
  return first >= 20 && first < 64 ? 'dtls' : 'media';
}
