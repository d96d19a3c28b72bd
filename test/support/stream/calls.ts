import type { StreamApp } from './app.js';
import type { CallState, SessionParticipant } from './call-state.js';
import type { CoordinatorSockets, MediaServers } from './coordinator-sockets.js';

/** What happens to calls, at the SFU and in the coordinator's events alike. */
export class Calls {
  constructor(
    private readonly app: StreamApp,
    private readonly sockets: CoordinatorSockets,
    private readonly sfu: MediaServers,
  ) {
    sfu.onJoined = (cid, participant) => this.joined(cid, participant);
    sfu.onLeft = (cid, participant) => this.left(cid, participant);
  }

  /** Ends a call for everybody; without `by` if a server does it. */
  end(call: CallState, by: string | undefined): void {
    if (call.endedAt !== undefined) return;
    call.endedAt = new Date().toISOString();
    this.sockets.broadcast(call, { type: 'call.ended', call, ...this.userAs('user', by) });
    this.sfu.end(call.cid);
  }

  remove(call: CallState, userId: string, by: string | undefined, kind: 'kicked' | 'blocked'): void {
    this.sockets.broadcast(call, {
      type: `call.${kind}_user`,
      user: this.app.users.show(userId),
      ...this.userAs(`${kind}_by_user`, by),
    });
    this.sfu.kick(call.cid, userId);
  }

  private joined(cid: string, participant: SessionParticipant): void {
    const call = this.app.calls.get(cid);
    if (call === undefined) return;
    const session = call.begin();
    const isFirst = session.participants.size === 0;
    session.participants.set(participant.sessionId, participant);
    if (isFirst) this.sockets.broadcast(call, { type: 'call.session_started', call, session_id: session.id });
    this.sockets.broadcast(call, {
      type: 'call.session_participant_joined',
      session_id: session.id,
      participant: call.participantJson(participant),
    });
  }

  private left(cid: string, participant: SessionParticipant): void {
    const call = this.app.calls.get(cid);
    const session = call?.session;
    if (call === undefined || session === undefined) return;
    session.participants.delete(participant.sessionId);
    this.sockets.broadcast(call, {
      type: 'call.session_participant_left',
      session_id: session.id,
      participant: call.participantJson(participant),
      duration_seconds: Math.round((Date.now() - Date.parse(participant.joinedAt)) / 1000),
    });
  }

  private userAs(field: string, userId: string | undefined): object {
    return userId === undefined ? {} : { [field]: this.app.users.show(userId) };
  }
}
