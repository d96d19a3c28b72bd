import type { StreamApp } from './app.js';
import type { Coordinator } from './coordinator.js';
import type { Sfu } from './sfu.js';
import type { RpcCounts } from './sfu-rpc.js';

/** A participant as a test wants to know it. */
export interface ParticipantState {
  readonly userId: string;
  readonly sessionId: string;
  readonly edge: string;
  /** State of the connection it publishes on, and of the one it listens on. */
  readonly publisher: string;
  readonly subscriber: string;
  readonly publishedTracks: readonly string[];
  readonly muted: boolean;
}

export interface CallSummary {
  readonly cid: string;
  readonly ended: boolean;
  readonly members: readonly string[];
  readonly custom: Readonly<Record<string, unknown>>;
  readonly participants: readonly ParticipantState[];
}

/** All that there is in a double. */
export interface DoubleState {
  readonly calls: readonly CallSummary[];
  /** How often each route was asked for, as `METHOD /path/:parameter`. */
  readonly requests: Readonly<Record<string, number>>;
  /** How often each signalling method was called. */
  readonly signals: Readonly<Record<string, number>>;
  /** Requests for which there is no route. */
  readonly unknownRoutes: readonly string[];
  readonly coordinatorSockets: number;
  readonly sfuSockets: number;
  readonly peerConnections: number;
  readonly forwardedPackets: number;
}

export function stateOf(app: StreamApp, coordinator: Coordinator, sfu: Sfu, signals: RpcCounts): DoubleState {
  return {
    calls: [...app.calls.values()].map((call) => ({
      cid: call.cid,
      ended: call.endedAt !== undefined,
      members: [...call.members.keys()],
      custom: call.custom,
      participants: participantsOf(sfu, call.cid),
    })),
    requests: Object.fromEntries(coordinator.requestCounts),
    signals: Object.fromEntries(signals),
    unknownRoutes: [...coordinator.unknownRoutes],
    coordinatorSockets: coordinator.sockets.count,
    sfuSockets: sfu.socketCount,
    peerConnections: sfu.peers.size,
    forwardedPackets: sfu.counter.forwarded,
  };
}

function participantsOf(sfu: Sfu, cid: string): ParticipantState[] {
  return [...(sfu.calls.get(cid)?.participants ?? [])].map((participant) => {
    const tracks = [...participant.tracks.values()];
    const { userId, sessionId, edge, publisher, subscriber } = participant;
    return {
      userId,
      sessionId,
      edge,
      publisher: publisher.peer.state,
      subscriber: subscriber.peer.state,
      publishedTracks: tracks.map(({ name }) => name),
      muted: tracks.every(({ isMuted }) => isMuted),
    };
  });
}
