import { ApiError } from './api-error.js';
import type { Item } from './item.js';

/** The oldest items make room beyond this, as with the API's `truncation: "auto"`. */
const MOST_ITEMS = 500;
/** Seconds of audio that are kept; older messages then have their text only. */
const MOST_AUDIO_SECONDS = 600;

/** The items of a session, in order. */
export class Conversation {
  private readonly list: Item[] = [];

  get items(): readonly Item[] {
    return this.list;
  }

  find(id: string): Item | undefined {
    return this.list.find((item) => item.id === id);
  }

  get lastId(): string | null {
    return this.list.at(-1)?.id ?? null;
  }

  /**
   * @param after id of the item before it, `root` for none; default the last one
   * @returns id of the item before it
   * @throws ApiError if there is no such item, or one with its id already
   */
  add(item: Item, after: string | null = this.lastId): string | null {
    if (this.find(item.id) !== undefined)
      throw new ApiError(
        'item_create_duplicate_item_id',
        `Error adding item: an item with id '${item.id}' already exists.`,
        'item.id',
      );
    const at = after === 'root' || after === null ? -1 : this.list.findIndex(({ id }) => id === after);
    if (at < 0 && after !== 'root' && after !== null)
      throw new ApiError(
        'item_create_invalid_previous_item_id',
        `Error adding item: the previous item with id '${after}' does not exist.`,
        'previous_item_id',
      );
    this.list.splice(at + 1, 0, item);
    this.makeRoom();
    return after === 'root' ? null : after;
  }

  remove(item: Item): void {
    this.list.splice(this.list.indexOf(item), 1);
  }

  /** Drops all audio. */
  release(): void {
    for (const item of this.list) item.release();
  }

  private makeRoom(): void {
    while (this.list.length > MOST_ITEMS) this.list.shift();
    let seconds = 0;
    for (const item of this.list.toReversed()) {
      seconds += item.audioSeconds;
      if (seconds > MOST_AUDIO_SECONDS) item.release();
    }
  }
}
