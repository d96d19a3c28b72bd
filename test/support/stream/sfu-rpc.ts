import type { IncomingMessage, ServerResponse } from 'node:http';
import { SfuModels } from '@stream-io/video-client';
import type { ApiError } from './api-error.js';
import { readJson, sendJson } from './coordinator.js';
import type { Candidate } from './peer.js';
import type { RestFaults } from './rest-faults.js';
import type { Sfu } from './sfu.js';
import type { SfuParticipant } from './sfu-participant.js';

const { PeerType, TrackInfo, TrackType } = SfuModels;

const PATH = /^\/sfu\/([^/]+)\/stream\.video\.sfu\.signal\.SignalServer\/(\w+)$/;

type Body = Readonly<Record<string, unknown>>;
type Method = (participant: SfuParticipant, body: Body) => object | Promise<object>;

/** The signalling requests of clients: Twirp, in JSON. */
const METHODS: Readonly<Record<string, Method>> = {
  async SetPublisher(participant, { sdp, sessionId, tracks }) {
    const infos = ((tracks ?? []) as object[]).map((track) =>
      TrackInfo.fromJson(track as never, { ignoreUnknownFields: true }),
    );
    return { sdp: await participant.publish(sdp as string, infos), sessionId, iceRestart: false };
  },
  SendAnswer(participant, { sdp, negotiationId }) {
    participant.subscriber.answer(sdp as string, Number(negotiationId ?? 0));
    return {};
  },
  IceTrickle(participant, { peerType, iceCandidate }) {
    participant.trickle(peerTypeOf(peerType), JSON.parse(iceCandidate as string) as Candidate);
    return {};
  },
  IceRestart(participant, { peerType }) {
    if (peerTypeOf(peerType) === PeerType.SUBSCRIBER) participant.subscriber.restartIce();
    else
      participant.send({ oneofKind: 'iceRestart', iceRestart: { peerType: PeerType.PUBLISHER_UNSPECIFIED } });
    return {};
  },
  UpdateMuteStates(participant, { muteStates }) {
    for (const { trackType, muted } of (muteStates ?? []) as { trackType: string; muted?: boolean }[]) {
      const name = trackType.replace('TRACK_TYPE_', '') as keyof typeof TrackType;
      participant.setMuted(TrackType[name], muted === true);
    }
    return {};
  },
  // Voices come unasked, and there is no video: this is for the sound of shared screens.
  UpdateSubscriptions(participant, { tracks }) {
    participant.subscribe((tracks ?? []) as { sessionId: string; trackType: string }[]);
    return {};
  },
  SendStats: () => ({}),
  SendMetrics: () => ({}),
  StartNoiseCancellation: () => ({}),
  StopNoiseCancellation: () => ({}),
};

/** The names of all methods that have been asked for, each with its count. */
export type RpcCounts = Map<string, number>;

export function isSfuRpc(path: string): boolean {
  return PATH.test(path);
}

export async function handleSfuRpc(
  sfu: Sfu,
  faults: RestFaults,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  counts: RpcCounts,
): Promise<void> {
  const [, edge = '', name = ''] = PATH.exec(path) ?? [];
  const method = METHODS[name];
  if (method === undefined) {
    sendJson(response, 404, { code: 'bad_route', msg: `no handler for ${name}` });
    return;
  }
  counts.set(name, (counts.get(name) ?? 0) + 1);
  if (!sfu.admits((request.headers.authorization ?? '').replace(/^Bearer /, ''))) {
    sendJson(response, 401, { code: 'unauthenticated', msg: 'invalid token' });
    return;
  }
  try {
    faults.checkPlan('POST', path);
  } catch (error) {
    sendJson(response, (error as ApiError).status, { code: 'unavailable', msg: (error as ApiError).message });
    return;
  }
  const body = await readJson(request);
  const participant = sfu.find(edge, String(body.sessionId));
  if (participant === undefined) {
    const error = {
      code: 'ERROR_CODE_PARTICIPANT_NOT_FOUND',
      message: 'participant not found',
      shouldRetry: false,
    };
    sendJson(response, 200, { error });
    return;
  }
  try {
    sendJson(response, 200, await method(participant, body));
  } catch (error) {
    // A test may have closed the connection on purpose.
    if (!participant.publisher.peer.isClosed) console.error(`stream double: ${name}:`, error);
    sendJson(response, 500, { code: 'internal', msg: String(error) });
  }
}

function peerTypeOf(name: unknown): SfuModels.PeerType {
  return name === 'PEER_TYPE_SUBSCRIBER' ? PeerType.SUBSCRIBER : PeerType.PUBLISHER_UNSPECIFIED;
}
