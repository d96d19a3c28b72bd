import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** One file of a spool. It only grows, is synced to disk in the background, and is deleted as a whole. */
export class SpoolSegment {
  /** Pending events in this file. */
  open = 0;
  private handle: FileHandle | undefined;
  private syncing: Promise<void> | undefined;
  private isSynced = true;

  /** @param bytes size of an existing file */
  constructor(
    private readonly file: string,
    public bytes = 0,
  ) {}

  /**
   * Appends; resolves when a crash of the process cannot lose the text. A crash of the machine can lose
   * everything since the last sync, which starts now or after the one in progress.
   * @param onSync called after each sync, with its error if any
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

  /** Closes the file for writing. */
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
    // The file contains phone numbers.
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
