/**
 * Listens to a media stream in both directions. All memory is only lent. Called after the audio has been
 * forwarded.
 */
export interface AudioTap {
  /**
   * The caller's audio, 48 kHz, any length.
   * @param mediaMs its position on the stream's timeline in milliseconds; NaN if unknown
   */
  callerAudio(samples: Int16Array, mediaMs: number): void;
  /**
   * A frame was sent to the phone.
   * @param leadMs milliseconds until it is heard
   */
  phoneAudio(frame: Int16Array, leadMs: number): void;
  /**
   * Audio that was sent but not yet heard was discarded.
   * @param sinceMs milliseconds since the first discarded audio was due; 0 for now
   */
  cleared(sinceMs: number): void;
}

/** Changes the audio of a media stream in either direction. Set only while it changes something. */
export interface AudioFilter {
  /** Whether the room hears silence instead of the caller. */
  readonly silencesCaller: boolean;
  /**
   * Transforms a frame from the room on its way to the caller.
   * @returns what the caller hears, valid until the next call; `undefined` for nothing
   */
  replace(frame: Int16Array): Int16Array | undefined;
  /** Audio queued for the caller was cleared. */
  cleared(): void;
}
