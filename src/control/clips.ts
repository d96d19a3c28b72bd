import { accessSync, constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GatewayError } from '../errors.js';
import type { Clip } from './clip.js';
import { clipOfWav } from './wav-clip.js';

/** Largest file, in bytes: ten minutes at 48 kHz in stereo. */
const MAX_FILE_BYTES = 116 * 1024 * 1024;
/** Samples kept for the next play: about half an hour, 32 MB. */
const MAX_KEPT_SAMPLES = 16 * 1024 * 1024;

interface Kept {
  /** Identifies the state of the file. */
  readonly version: string;
  readonly clip: Promise<Clip>;
}

/** The sounds of a directory: read once, and again when a file changes. */
export class Clips {
  /** Least recently used first. */
  private readonly kept = new Map<string, Kept>();

  /** @param directory absent if there are no sounds */
  constructor(private readonly directory: string | undefined) {}

  /**
   * Checks that the directory can be read.
   * @throws GatewayError `GW_PLAY_DIR`
   */
  check(): void {
    if (this.directory === undefined) return;
    try {
      accessSync(this.directory, constants.R_OK | constants.X_OK);
    } catch (cause) {
      const message = `Expected a readable directory for PLAY_DIR but received ${JSON.stringify(this.directory)}`;
      throw new GatewayError('GW_PLAY_DIR', message, { cause });
    }
  }

  /**
   * Reads a file's sound.
   * @param name path within the directory
   * @throws GatewayError `GW_PLAY_OFF` (409), `GW_PLAY_FILE_UNKNOWN` (404), as of {@link clipOfWav}
   */
  async get(name: string): Promise<Clip> {
    const path = await this.pathOf(name);
    let file: FileHandle | undefined;
    try {
      // Without O_NONBLOCK, opening a pipe would block for ever.
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => {
        throw unknown();
      });
      const { size, mtimeMs, ino } = await file.stat().then((stat) => {
        if (!stat.isFile()) throw unknown();
        return stat;
      });
      if (size > MAX_FILE_BYTES) {
        const message = `Expected at most ${MAX_FILE_BYTES} bytes for a WAV file but received ${size}`;
        throw new GatewayError('GW_WAV_TOO_LONG', message);
      }
      const version = `${ino} ${size} ${mtimeMs}`;
      const kept = this.kept.get(path);
      const clip = kept?.version === version ? kept.clip : file.readFile().then(clipOfWav);
      this.kept.delete(path);
      this.kept.set(path, { version, clip });
      return await clip.catch((error) => {
        if (this.kept.get(path)?.clip === clip) this.kept.delete(path);
        throw error;
      });
    } finally {
      await file?.close();
      void this.makeRoom();
    }
  }

  /** Resolves links, which must not lead out of the directory. */
  private async pathOf(name: string): Promise<string> {
    if (this.directory === undefined) {
      throw new GatewayError('GW_PLAY_OFF', 'Cannot play files: PLAY_DIR is not set');
    }
    if (name.includes('\0')) throw unknown();
    const root = await realpath(this.directory).catch(() => '');
    const path = await realpath(join(root, name)).catch(() => '');
    if (root === '' || !path.startsWith(root.endsWith(sep) ? root : root + sep)) throw unknown();
    return path;
  }

  private async makeRoom(): Promise<void> {
    const clips = await Promise.allSettled([...this.kept.values()].map(({ clip }) => clip));
    let samples = 0;
    for (const clip of clips) samples += clip.status === 'fulfilled' ? clip.value.pcm.length : 0;
    for (const [path, { clip }] of this.kept) {
      if (samples <= MAX_KEPT_SAMPLES) return;
      this.kept.delete(path);
      samples -= (await clip.catch(() => undefined))?.pcm.length ?? 0;
    }
  }
}

/** One error for every path, so that nobody learns what else is on the disk. */
function unknown(): GatewayError {
  return new GatewayError('GW_PLAY_FILE_UNKNOWN', 'PLAY_DIR has no such file');
}
