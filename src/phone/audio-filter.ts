/** Stands in a media stream's way, both ways. There is one only while it changes something. */
export interface AudioFilter {
  /** Whether the other side hears silence in place of the caller. */
  readonly silencesCaller: boolean;
  /**
   * A frame of the other side is on its way to the caller.
   * @returns what the caller hears of it, lent until the next call; `undefined` for nothing
   */
  replace(frame: Int16Array): Int16Array | undefined;
  /** What the caller had waiting was taken back. */
  cleared(): void;
}
