import type { MarkEcho } from '../phone/marks.js';
import type { PhoneLine } from './bridge.js';

/** What became of a mark: its audio was heard or dropped. */
export type MarkFate = 'heard' | 'cleared';

/** Shared by all lines: a call that moves to another room has pending marks of both. */
let serial = 0;

/** The marks that programs have pending at a phone. */
export class LineMarks {
  /** By their name at the phone. */
  private readonly pending = new Map<string, (fate: MarkFate) => void>();

  constructor(private readonly line: Pick<PhoneLine, 'mark'>) {}

  /**
   * Places a mark behind all audio queued for the phone.
   * @throws as {@link PhoneLine.mark}
   */
  place(done: (fate: MarkFate) => void): void {
    serial += 1;
    const name = `leg:${serial}`;
    this.line.mark(name);
    this.pending.set(name, done);
  }

  /** The phone has reached a mark. Returns whether it was one of these. */
  reached({ name, cleared }: MarkEcho): boolean {
    const done = this.pending.get(name);
    this.pending.delete(name);
    done?.(cleared ? 'cleared' : 'heard');
    return done !== undefined;
  }

  /** The phone leaves: no mark will be reached. */
  close(): void {
    for (const done of this.pending.values()) done('cleared');
    this.pending.clear();
  }
}
