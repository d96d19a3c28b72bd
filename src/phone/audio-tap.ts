/** Overhears a media stream, both ways. All memory is only lent; it is called after the audio went where it belongs. */
export interface AudioTap {
  /**
   * The caller's audio, 48 kHz, any length.
   * @param mediaMs its place on the stream's own timeline, in milliseconds; NaN where that is unknown
   */
  callerAudio(samples: Int16Array, mediaMs: number): void;
  /**
   * A frame was sent to the caller.
   * @param leadMs milliseconds until it is heard
   */
  phoneAudio(frame: Int16Array, leadMs: number): void;
  /**
   * What was sent and not heard yet is taken back.
   * @param sinceMs how long ago it began not to be heard; 0 where that is now
   */
  cleared(sinceMs: number): void;
}
