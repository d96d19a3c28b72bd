import type { Clock } from '../../clock.js';
import type { FrameClock } from '../../media/frame-clock.js';
import {
  makeBlockClock,
  Participant,
  type ParticipantListener,
  type ParticipantRequest,
  type PlacedParticipant,
} from './participant.js';
import type { RtcStack } from './rtc-stack.js';
import { chooseStack } from './stack.js';

/** Runs participants: in media workers or in this process. @internal */
export interface MediaHost {
  /** Whether another participant would hurt the current ones; absent if unknown. */
  readonly isOverloaded?: boolean;
  /** The WebRTC in use, and why it is not a better one; absent if unknown. */
  readonly webrtc?: string | undefined;
  /** Prepares for participants; fails if WebRTC does not load. */
  open(): Promise<void>;
  /** Places a participant, which prepares to {@link PlacedParticipant.appear}; its listener receives the outcome. */
  place(request: ParticipantRequest, listener: ParticipantListener): PlacedParticipant;
  /** Removes all participants and frees all resources. */
  close(): Promise<void>;
}

/** Participants in the gateway's own process: for development. A crash of WebRTC takes everything down. */
export class InlineHost implements MediaHost {
  private readonly participants = new Set<Participant>();

  private readonly blockClock: FrameClock;

  constructor(
    clock: Clock,
    private readonly stack: RtcStack = chooseStack('auto').stack,
  ) {
    this.blockClock = makeBlockClock(clock);
  }

  get webrtc(): string {
    return this.stack.name;
  }

  async open(): Promise<void> {
    this.stack.installGlobals();
  }

  place(request: ParticipantRequest, listener: ParticipantListener): PlacedParticipant {
    const participant = new Participant(this.stack, request, listener, this.blockClock);
    this.participants.add(participant);
    void participant.join();
    return {
      appear: () => participant.appear(),
      write: (frame, stamp) => participant.write(frame, stamp),
      playTones: (digits) => participant.playTones(digits),
      mute: (isMuted) => participant.mute(isMuted),
      clear: () => participant.clear(),
      followPrograms: (userIds) => participant.followPrograms(userIds),
      hush: (userId, ms) => participant.hush(userId, ms),
      leave: async () => {
        await participant.leave();
        this.participants.delete(participant);
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.participants].map((participant) => participant.leave()));
    this.participants.clear();
  }
}
