import { createRequire } from 'node:module';
import { type IceCandidate, parseCandidate } from '../../../src/rtc/ice/ice-candidate.js';
import type { IceParameters } from '../../../src/rtc/ice/ice-generation.js';
import type { AgentSide } from './agent-side.js';

/** The part of libwebrtc's peer connection in use. */
interface PeerConnection extends EventTarget {
  readonly iceConnectionState: string;
  createDataChannel(label: string): unknown;
  createOffer(options?: { iceRestart?: boolean }): Promise<{ type: string; sdp: string }>;
  createAnswer(): Promise<{ type: string; sdp: string }>;
  setLocalDescription(description: object): Promise<void>;
  setRemoteDescription(description: object): Promise<void>;
  addIceCandidate(candidate: object): Promise<void>;
  close(): void;
}

/** Any will do: nobody gets as far as to compare it. */
const FINGERPRINT = Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, '0').toUpperCase()).join(
  ':',
);

/** ICE of libwebrtc, as its offers and answers about a data channel bear it. */
export class LibwebrtcSide {
  readonly peer: PeerConnection;
  readonly states: string[] = [];
  private readonly waiting: IceCandidate[] = [];
  private hasRemote = false;

  constructor(private readonly other: AgentSide) {
    const { RTCPeerConnection } = createRequire(import.meta.url)('@roamhq/wrtc');
    this.peer = new RTCPeerConnection();
    this.peer.addEventListener('iceconnectionstatechange', () =>
      this.states.push(this.peer.iceConnectionState),
    );
    this.peer.addEventListener('icecandidate', (event) => {
      const text = (event as Event & { candidate: { candidate: string } | null }).candidate?.candidate;
      const candidate = text === undefined || text === '' ? undefined : parseCandidate(text);
      if (text === undefined || candidate !== undefined) other.agent.addRemoteCandidate(candidate);
    });
    other.trickle = (candidate) => {
      if (candidate !== undefined) this.add(candidate);
    };
  }

  /** It offers, or offers to restart; the agent answers as the controlled side. */
  async offers(isRestart = false): Promise<void> {
    const { agent } = this.other;
    if (!isRestart) this.peer.createDataChannel('x');
    const offer = await this.peer.createOffer({ iceRestart: isRestart });
    await this.peer.setLocalDescription(offer);
    agent.setRemote(parametersOf(offer.sdp));
    await this.take('answer', agent.local);
    agent.gather();
  }

  /** The agent offers as the controlling side, or offers to restart; it answers. */
  async answers(isRestart = false): Promise<void> {
    const { agent } = this.other;
    await this.take('offer', isRestart ? agent.restart() : agent.local);
    agent.gather();
    const answer = await this.peer.createAnswer();
    await this.peer.setLocalDescription(answer);
    agent.setRemote(parametersOf(answer.sdp));
  }

  private async take(type: 'offer' | 'answer', local: IceParameters): Promise<void> {
    const sdp = [
      ...['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0'],
      ...['m=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=mid:0'],
      ...[`a=ice-ufrag:${local.ufrag}`, `a=ice-pwd:${local.pwd}`, 'a=ice-options:trickle'],
      ...[`a=fingerprint:sha-256 ${FINGERPRINT}`, `a=setup:${type === 'offer' ? 'actpass' : 'passive'}`],
      ...['a=sctp-port:5000', ''],
    ].join('\r\n');
    await this.peer.setRemoteDescription({ type, sdp });
    this.hasRemote = true;
    for (const candidate of this.waiting.splice(0)) this.add(candidate);
  }

  private add(candidate: IceCandidate): void {
    if (!this.hasRemote) {
      this.waiting.push(candidate);
      return;
    }
    const { foundation, component, priority, address, port, type } = candidate;
    const text = `candidate:${foundation} ${component} udp ${priority} ${address} ${port} typ ${type}`;
    void this.peer.addIceCandidate({ candidate: text, sdpMid: '0', sdpMLineIndex: 0 });
  }
}

function parametersOf(sdp: string) {
  const fieldOf = (name: string) => new RegExp(`^a=${name}:(\\S+)`, 'm').exec(sdp)?.[1] ?? '';
  return { ufrag: fieldOf('ice-ufrag'), pwd: fieldOf('ice-pwd'), isLite: false };
}
