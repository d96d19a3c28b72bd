/** What came and went: plain counters, cheap enough to bump for every frame. */
export class Traffic {
  /** Frames of 20 ms decoded from phones. */
  framesIn = 0;
  /** Frames of 20 ms sent to phones. */
  framesOut = 0;
  messagesIn = 0;
  /** Media messages that took the readable slow path. */
  slowMessages = 0;
  /** Messages that could not be understood and were dropped. */
  badMessages = 0;
  /** Media messages of another track than the caller's own, which are not heard. */
  otherTracks = 0;
  /** Milliseconds put in where timestamps jumped, or nothing came. */
  filledMs = 0;
  /** Frames from phones dropped: what came all at once after a stall, or long before the bridge leg was up. */
  droppedIntake = 0;
  /** Frames dropped because the listener was too far behind. */
  droppedLead = 0;
  /** Milliseconds of silence left out, either way, to bring a delay back to what it was. */
  silenceDroppedMs = 0;
  /** Milliseconds by which words were said faster, for the same. */
  shortenedMs = 0;
  /** Times a phone was told to drop what it had, because it would have been heard too late. */
  leadClears = 0;
  /** Frames dropped because the socket did not take them. */
  droppedBackpressure = 0;
  /** Times the listener ran dry in the middle of speech. */
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

export type TrafficCounts = {
  -readonly [K in keyof Traffic as Traffic[K] extends number ? K : never]: number;
};
