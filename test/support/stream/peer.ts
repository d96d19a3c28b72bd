import { RTCPeerConnection, type RTCPeerConnectionConfig, RTCRtpCodecParameters } from 'werift';
import type { Network } from './network.js';

/** Payload types as libwebrtc numbers them. */
export const OPUS = 111;
export const RED = 63;

const HOST = '127.0.0.1';
/** Most candidates kept for replay: a client has a handful per ICE generation. */
const MAX_CANDIDATES = 40;

/** A candidate as clients trickle it. */
export interface Candidate {
  readonly candidate?: string;
  readonly sdpMid?: string | null;
  readonly sdpMLineIndex?: number | null;
  readonly usernameFragment?: string | null;
}

type Address = readonly [host: string, port: number];

/** The sockets below ICE, which werift keeps to itself. */
interface Ports {
  readonly protocols: {
    readonly transport?: {
      send: (data: Uint8Array, address?: Address) => Promise<void>;
      onData: (data: Uint8Array, address: Address) => void;
    };
  }[];
}

export function opus(parameters = 'minptime=10;useinbandfec=1'): RTCRtpCodecParameters {
  return new RTCRtpCodecParameters({
    mimeType: 'audio/opus',
    clockRate: 48_000,
    channels: 2,
    payloadType: OPUS,
    parameters,
  });
}

export function red(): RTCRtpCodecParameters {
  return new RTCRtpCodecParameters({
    mimeType: 'audio/red',
    clockRate: 48_000,
    channels: 2,
    payloadType: RED,
    parameters: `${OPUS}/${OPUS}`,
  });
}

/** The SFU's end of one peer connection: loopback only, one bundle, candidates whenever they come. */
export class Peer {
  readonly connection: RTCPeerConnection;
  private readonly candidates: Candidate[] = [];
  private readonly wired = new WeakSet<object>();
  private isSilent = false;

  /** `alive` contains it while it is open. */
  constructor(
    private readonly alive: Set<Peer>,
    private readonly network: Network,
  ) {
    const configuration: Partial<RTCPeerConnectionConfig> = {
      codecs: { audio: [opus(), red()], video: [] },
      headerExtensions: { audio: [], video: [] },
      iceServers: [],
      // No address of the machine's interfaces, only the one below: one socket a connection.
      iceUseIpv4: false,
      iceUseIpv6: false,
      iceUseTcp: false,
      iceInterfaceAddresses: { udp4: HOST },
      iceAdditionalHostAddresses: [HOST],
      bundlePolicy: 'max-bundle',
    };
    this.connection = new RTCPeerConnection(configuration);
    alive.add(this);
  }

  get state(): string {
    return this.connection.connectionState;
  }

  get isClosed(): boolean {
    return !this.alive.has(this);
  }

  /** The one transport of the bundle; there is one as soon as there is an m-line. */
  get transport() {
    return this.connection.dtlsTransports[0];
  }

  /** Candidates may arrive before their description, so all of the latest are kept for {@link replay}. */
  addCandidate(candidate: Candidate): void {
    this.candidates.push(candidate);
    if (this.candidates.length > MAX_CANDIDATES) this.candidates.shift();
    void this.apply(candidate);
  }

  /** To be called whenever there is a new remote description. */
  async replay(): Promise<void> {
    for (const candidate of this.candidates) await this.apply(candidate);
  }

  /** Silently drops everything in both directions from now on. */
  silence(): void {
    this.isSilent = true;
  }

  /** Sets the local description; the sockets that this opens are on the network from their first datagram. */
  async describe(description: Parameters<RTCPeerConnection['setLocalDescription']>[0]): Promise<void> {
    await this.connection.setLocalDescription(description);
    for (const { iceTransport } of this.connection.dtlsTransports) {
      for (const { transport } of (iceTransport.connection as unknown as Ports).protocols) {
        if (transport === undefined || this.wired.has(transport)) continue;
        this.wired.add(transport);
        const { send, onData } = transport;
        const passes = (data: Uint8Array, address?: Address) =>
          !this.isSilent && this.network.passes(data, address?.[1]);
        transport.send = async (data, address) => {
          if (passes(data, address)) await send.call(transport, data, address);
        };
        transport.onData = (data, address) => {
          if (passes(data, address)) onData.call(transport, data, address);
        };
      }
    }
  }

  async close(): Promise<void> {
    if (!this.alive.delete(this)) return;
    const { transport } = this;
    await this.connection.close();
    // A handshake that was not over would be repeated for half a minute, and keep the process.
    if (transport?.dtls !== undefined) transport.dtls.dtls.flight = Number.POSITIVE_INFINITY;
  }

  private async apply(candidate: Candidate): Promise<void> {
    const { usernameFragment } = candidate;
    const sdp = this.connection.remoteDescription?.sdp;
    if (sdp === undefined || this.isClosed) return;
    if (usernameFragment && !sdp.includes(`a=ice-ufrag:${usernameFragment}`)) return;
    await this.connection.addIceCandidate({ ...candidate }).catch(() => {});
  }
}
