import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { RtpOrder } from '../capacity/generator.js';
import { type Peer, runs, ServerProcess } from './peer.js';

/** Its ports on loopback, and the first of the phones': two for each, below those that Linux hands out. */
const PROXY_PORTS = [20_000, 29_999] as const;
const FIRST_PORT = 10_000;
const ANSWER_MS = 2_000;
const ATTEMPTS = 5;
/** Payload types and what SDP calls them. */
const CODECS = {
  PCMU: { type: 0, map: 'PCMU/8000', ask: 'PCMU', gainDb: 0 },
  PCMA: { type: 8, map: 'PCMA/8000', ask: 'PCMA', gainDb: 0 },
  // It makes stereo of mono, each side 3 dB lower.
  Opus: { type: 96, map: 'opus/48000/2', ask: 'opus', gainDb: -3 },
} as const;
type Codec = keyof typeof CODECS;

/**
 * rtpengine between a phone, which speaks PCMU, and somebody who speaks another codec and sends back what arrives: user space
 * only, one worker thread for one core. A frame pair is transcoded twice, once each way, as on the other servers.
 */
export function rtpengine(name: string, codec: Codec): Peer {
  return {
    name,
    isRtp: true,
    gainDb: CODECS[codec].gainDb,
    missing: () => (runs('rtpengine', '--version') ? undefined : 'apt-get install rtpengine-daemon'),
    async start(core) {
      const [first, last] = PROXY_PORTS;
      const options = [
        '--config-file=none',
        '--foreground',
        '--table=-1',
        '--interface=127.0.0.1',
        `--port-min=${first}`,
        `--port-max=${last}`,
        '--num-threads=1',
        '--log-level=2',
        '--log-stderr',
        // It answers at both; that it listens can only be seen of TCP.
        '--listen-tcp-ng=127.0.0.1:$PORT',
        '--listen-ng=127.0.0.1:$PORT',
      ];
      const server = await ServerProcess.start(
        { command: ['sh', '-c', `exec rtpengine ${options.join(' ')}`] },
        core,
      );
      const control = await NgClient.connect(server.port);
      let calls = 0;
      return {
        pids: [server.pid],
        port: server.port,
        order: () => control.place(calls++, codec),
        async stop() {
          control.close();
          await server.stop();
        },
      };
    },
  };
}

/** What a value may be in its protocol, which is bencode in one packet each way. */
type Value = string | readonly string[];

/** Asks rtpengine to set up calls, by its protocol `ng`. */
class NgClient {
  private asked = 0;

  private constructor(private readonly socket: Socket) {}

  static async connect(port: number): Promise<NgClient> {
    const socket = createSocket('udp4');
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new NgClient(socket);
  }

  /** Sets up a call: PCMU on one side, that codec on the other. */
  async place(number: number, codec: Codec): Promise<RtpOrder> {
    const near = FIRST_PORT + 4 * number;
    const far = near + 2;
    const call = { 'call-id': `call-${number}`, 'from-tag': 'near', ICE: 'remove' };
    const { ask } = CODECS[codec];
    const offer = { sdp: sdpOf(near, 'PCMU'), codec: { mask: ['PCMU'], transcode: [ask] } };
    const proxyForFar = portIn(await this.ask({ ...call, ...offer, command: 'offer' }));
    const answer = { sdp: sdpOf(far, codec), 'to-tag': 'far' };
    const proxyForNear = portIn(await this.ask({ ...call, ...answer, command: 'answer' }));
    return { near, proxyForNear, far, proxyForFar };
  }

  close(): void {
    this.socket.close();
  }

  /** @throws Error where it refuses, or does not answer */
  private async ask(
    message: Readonly<Record<string, Value | Readonly<Record<string, Value>>>>,
  ): Promise<string> {
    const cookie = `bench-${this.asked++}`;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      this.socket.send(`${cookie} ${bencode(message)}`);
      try {
        const [data] = await once(this.socket, 'message', { signal: AbortSignal.timeout(ANSWER_MS) });
        const text = String(data);
        if (!text.startsWith(`${cookie} `)) continue;
        if (text.includes('6:result2:ok')) return text;
        throw new Error(`Expected rtpengine to set up a call but it answered ${text}`);
      } catch (error) {
        // A lost packet is sent again.
        if ((error as Error).name !== 'AbortError') throw error;
      }
    }
    throw new Error('Expected an answer from rtpengine');
  }
}

function bencode(value: Value | Readonly<Record<string, unknown>>): string {
  if (typeof value === 'string') return `${Buffer.byteLength(value)}:${value}`;
  if (Array.isArray(value)) return `l${value.map(bencode).join('')}e`;
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `d${pairs.map(([key, each]) => bencode(key) + bencode(each as Value)).join('')}e`;
}

function sdpOf(port: number, codec: Codec): string {
  const { type, map } = CODECS[codec];
  return [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    'c=IN IP4 127.0.0.1',
    't=0 0',
    `m=audio ${port} RTP/AVP ${type}`,
    `a=rtpmap:${type} ${map}`,
    'a=ptime:20',
    'a=sendrecv',
    '',
  ].join('\r\n');
}

function portIn(sdp: string): number {
  const port = /^m=audio (\d+) /m.exec(sdp)?.[1];
  if (port === undefined) throw new Error(`Expected a port in ${sdp}`);
  return Number(port);
}
