import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { familyOf, type IpFamily, unicastIp } from './ip-address.js';

/** Takes a datagram, whose memory is only lent, from an address in canonical form. */
export type DatagramSink = (datagram: Buffer, address: string, port: number) => void;

/** A UDP socket that is bound to every address of a family. */
export interface DatagramSocket {
  readonly port: number;
  /** Sends, or loses the datagram; never throws. @param address an IP address of the socket's family */
  send(datagram: Uint8Array, address: string, port: number): void;
  /** Idempotent. */
  close(): void;
}

/** What an ICE agent needs of the machine. */
export interface Network {
  /** Addresses that peers may reach this machine at, best first; loopback if there is nothing else. */
  addresses(): readonly string[];
  /** Opens a socket; `undefined` if the machine has no such family, or nothing is left. */
  open(family: IpFamily, sink: DatagramSink): DatagramSocket | undefined;
  /** An address of a name, IPv4 preferred. Rejects if it has none. */
  resolve(host: string): Promise<string>;
}

/** A stall of this process for a second or two must lose nothing. The kernel may give less. */
const BUFFER_BYTES = 512 * 1024;

export const systemNetwork: Network = { addresses, open, resolve };

/** IPv4 first: a container often has an IPv6 address that leads nowhere. */
function addresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const usable = (isInternal: boolean) =>
    all
      .filter(({ internal, address }) => internal === isInternal && !address.startsWith('169.254.'))
      .map(({ address }) => unicastIp(address))
      .filter((address) => address !== undefined)
      .sort((a, b) => familyOf(a) - familyOf(b));
  const outer = usable(false);
  return outer.length > 0 ? outer : usable(true);
}

function open(family: IpFamily, sink: DatagramSink): DatagramSocket | undefined {
  const socket = createSocket({
    type: family === 4 ? 'udp4' : 'udp6',
    ipv6Only: family === 6,
    // Addresses are literal: without this, each datagram would ask Node's resolver.
    lookup: (address, _options, callback) => callback(null, address, family),
  });
  let isOpen = true;
  let isFaulty = false;
  // Without it an error of a single datagram would end the process.
  socket.on('error', () => {
    isFaulty = true;
  });
  const close = () => {
    if (isOpen) socket.close();
    isOpen = false;
  };
  try {
    // With this resolver it binds at once.
    socket.bind({ port: 0, address: family === 4 ? '0.0.0.0' : '::', exclusive: true });
    if (isFaulty) throw new Error('not bound');
    socket.setRecvBufferSize(BUFFER_BYTES);
    socket.setSendBufferSize(BUFFER_BYTES);
  } catch {
    close();
    return undefined;
  }
  socket.on('message', (datagram, { address, port }) => sink(datagram, address, port));
  return {
    port: socket.address().port,
    send(datagram, address, port) {
      if (!isOpen || port === 0) return;
      // Without a callback an error is forgotten, as wanted.
      socket.send(datagram, 0, datagram.length, port, address);
    },
    close,
  };
}

async function resolve(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  const found = await lookup(host, { all: true });
  const best = found.find(({ family }) => family === 4) ?? found[0];
  if (best === undefined) throw new Error(`No address of ${host}`);
  return best.address;
}
