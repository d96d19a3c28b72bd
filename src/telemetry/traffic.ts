/** Traffic counters: plain fields, cheap enough to increment for every frame. */
export class Traffic {
  /** Frames of 20 ms decoded from phones. */
  framesIn = 0;
  /** Frames of 20 ms sent to phones. */
  framesOut = 0;
  messagesIn = 0;
  /** Media messages that took the slow path. */
  slowMessages = 0;
  /** Malformed messages, which were dropped. */
  badMessages = 0;
  /** Media messages of other tracks than the caller's, which were ignored. */
  otherTracks = 0;
  /** Milliseconds filled in where timestamps jumped or audio was missing. */
  filledMs = 0;
  /** Frames from phones dropped: excess after a stall, or long before the bridge leg was up. */
  droppedIntake = 0;
  /** Frames dropped because the lead was full. */
  droppedLead = 0;
  /** Milliseconds of silence skipped, in either direction, to reduce a delay. */
  silenceDroppedMs = 0;
  /** Milliseconds by which speech was shortened, to reduce a delay. */
  shortenedMs = 0;
  /** Times a phone's queue was cleared because its audio would have been heard too late. */
  leadClears = 0;
  /** Frames dropped because the socket did not accept them. */
  droppedBackpressure = 0;
  /** Times the phone's buffer ran empty in the middle of speech. */
  underruns = 0;
  dtmf = 0;
  marks = 0;

  add(other: TrafficCounts): void {
    for (const key of Object.keys(other) as (keyof TrafficCounts)[]) this[key] += other[key];
  }

  counts(): TrafficCounts {
    return { ...this };
  }
}

/** The counters of {@link Traffic}. */
export type TrafficCounts = {
  -readonly [K in keyof Traffic as Traffic[K] extends number ? K : never]: number;
};
