import type { SfuModels } from '@stream-io/video-client';
import type { RTCRtpCodecParameters } from 'werift';
import type { Network } from './network.js';
import { opus, Peer, red } from './peer.js';
import type { PublishedTrack } from './published-track.js';
import { Reception } from './reception.js';

/** Where the packets of one SSRC go. */
interface Source {
  readonly track: PublishedTrack;
  readonly redType: number | undefined;
  readonly reception: Reception;
}

/** The connection on which a participant publishes: the client offers, the SFU answers. */
export class Publisher {
  readonly peer: Peer;
  /** Called with the first packet that came. */
  onFirstPacket: (() => void) | undefined;
  private readonly sources = new Map<number, Source>();
  private isListening = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(alive: Set<Peer>, network: Network) {
    this.peer = new Peer(alive, network);
  }

  /** Answers an offer. `trackFor` gives the track that a `TrackInfo` stands for. */
  negotiate(
    sdp: string,
    infos: readonly SfuModels.TrackInfo[],
    trackFor: (info: SfuModels.TrackInfo) => PublishedTrack,
  ): Promise<string> {
    const answer = this.queue.then(() => this.answer(sdp, infos, trackFor));
    this.queue = answer.catch(() => {});
    return answer;
  }

  private async answer(
    sdp: string,
    infos: readonly SfuModels.TrackInfo[],
    trackFor: (info: SfuModels.TrackInfo) => PublishedTrack,
  ): Promise<string> {
    const { peer } = this;
    const { connection } = peer;
    await connection.setRemoteDescription({ type: 'offer', sdp });
    await peer.replay();
    const known = new Map(this.sources);
    this.sources.clear();
    for (const transceiver of connection.getTransceivers()) {
      const info = infos.find(({ mid }) => mid === transceiver.mid) ?? infos[0];
      if (info === undefined) continue;
      const track = trackFor(info);
      const offered = transceiver.codecs;
      const redType = offered.find((codec) => codec.name.toLowerCase() === 'red')?.payloadType;
      transceiver.codecs = chooseCodecs(offered, info);
      const { receiver } = transceiver;
      for (const ssrc of Object.keys(receiver.trackBySSRC).map(Number)) {
        const reception = known.get(ssrc)?.reception ?? new Reception(ssrc, transceiver.dtlsTransport);
        this.sources.set(ssrc, { track, redType, reception });
      }
    }
    this.listen();
    await peer.describe(await connection.createAnswer());
    return connection.localDescription?.sdp ?? '';
  }

  /**
   * Takes the packets where they are decrypted, before werift's receiver, which looks at each for much that audio has
   * no use for. The SSRC tells whose they are.
   */
  private listen(): void {
    const { transport } = this.peer;
    if (this.isListening || transport === undefined) return;
    this.isListening = true;
    transport.onRtp.allUnsubscribe();
    transport.onRtp.subscribe((packet) => {
      const { ssrc, payloadType, sequenceNumber } = packet.header;
      const source = this.sources.get(ssrc);
      if (source === undefined) return;
      source.reception.packet(sequenceNumber);
      source.track.forward(packet, payloadType === source.redType);
      this.onFirstPacket?.();
      this.onFirstPacket = undefined;
    });
    transport.onRtcp.subscribe((packet) => {
      for (const { reception } of this.sources.values()) reception.control(packet);
    });
  }
}

/** Only what was announced is answered, the first of it is what the client sends. */
function chooseCodecs(
  offered: readonly RTCRtpCodecParameters[],
  info: SfuModels.TrackInfo,
): RTCRtpCodecParameters[] {
  const parameters = ['minptime=10', 'useinbandfec=1'];
  if (info.stereo) parameters.push('stereo=1');
  if (info.dtx) parameters.push('usedtx=1');
  const named = (name: string) => offered.find((codec) => codec.name.toLowerCase() === name);
  const plain = opus(parameters.join(';'));
  const plainType = named('opus')?.payloadType;
  if (plainType !== undefined) plain.payloadType = plainType;
  const redundant = named('red');
  if (!info.red || redundant === undefined) return [plain];
  const first = red();
  first.payloadType = redundant.payloadType;
  first.parameters = `${plain.payloadType}/${plain.payloadType}`;
  return [first, plain];
}
