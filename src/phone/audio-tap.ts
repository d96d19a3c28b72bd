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
