/** An echo of a mark. */
export interface MarkEcho {
  readonly name: string;
  /** Milliseconds of audio the listener had heard when the mark came back, counted from the start. */
  readonly playedMs: number;
  /** True where the mark came back because of a `clear`: the audio before it was not all heard. */
  readonly cleared: boolean;
}

interface PendingMark {
  readonly name: string;
  readonly positionMs: number;
  readonly generation: number;
}

/** Marks that may be under way at once. */
export const MAX_PENDING_MARKS = 256;

/**
 * The marks under way. Twilio echoes a mark when playback reaches it, but also, all at once, after a `clear`;
 * every clear begins a new generation, and a mark of an older one was not reached by playing.
 */
export class Marks {
  private pending: PendingMark[] = [];
  private generation = 0;

  get count(): number {
    return this.pending.length;
  }

  /** @param positionMs heard audio at which the mark stands */
  place(name: string, positionMs: number): void {
    this.pending.push({ name, positionMs, generation: this.generation });
  }

  /** The far end was told to drop its buffer. */
  clear(): void {
    this.generation += 1;
  }

  /**
   * A mark came back; Twilio keeps their order, so the first of that name is the one.
   * @param playedMs what the listener has heard by the clock
   * @returns `undefined` for a mark that is not under way
   */
  reached(name: string, playedMs: number): MarkEcho | undefined {
    const index = this.pending.findIndex((mark) => mark.name === name);
    const [mark] = index < 0 ? [] : this.pending.splice(index, 1);
    if (mark === undefined) return undefined;
    const cleared = mark.generation !== this.generation;
    return { name, cleared, playedMs: cleared ? Math.min(mark.positionMs, playedMs) : mark.positionMs };
  }

  /** Forgets all of them. */
  close(): void {
    this.pending = [];
  }
}
