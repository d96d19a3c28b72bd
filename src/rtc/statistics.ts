import type { Clock } from '../clock.js';
import type { AudioReceiver } from './audio-receiver.js';
import type { AudioSender } from './audio-sender.js';
import type { IceCandidate } from './ice/ice-candidate.js';
import type { MediaTransport } from './media-transport.js';

interface Line {
  readonly mid: string | null;
  readonly sender: AudioSender;
  readonly receiver: AudioReceiver;
}

/** A connection's statistics. Source of the names: W3C "Identifiers for WebRTC's Statistics API". */
export function statisticsOf(
  transport: MediaTransport | undefined,
  lines: readonly Line[],
  clock: Clock,
): Map<string, object> {
  const report = new Map<string, object>();
  const timestamp = clock.date().getTime();
  const add = (id: string, type: string, fields: object) =>
    report.set(id, { id, type, timestamp, ...fields });
  if (transport === undefined) return report;
  const { bytesSent, bytesReceived, ...ice } = transport.ice.stats();
  const hasPair = ice.local !== undefined && ice.remote !== undefined;
  add('transport', 'transport', {
    bytesSent,
    bytesReceived,
    dtlsState: transport.dtlsState,
    iceState: transport.ice.state,
    ...(hasPair ? { selectedCandidatePairId: 'pair' } : {}),
  });
  if (hasPair) {
    add('local', 'local-candidate', candidateFacts(ice.local as IceCandidate));
    add('remote', 'remote-candidate', candidateFacts(ice.remote as IceCandidate));
  }
  if (hasPair || transport.ice.state === 'checking') {
    add('pair', 'candidate-pair', {
      transportId: 'transport',
      localCandidateId: 'local',
      remoteCandidateId: 'remote',
      state: hasPair ? 'succeeded' : 'in-progress',
      nominated: hasPair,
      bytesSent,
      bytesReceived,
      requestsSent: ice.requestsSent,
      requestsReceived: ice.requestsReceived,
      responsesReceived: ice.responsesReceived,
      ...(ice.roundTripMs === undefined ? {} : { currentRoundTripTime: ice.roundTripMs / 1000 }),
    });
  }
  for (const { mid, sender, receiver } of lines) {
    if (sender.packets > 0) {
      const common = { ssrc: sender.ssrc, kind: 'audio', mid, codecId: 'opus', transportId: 'transport' };
      add(`outbound-${mid}`, 'outbound-rtp', {
        ...common,
        packetsSent: sender.packets,
        bytesSent: sender.bytes,
        headerBytesSent: sender.headerBytes,
        nackCount: sender.nacks,
        retransmittedPacketsSent: sender.resent,
        mediaSourceId: `source-${mid}`,
        active: true,
      });
      add(`source-${mid}`, 'media-source', { kind: 'audio', trackIdentifier: sender.track?.id });
      if (sender.roundTrip !== undefined) {
        add(`remote-inbound-${mid}`, 'remote-inbound-rtp', {
          ...common,
          localId: `outbound-${mid}`,
          roundTripTime: sender.roundTrip,
          fractionLost: sender.fractionLost,
          packetsLost: sender.lost,
        });
      }
    }
    if (receiver.packets > 0) {
      add(`inbound-${mid}`, 'inbound-rtp', {
        ssrc: receiver.ssrc,
        kind: 'audio',
        mid,
        codecId: 'opus',
        transportId: 'transport',
        trackIdentifier: receiver.track.id,
        ...receiver.stats,
        bytesReceived: receiver.bytes,
      });
    }
  }
  add('opus', 'codec', {
    mimeType: 'audio/opus',
    clockRate: 48_000,
    channels: 2,
    payloadType: 111,
    transportId: 'transport',
  });
  return report;
}

function candidateFacts({ address, port, type, transport, priority }: IceCandidate) {
  return { address, ip: address, port, candidateType: type, protocol: transport, priority };
}
