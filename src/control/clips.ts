import { accessSync, constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GatewayError } from '../errors.js';
import type { Clip } from './clip.js';
import { clipOfWav } from './wav-clip.js';

/** Largest file that is read, in bytes: ten minutes at 48 kHz in stereo. */
const MAX_FILE_BYTES = 116 * 1024 * 1024;
/** Samples of files kept for the next who plays them: some half an hour, 32 MB. */
const MAX_KEPT_SAMPLES = 16 * 1024 * 1024;

interface Kept {
  /** Which state of the file it is. */
  readonly version: string;
  readonly clip: Promise<Clip>;
}

/** The sounds in a directory: read once, and anew where a file has changed. */
export class Clips {
  /** The one that was asked for the longest ago comes first. */
  private readonly kept = new Map<string, Kept>();

  /** @param directory absent where there are none */
  constructor(private readonly directory: string | undefined) {}

  /**
   * Makes sure that there is a place to read from.
   * @throws GatewayError `GW_PLAY_DIR`
   */
  check(): void {
    if (this.directory === undefined) return;
    try {
      accessSync(this.directory, constants.R_OK | constants.X_OK);
    } catch (cause) {
      const message = `Expected a directory to read from for PLAY_DIR but received ${JSON.stringify(this.directory)}`;
      throw new GatewayError('GW_PLAY_DIR', message, { cause });
    }
  }

  /**
   * A file's sound.
   * @param name within the directory, also of a file in a directory there
   * @throws GatewayError `GW_PLAY_OFF` (409), `GW_PLAY_FILE_UNKNOWN` (404), as of {@link clipOfWav}
   */
  async get(name: string): Promise<Clip> {
    const path = await this.pathOf(name);
    let file: FileHandle | undefined;
    try {
      // A pipe would have its reader wait for ever.
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

  /** Where a file really is: links may not lead out of the directory. */
  private async pathOf(name: string): Promise<string> {
    if (this.directory === undefined) {
      throw new GatewayError('GW_PLAY_OFF', 'Expected PLAY_DIR for a file to play but received none');
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

/** The same for all that is not there to be played: nobody learns what else is on the disk. */
function unknown(): GatewayError {
  return new GatewayError(
    'GW_PLAY_FILE_UNKNOWN',
    'Expected a file in PLAY_DIR for a file to play but received another',
  );
}
