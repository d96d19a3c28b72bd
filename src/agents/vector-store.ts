import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Embed, floatsOf } from './embeddings.js';

/** Texts whose vectors are asked for at once, and that are hashed between two turns of the event loop. */
const BATCH = 200;

/**
 * Vectors of texts, each of length 1. With a file they are asked for once: it has a JSON line
 * `{"model", "hash", "vector"}` for each text (SHA-256; base64 of 32-bit floats, little endian).
 */
export class VectorStore {
  /** @param file absent: vectors are not kept on disk */
  constructor(
    private readonly embed: Embed,
    private readonly file: string | undefined,
    private readonly warn: (error: unknown, message: string) => void,
  ) {}

  /** @throws what the {@link Embed} throws. An unreadable or unwritable file is only a warning. */
  async vectorsOf(texts: readonly string[]): Promise<Float32Array[]> {
    const hashes: string[] = [];
    for (const text of texts) {
      hashes.push(createHash('sha256').update(text).digest('hex'));
      if (hashes.length % BATCH === 0) await new Promise(setImmediate);
    }
    const wanted = new Set(hashes);
    const known = await this.load(wanted);
    const missing = [...new Map(hashes.map((hash, i) => [hash, texts[i] as string]))].filter(
      ([hash]) => !known.has(hash),
    );
    try {
      for (let at = 0; at < missing.length; at += BATCH) {
        const batch = missing.slice(at, at + BATCH);
        const vectors = await this.embed(batch.map(([, text]) => text));
        batch.forEach(([hash], i) => {
          known.set(hash, unitVector(vectors[i]));
        });
      }
    } finally {
      // What was paid for is kept, even if the rest failed.
      if (missing.some(([hash]) => known.has(hash))) await this.save(known);
    }
    const all = hashes.map((hash) => known.get(hash) as Float32Array);
    const lengths = new Set(all.map(({ length }) => length));
    if (lengths.size > 1)
      throw new Error(`Expected vectors of one length but received ${[...lengths].join(', ')}`);
    return all;
  }

  /** @throws what the {@link Embed} throws */
  async vectorOf(text: string, signal: AbortSignal): Promise<Float32Array> {
    const [vector] = await this.embed([text], signal);
    return unitVector(vector);
  }

  private async load(wanted: ReadonlySet<string>): Promise<Map<string, Float32Array>> {
    const known = new Map<string, Float32Array>();
    if (this.file === undefined) return known;
    try {
      for await (const line of createInterface({ input: createReadStream(this.file), crlfDelay: Infinity })) {
        const entry = entryOf(line);
        if (entry !== undefined && entry.model === this.embed.model && wanted.has(entry.hash)) {
          known.set(entry.hash, entry.vector);
        }
      }
    } catch (error) {
      const isNew = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!isNew) this.warn(error, 'failed to read the file of embeddings');
    }
    return known;
  }

  private async save(known: ReadonlyMap<string, Float32Array>): Promise<void> {
    if (this.file === undefined) return;
    const part = `${this.file}.part`;
    try {
      const lines = Readable.from(linesOf(known, this.embed.model));
      await pipeline(lines, createWriteStream(part, { mode: 0o600 }));
      await rename(part, this.file);
    } catch (error) {
      this.warn(error, 'failed to write the file of embeddings');
      await rm(part, { force: true }).catch(() => {});
    }
  }
}

function* linesOf(known: ReadonlyMap<string, Float32Array>, model: string | undefined): Generator<string> {
  for (const [hash, { buffer, byteOffset, byteLength }] of known) {
    const vector = Buffer.from(buffer, byteOffset, byteLength).toString('base64');
    yield `${JSON.stringify({ model, hash, vector })}\n`;
  }
}

/** A line of the file; undefined if it is damaged. */
function entryOf(line: string): { model?: string; hash: string; vector: Float32Array } | undefined {
  try {
    const { model, hash, vector } = JSON.parse(line) as Record<string, unknown>;
    if (typeof hash !== 'string' || typeof vector !== 'string') return undefined;
    const floats = floatsOf(vector);
    if (floats === undefined) return undefined;
    return { ...(typeof model === 'string' && { model }), hash, vector: floats };
  } catch {
    return undefined;
  }
}

function unitVector(vector: ArrayLike<number> | undefined): Float32Array {
  const unit = Float32Array.from(vector ?? []);
  const length = Math.sqrt(unit.reduce((sum, value) => sum + value * value, 0));
  if (!Number.isFinite(length) || length === 0) {
    throw new Error('Expected a vector for every text but received none');
  }
  return unit.map((value) => value / length);
}
