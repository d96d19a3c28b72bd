import { familyOf } from '../../../src/rtc/ice/ip-address.js';
import type { DatagramSink, DatagramSocket, Network } from '../../../src/rtc/ice/network.js';
import type { VirtualClock } from '../../support/virtual-clock.js';

interface Box {
  readonly addresses: readonly string[];
  readonly sink: DatagramSink;
}

/** A network in virtual time: machines with addresses, and datagrams that take their time or are lost. */
export class VirtualNetwork {
  delayMs = 5;
  /** Whether a datagram is lost. */
  loses: (from: string, to: string, datagram: Uint8Array) => boolean = () => false;
  /** Datagrams that were sent, lost ones included. */
  sent = 0;
  open = 0;
  private readonly boxes = new Map<number, Box>();
  private nextPort = 10_000;

  constructor(private readonly clock: VirtualClock) {}

  /** A machine with these addresses, all reachable from everywhere. */
  machine(...addresses: string[]): Network {
    return {
      addresses: () => addresses,
      open: (family, sink) => {
        const own = addresses.filter((address) => familyOf(address) === family);
        return own.length === 0 ? undefined : this.socket(own, sink);
      },
      resolve: async (host) => host,
    };
  }

  /** A socket of one of the addresses that its peers see. */
  socket(addresses: readonly string[], sink: DatagramSink): DatagramSocket {
    const port = this.nextPort++;
    this.boxes.set(port, { addresses, sink });
    this.open += 1;
    const send = (datagram: Uint8Array, address: string, to: number) => {
      this.sent += 1;
      const [from = ''] = addresses;
      if (this.loses(from, address, datagram)) return;
      const copy = Buffer.from(datagram);
      this.clock.after(this.delayMs, () => {
        const box = this.boxes.get(to);
        if (box?.addresses.includes(address)) box.sink(copy, from, port);
      });
    };
    const close = () => {
      if (this.boxes.delete(port)) this.open -= 1;
    };
    return { port, send, close };
  }
}
