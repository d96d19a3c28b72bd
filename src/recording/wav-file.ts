import { type FileHandle, open } from 'node:fs/promises';
import { expected } from '../errors.js';
import { WAV_HEADER_BYTES, wavHeader } from '../media/wav.js';
import type { TapeSink } from './stereo-tape.js';

const CHANNELS = 2;
const BYTES_PER_SAMPLE = 2;
const FRAME_BYTES = CHANNELS * BYTES_PER_SAMPLE;
/** One second at 16 kHz. */
const CHUNK_BYTES = 64_000;
/** Maximum backlog of the disk: eight seconds at 16 kHz. */
const CHUNKS = 8;

/**
 * A stereo WAV file that can be read while it grows: its header is updated about every second. Writers never
 * wait for the disk: audio is copied into one of a few buffers, and if the disk has all of them it is
 * replaced by silence of the same length.
 */
export class WavFile implements TapeSink {
  /** Milliseconds lost because the disk was too slow. */
  droppedMs = 0;
  private readonly free: Buffer[] = Array.from({ length: CHUNKS }, () => Buffer.allocUnsafe(CHUNK_BYTES));
  private readonly full: { readonly chunk: Buffer; readonly bytes: number; readonly at: number }[] = [];
  private chunk: Buffer | undefined;
  private filled = 0;
  /** Bytes of audio so far, including dropped ones, and how many are in the file. */
  private position = 0;
  private writtenTo = 0;
  private writing: Promise<void> | undefined;
  private failure: unknown;

  private constructor(
    private readonly file: FileHandle,
    private readonly rate: number,
    private readonly onError: (error: unknown) => void,
  ) {}

  /**
   * Creates the file, readable only by its owner.
   * @param rate samples per second and channel
   * @param onError called once, for the first failed write; all later audio is dropped
   * @param flags as for `fs.open`; by default an existing file is an error
   * @throws the file system's error
   */
  static async create(
    path: string,
    rate: number,
    onError: (error: unknown) => void,
    flags = 'wx',
  ): Promise<WavFile> {
    const file = await open(path, flags, 0o600);
    const wav = new WavFile(file, rate, onError);
    try {
      await wav.writeHeader();
    } catch (error) {
      await file.close();
      throw error;
    }
    return wav;
  }

  /** Length in milliseconds; after a disk error, of what the file contains. */
  get lengthMs(): number {
    const bytes = this.failure === undefined ? this.position : this.writtenTo;
    return (bytes / FRAME_BYTES / this.rate) * 1_000;
  }

  append(interleaved: Int16Array): void {
    if (interleaved.length % CHANNELS !== 0) throw expected('pairs of samples', 'stereo audio', interleaved);
    const bytes = new Uint8Array(interleaved.buffer, interleaved.byteOffset, interleaved.byteLength);
    for (let at = 0; at < bytes.length; ) {
      const chunk = this.current();
      const taken = Math.min(bytes.length - at, CHUNK_BYTES - this.filled);
      if (chunk === undefined) {
        this.droppedMs += ((bytes.length - at) / FRAME_BYTES / this.rate) * 1_000;
        this.position += bytes.length - at;
        return;
      }
      chunk.set(bytes.subarray(at, at + taken), this.filled);
      at += taken;
      this.filled += taken;
      this.position += taken;
      if (this.filled === CHUNK_BYTES) this.flush();
    }
  }

  skip(samples: number): void {
    this.flush();
    this.position += samples * FRAME_BYTES;
  }

  /**
   * Writes the rest and closes the file. Never rejects.
   * @returns the error if the file is incomplete, otherwise `undefined`
   */
  async close(): Promise<unknown> {
    this.flush();
    await this.writing;
    try {
      // Trailing silence is part of the recording.
      if (this.failure === undefined && this.position > this.writtenTo) {
        await this.file.truncate(WAV_HEADER_BYTES + this.position);
        this.writtenTo = this.position;
        await this.writeHeader();
      }
    } catch (error) {
      this.failure ??= error;
    }
    await this.file.close().catch(() => {});
    return this.failure;
  }

  /** The current buffer; `undefined` while the disk has all of them, or has failed. */
  private current(): Buffer | undefined {
    if (this.chunk === undefined && this.failure === undefined) {
      this.chunk = this.free.pop();
      this.filled = 0;
    }
    return this.chunk;
  }

  private flush(): void {
    const { chunk, filled } = this;
    this.chunk = undefined;
    if (chunk === undefined) return;
    this.full.push({ chunk, bytes: filled, at: this.position - filled });
    this.writing ??= this.write();
  }

  private async write(): Promise<void> {
    try {
      for (let next = this.full.shift(); next !== undefined; next = this.full.shift()) {
        const { chunk, bytes, at } = next;
        await this.writeAll(chunk, bytes, WAV_HEADER_BYTES + at);
        this.writtenTo = at + bytes;
        await this.writeHeader();
        this.free.push(chunk);
      }
    } catch (error) {
      this.failure = error;
      this.full.length = 0;
      this.onError(error);
    } finally {
      this.writing = undefined;
    }
  }

  private async writeHeader(): Promise<void> {
    await this.writeAll(wavHeader(CHANNELS, this.rate, this.writtenTo), WAV_HEADER_BYTES, 0);
  }

  private async writeAll(from: Buffer, bytes: number, at: number): Promise<void> {
    for (let done = 0; done < bytes; ) {
      done += (await this.file.write(from, done, bytes - done, at + done)).bytesWritten;
    }
  }
}
