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
  /** Milliseconds of silence put in where timestamps jumped. */
  filledMs = 0;
  /** Frames dropped before the bridge leg was up (older than 200 ms). */
  droppedIntake = 0;
  /** Frames dropped because the listener was too far behind. */
  droppedLead = 0;
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
