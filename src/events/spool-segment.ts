import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** One file of a spool. It only grows, is synced to the disk by itself, and goes as a whole. */
export class SpoolSegment {
  /** Events in it that somebody still waits for. */
  open = 0;
  private handle: FileHandle | undefined;
  private syncing: Promise<void> | undefined;
  private isSynced = true;

  /** @param bytes of a file that is there already */
  constructor(
    private readonly file: string,
    public bytes = 0,
  ) {}

  /**
   * Writes to its end; fulfilled when no crash of the process loses it. One of the machine loses what came since the last sync,
   * which begins now, or when the one under way is over.
   * @param onSync told of each sync that is over, and what went wrong if anything did
   */
  async append(text: string, onSync: (error?: Error) => void): Promise<void> {
    this.handle ??= await this.create();
    await this.handle.appendFile(text);
    this.bytes += Buffer.byteLength(text);
    this.isSynced = false;
    this.syncing ??= this.sync(this.handle)
      .then(() => onSync(), onSync)
      .finally(() => {
        this.syncing = undefined;
      });
  }

  /** Takes no more. */
  async end(): Promise<void> {
    await this.syncing;
    await this.handle?.close();
    this.handle = undefined;
  }

  async remove(): Promise<void> {
    await this.end();
    await rm(this.file, { force: true });
  }

  private async create(): Promise<FileHandle> {
    // It holds phone numbers.
    const handle = await open(this.file, 'ax', 0o600);
    const directory = await open(dirname(this.file));
    await directory.sync().finally(() => directory.close());
    return handle;
  }

  private async sync(handle: FileHandle): Promise<void> {
    while (!this.isSynced) {
      this.isSynced = true;
      await handle.datasync();
    }
  }
}
