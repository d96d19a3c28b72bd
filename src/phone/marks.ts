/** Twilio's echo of a mark. */
export interface MarkEcho {
  readonly name: string;
  /** Milliseconds of audio the listener had heard when the mark was echoed, counted from the start. */
  readonly playedMs: number;
  /** True if a `clear` caused the echo: not all audio before the mark was heard. */
  readonly cleared: boolean;
}

interface PendingMark {
  readonly name: string;
  readonly positionMs: number;
  readonly generation: number;
}

/** Maximum marks in flight. */
export const MAX_PENDING_MARKS = 256;

/**
 * The marks in flight. Twilio echoes a mark when playback reaches it, and echoes all of them after a `clear`.
 * Every clear starts a new generation; marks of older generations were not reached by playing.
 */
export class Marks {
  private pending: PendingMark[] = [];
  private generation = 0;

  get count(): number {
    return this.pending.length;
  }

  /** @param positionMs the mark's position in heard audio */
  place(name: string, positionMs: number): void {
    this.pending.push({ name, positionMs, generation: this.generation });
  }

  /** The phone was told to clear its buffer. */
  clear(): void {
    this.generation += 1;
  }

  /**
   * Handles an echo. Twilio preserves the order, so the first mark of that name is the one.
   * @param playedMs what the listener has heard by the clock
   * @returns `undefined` for a mark that is not in flight
   */
  reached(name: string, playedMs: number): MarkEcho | undefined {
    const index = this.pending.findIndex((mark) => mark.name === name);
    const [mark] = index < 0 ? [] : this.pending.splice(index, 1);
    if (mark === undefined) return undefined;
    const cleared = mark.generation !== this.generation;
    return { name, cleared, playedMs: cleared ? Math.min(mark.positionMs, playedMs) : mark.positionMs };
  }

  /** Discards all marks. */
  close(): void {
    this.pending = [];
  }
}
