/** One Twilio callback about a call. */
export interface HistoryEntry {
  /** When it happened, ISO 8601 in UTC: Twilio's timestamp, or when the callback arrived if there is none. */
  readonly at: string;
  /** A status callback, a stream status callback, or answering machine detection. */
  readonly source: 'status' | 'stream' | 'amd';
  /** The status, Twilio's `StreamEvent`, or who answered. */
  readonly event: string;
  /** Twilio's sequence number, in status callbacks. */
  readonly sequence?: number;
  readonly streamSid?: string;
  /** What went wrong, in Twilio's words. */
  readonly error?: string;
}

/** No real call has this many; only a forged flood does. */
const MAX_ENTRIES = 64;

/**
 * Twilio's callbacks about a call in the order they happened. Callbacks may arrive out of order and twice.
 */
export class CallHistory {
  private readonly list: HistoryEntry[] = [];

  get entries(): readonly HistoryEntry[] {
    return this.list;
  }

  /** @returns false for a duplicate */
  add(entry: HistoryEntry): boolean {
    if (this.list.some((each) => isSame(each, entry))) return false;
    const after = this.list.findIndex((each) => isBefore(entry, each));
    this.list.splice(after < 0 ? this.list.length : after, 0, entry);
    // Keep the first entries, which show how the call began, and the last, which show how it ended.
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
  // Status callbacks have timestamps in whole seconds only, but a sequence number.
  if (a.sequence !== undefined && b.sequence !== undefined) return a.sequence < b.sequence;
  return a.at < b.at;
}
