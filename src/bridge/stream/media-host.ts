import type { ParticipantListener, ParticipantRequest, PlacedParticipant } from './participant.js';

/** Where participants live. */
export interface MediaHost {
  /** Whether one more participant would be too many for those there are; absent where nobody knows. */
  readonly isOverloaded?: boolean;
  /** Makes sure that participants can be placed; fails where WebRTC does not load. */
  open(): Promise<void>;
  /** Places a participant, which makes ready to {@link PlacedParticipant.appear}; its listener hears how that goes. */
  place(request: ParticipantRequest, listener: ParticipantListener): PlacedParticipant;
  /** Makes everybody leave and frees what is held. */
  close(): Promise<void>;
}
