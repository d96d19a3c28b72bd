import { closeSync, openSync } from 'node:fs';
import { open, rename, stat } from 'node:fs/promises';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import type { DeadMessage } from '../webhooks/delivery.js';

/** At this size the file is renamed to `….1`, replacing the previous one. */
const DEFAULT_MAX_BYTES = 10 * 1024 * 1024;
/** Maximum dead letters waiting for a slow disk; more are counted as lost. */
const MAX_WAITING = 10_000;
/** Reads the file's end; writes only append. */
const FLAGS = 'a+';
/** The file contains phone numbers. */
const MODE = 0o600;

/**
 * Undelivered events, as JSON lines `{at, why, tries, event}`, so that they can be resent. At most two files,
 * readable only by their owner.
 */
export class DeadLetter {
  /** Dead letters that are in no file: none was configured, or it could not be written. */
  lost = 0;
  private waiting: { readonly text: string; readonly onKept: () => void }[] = [];
  private writing: Promise<void> | undefined;

  /** @param file undefined: dead letters are only counted */
  constructor(
    private readonly file: string | undefined,
    private readonly log: Logger,
    private readonly clock: Clock,
    private readonly maxBytes = DEFAULT_MAX_BYTES,
  ) {}

  /**
   * Checks that the file is writable.
   * @throws GatewayError `GW_DEAD_LETTER_FILE`
   */
  open(): void {
    if (this.file === undefined) return;
    try {
      closeSync(openSync(this.file, FLAGS, MODE));
    } catch (cause) {
      const message = `Expected a file to write to for EVENTS_DEAD_LETTER_FILE but received ${JSON.stringify(this.file)}`;
      throw new GatewayError('GW_DEAD_LETTER_FILE', message, { cause });
    }
  }

  /** @param onKept called when the dead letter is written, or lost */
  add({ message, why, tries }: Omit<DeadMessage, 'isCut'>, onKept = () => {}): void {
    if (this.waiting.length >= MAX_WAITING) {
      this.lost += 1;
      onKept();
    } else {
      const head = JSON.stringify({ at: this.clock.date().toISOString(), why, tries });
      // The event is already JSON.
      this.waiting.push({ text: `${head.slice(0, -1)},"event":${message.body}}\n`, onKept });
    }
    this.writing ??= this.writeNext().finally(() => {
      this.writing = undefined;
    });
  }

  /** Resolves when all dead letters so far are written. */
  async close(): Promise<void> {
    while (this.writing !== undefined) await this.writing;
  }

  private async writeNext(): Promise<void> {
    // Batch everything from this turn into one write and one log line.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const letters = this.waiting;
      this.waiting = [];
      this.log.error({ events: letters.length, file: this.file }, 'events not delivered');
      try {
        if (this.file === undefined) this.lost += letters.length;
        else await this.write(this.file, letters.map(({ text }) => text).join(''));
      } catch (error) {
        this.lost += letters.length;
        this.log.error({ err: error }, 'failed to write the dead-letter file');
      }
      for (const { onKept } of letters) onKept();
    }
  }

  /** Opens the file each time: an operator may move it away, and the disk may be full for a while. */
  private async write(file: string, text: string): Promise<void> {
    const size = await sizeOf(file);
    if (size > 0 && size + Buffer.byteLength(text) > this.maxBytes) {
      await rename(file, `${file}.1`).catch(ignoreMissing);
    }
    const handle = await open(file, FLAGS, MODE);
    try {
      const { size } = await handle.stat();
      const last = Buffer.from('\n');
      if (size > 0) await handle.read(last, 0, 1, size - 1);
      // A line cut off by a full disk or a crash stays on its own.
      await handle.appendFile(last.toString() === '\n' ? text : `\n${text}`);
    } finally {
      await handle.close();
    }
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(ignoreMissing))?.size ?? 0;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
