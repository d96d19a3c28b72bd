import type { ParticipantListener, ParticipantRequest, PlacedParticipant } from './participant.js';

/** Where participants live. */
export interface MediaHost {
  /** Makes sure that participants can be placed; fails where WebRTC does not load. */
  open(): Promise<void>;
  /** Places a participant, which makes ready to {@link PlacedParticipant.appear}; its listener hears how that goes. */
  place(request: ParticipantRequest, listener: ParticipantListener): PlacedParticipant;
  /** Makes everybody leave and frees what is held. */
  close(): Promise<void>;
}
