/** What Twilio told of a call. */
export interface HistoryEntry {
  /** When it happened, ISO 8601, UTC, as Twilio says; when we heard of it where it does not. */
  readonly at: string;
  /** A status callback, a stream status callback, or answering machine detection. */
  readonly source: 'status' | 'stream' | 'amd';
  /** The status, Twilio's `StreamEvent`, or who answered. */
  readonly event: string;
  /** Order among the status callbacks of a call. */
  readonly sequence?: number;
  readonly streamSid?: string;
  /** What went wrong, in Twilio's words. */
  readonly error?: string;
}

/** More than any call tells, unless somebody makes it. */
const MAX_ENTRIES = 64;

/**
 * What Twilio told of a call, in the order in which it happened: callbacks come out of order, and twice.
 */
export class CallHistory {
  private readonly list: HistoryEntry[] = [];

  get entries(): readonly HistoryEntry[] {
    return this.list;
  }

  /** @returns false for what was told before */
  add(entry: HistoryEntry): boolean {
    if (this.list.some((each) => isSame(each, entry))) return false;
    const after = this.list.findIndex((each) => isBefore(entry, each));
    this.list.splice(after < 0 ? this.list.length : after, 0, entry);
    // Of many, the first tell how it began and the last how it ended.
    if (this.list.length > MAX_ENTRIES) this.list.splice(MAX_ENTRIES / 2, 1);
    return true;
  }
}

function isSame(a: HistoryEntry, b: HistoryEntry): boolean {
  if (a.source !== b.source || a.event !== b.event) return false;
  if (a.source === 'status') return a.sequence === b.sequence;
  return a.streamSid === b.streamSid;
}

function isBefore(a: HistoryEntry, b: HistoryEntry): boolean {
  // Status callbacks tell whole seconds only, and have an order of their own.
  if (a.sequence !== undefined && b.sequence !== undefined) return a.sequence < b.sequence;
  return a.at < b.at;
}
