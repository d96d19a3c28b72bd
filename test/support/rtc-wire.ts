import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { parseCandidate } from '../../src/rtc/ice/ice-candidate.js';
import type { CandidateInit } from '../../src/rtc/peer-connection.js';
import { afterwards } from './rtc-pair.js';
import { clock } from './time.js';

type Side = 'a' | 'b';

interface End {
  readonly socket: Socket;
  readonly port: number;
  /** Where the side that it stands for really is. */
  real: { readonly address: string; readonly port: number } | undefined;
}

/** Real sockets between two connections, each of which takes an end of it for the other. Datagrams may be lost or late. */
export class RtcWire {
  /** Whether a datagram on its way to a side is lost. */
  loses: (datagram: Buffer, to: Side) => boolean = () => false;
  /** How late it is. */
  delayMs: (datagram: Buffer, to: Side) => number = () => 0;

  private constructor(private readonly ends: Readonly<Record<Side, End>>) {
    for (const side of ['a', 'b'] as const) {
      // What comes to the end that stands for a side is for that side.
      ends[side].socket.on('message', (datagram) => this.pass(datagram, side));
    }
  }

  /** Gone after the test. */
  static async lay(): Promise<RtcWire> {
    const [a, b] = await Promise.all([openEnd(), openEnd()]);
    return new RtcWire({ a, b });
  }

  /** The candidate that stands for one of a side's: the first over IPv4, the others are left out. */
  lead(init: CandidateInit, of: Side): CandidateInit | undefined {
    const end = this.ends[of];
    const { candidate = '' } = init;
    const read = parseCandidate(candidate);
    if (read === undefined || read.transport !== 'udp' || read.type !== 'host' || read.address.includes(':'))
      return undefined;
    const { address, port } = read;
    if (end.real !== undefined && end.real.address !== address) return undefined;
    end.real = { address, port };
    return { ...init, candidate: candidate.replace(` ${port} typ`, ` ${end.port} typ`) };
  }

  /** Sends as if the other side had. */
  send(datagram: Uint8Array, to: Side): void {
    const { real } = this.ends[to];
    const { socket } = this.ends[to === 'a' ? 'b' : 'a'];
    if (real !== undefined) socket.send(datagram, real.port, real.address);
  }

  private pass(datagram: Buffer, to: Side): void {
    if (this.loses(datagram, to)) return;
    const ms = this.delayMs(datagram, to);
    if (ms === 0) this.send(datagram, to);
    else {
      const timer = clock.after(ms, () => this.send(datagram, to));
      afterwards(() => clock.cancel(timer));
    }
  }
}

/** Whether a datagram is a packet of audio: RTP, not RTCP (RFC 5761 section 4). */
export function isAudio(datagram: Buffer): boolean {
  const [first = 0, second = 0] = datagram;
  return first >= 128 && first <= 191 && !(second >= 192 && second <= 223);
}

async function openEnd(): Promise<End> {
  const socket = createSocket('udp4');
  // The side it stands for may be gone.
  socket.on('error', () => {});
  socket.bind(0);
  await once(socket, 'listening');
  let isOpen = true;
  const send = socket.send.bind(socket) as (...args: unknown[]) => void;
  socket.send = (...args: unknown[]) => {
    if (isOpen) send(...args);
  };
  afterwards(() => {
    isOpen = false;
    socket.close();
  });
  return { socket, port: socket.address().port, real: undefined };
}
