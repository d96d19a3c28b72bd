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
