import { SfuModels } from '@stream-io/video-client';
import type { StreamApp } from './app.js';
import type { Coordinator } from './coordinator.js';
import { CoordinatorFaults } from './coordinator-faults.js';
import type { ImpairmentOptions } from './impairment.js';
import type { NetworkOptions } from './network.js';
import { failureEvent, type IceServer, type Sfu, type SfuFailure } from './sfu.js';
import type { SfuParticipant, Side } from './sfu-participant.js';

/** Faults of Stream that a test can trigger. */
export class Faults extends CoordinatorFaults {
  constructor(
    app: StreamApp,
    coordinator: Coordinator,
    protected readonly sfu: Sfu,
  ) {
    super(app, coordinator);
  }

  /** Cuts the user's signalling socket; media continues. The client reconnects FAST. */
  dropSfuSocket(userId: string): void {
    for (const { socket } of this.sessionsOf(userId)) socket.terminate();
  }

  /** The SFU is about to shut down: the client MIGRATEs to another. */
  goAway(userId: string): void {
    const reason = SfuModels.GoAwayReason.SHUTTING_DOWN;
    for (const participant of this.sessionsOf(userId)) {
      participant.send({ oneofKind: 'goAway', goAway: { reason } });
    }
  }

  iceRestart(userId: string, side: Side): void {
    const peerType = SfuModels.PeerType.PUBLISHER_UNSPECIFIED;
    for (const participant of this.sessionsOf(userId)) {
      if (side === 'subscriber') participant.subscriber.restartIce();
      else participant.send({ oneofKind: 'iceRestart', iceRestart: { peerType } });
    }
  }

  /** An error of the SFU, and what it wants the client to do. */
  sfuError(userId: string, failure: SfuFailure): void {
    for (const participant of this.sessionsOf(userId)) participant.send(failureEvent(failure));
  }

  /**
   * Media of the user's present sessions dies, on one connection or on both: nothing comes in or goes out, neither RTP
   * nor RTCP nor STUN, while the sockets stay up and know nothing of it. A new session is healthy.
   */
  silenceMedia(userId: string, side?: Side): void {
    for (const participant of this.sessionsOf(userId)) participant.silence(side);
  }

  /** The SFU closes the user's peer connections without a word. */
  closeMedia(userId: string): void {
    for (const { publisher, subscriber } of this.sessionsOf(userId)) {
      void publisher.peer.close();
      void subscriber.close();
    }
  }

  /** The SFU refuses the next joins for being full; the coordinator knows others. */
  sfuFull(times = 1): void {
    this.sfu.fullFor = times;
  }

  /** The user's present sessions stay among the participants when they have gone. */
  leaveGhost(userId: string): void {
    for (const participant of this.sessionsOf(userId)) participant.isGhost = true;
  }

  /** A bad network from the SFU to all who listen; without arguments a good one again. */
  impair(options: ImpairmentOptions = {}): void {
    this.sfu.impairment.set(options);
  }

  /** A bad network below everything, both ways, for all connections there are and will be; without arguments a good one again. */
  disturb(options: NetworkOptions = {}): void {
    this.sfu.network.set(options);
  }

  /** Relays announced to those who join from now on. */
  offerRelays(iceServers: readonly IceServer[]): void {
    this.sfu.iceServers = iceServers;
  }

  private sessionsOf(userId: string): SfuParticipant[] {
    return this.sfu.sessionsOf(userId);
  }
}
