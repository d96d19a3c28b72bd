import { SfuModels } from '@stream-io/video-client';
import type { PublishedTrack } from './published-track.js';
import { type SfuParticipant, type SfuPayload, timestamp } from './sfu-participant.js';

/** Who is in a call, and who hears whom. */
export class SfuCall {
  readonly participants = new Set<SfuParticipant>();
  private readonly startedAt = new Date().toISOString();

  constructor(readonly cid: string) {}

  find(userId: string): SfuParticipant[] {
    return [...this.participants].filter((participant) => participant.userId === userId);
  }

  /** The call state sent to those who join. */
  toProto(): SfuModels.CallState {
    return SfuModels.CallState.create({
      participants: [...this.participants].map((participant) => participant.toProto()),
      startedAt: timestamp(this.startedAt),
      participantCount: this.count(),
      pins: [],
    });
  }

  count(): SfuModels.ParticipantCount {
    return { total: this.participants.size, anonymous: 0 };
  }

  join(newcomer: SfuParticipant): void {
    this.participants.add(newcomer);
    this.tellOthers(newcomer, {
      oneofKind: 'participantJoined',
      participantJoined: { callCid: this.cid, participant: newcomer.toProto(), isPinned: false },
    });
  }

  /** A newcomer, whose join was confirmed, hears the present participants. */
  hearAll(newcomer: SfuParticipant): void {
    this.follow(newcomer);
  }

  /** A participant hears those of the others that everybody gets, or that it asked for, and no others. */
  follow(listener: SfuParticipant): void {
    for (const owner of this.others(listener)) {
      for (const track of owner.tracks.values()) {
        if (listener.isToFollow(owner, track)) listener.subscriber.follow(track);
        else listener.subscriber.unfollow(track);
      }
    }
  }

  published(owner: SfuParticipant, track: PublishedTrack): void {
    for (const other of this.others(owner))
      if (other.isToFollow(owner, track)) other.subscriber.follow(track);
  }

  announced(
    owner: SfuParticipant,
    track: PublishedTrack,
    isOn: boolean,
    cause: SfuModels.TrackUnpublishReason,
  ): void {
    const { userId, sessionId } = owner;
    const what = { userId, sessionId, type: track.type, participant: owner.toProto() };
    const payload: SfuPayload = isOn
      ? { oneofKind: 'trackPublished', trackPublished: what }
      : { oneofKind: 'trackUnpublished', trackUnpublished: { ...what, cause } };
    this.tellOthers(owner, payload);
    // A participant muted by a moderator must be notified; it then mutes itself.
    if (cause === SfuModels.TrackUnpublishReason.MODERATION) owner.send(payload);
  }

  /** The others hear and see no more of it. */
  leave(participant: SfuParticipant): void {
    this.forget(participant);
    this.tellOthers(participant, {
      oneofKind: 'participantLeft',
      participantLeft: { callCid: this.cid, participant: participant.toProto() },
    });
  }

  /** The others no longer hear it, but for them it has not left: it continues on another SFU. */
  forget(participant: SfuParticipant): void {
    this.participants.delete(participant);
    this.unfollow(participant);
  }

  unfollow(participant: SfuParticipant): void {
    for (const { subscriber } of this.others(participant)) {
      for (const track of participant.tracks.values()) subscriber.unfollow(track);
    }
  }

  tell(payload: SfuPayload): void {
    for (const participant of this.participants) participant.send(payload);
  }

  private tellOthers(participant: SfuParticipant, payload: SfuPayload): void {
    for (const other of this.others(participant)) other.send(payload);
  }

  /** A migrating participant exists twice with one session: it must not hear itself. */
  private others({ sessionId }: SfuParticipant): SfuParticipant[] {
    return [...this.participants].filter((other) => other.sessionId !== sessionId);
  }
}
