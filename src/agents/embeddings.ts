import { type Clock, systemClock } from '../clock.js';
import { GatewayError } from '../errors.js';

const DEFAULT_MODEL = 'text-embedding-3-small';
const DEFAULT_BASE_URL = 'https://api.openai.com';
/**
 * Texts in one request: OpenAI takes 2,048, and 300,000 tokens in all of them. A section has at most 1,200 characters, so
 * that this many stay below in any language.
 */
const BATCH = 200;
/** Pauses in milliseconds between tries of a request. */
const PAUSES_MS = [500, 1_000, 2_000];
/** A pause that the service asks for is kept up to this. */
const MAX_PAUSE_MS = 20_000;
const REQUEST_MS = 20_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * Turns texts into vectors that lie near each other when the texts mean the same: any model behind a function. All vectors
 * have one length; their scale does not matter.
 * @param signal aborts when the vectors come too late to be used
 */
export interface Embed {
  (texts: readonly string[], signal?: AbortSignal): Promise<readonly ArrayLike<number>[]>;
  /** Names the model; vectors on disk that another model made are not used. */
  readonly model?: string;
}

/** Options of {@link openaiEmbeddings}. */
export interface OpenAiEmbeddingsOptions {
  /** The API key, sent to `baseUrl` only. */
  readonly key: string;
  /** Default `text-embedding-3-small`. */
  readonly model?: string;
  /** Default `https://api.openai.com`. Any service with OpenAI's `POST /v1/embeddings`; a path replaces `/v1`. */
  readonly baseUrl?: string;
  readonly clock?: Clock;
}

/**
 * Embeddings by OpenAI's API or one like it, in batches. Busy and broken answers (408, 409, 429, 5xx, none) are retried three
 * times.
 *
 * The function it returns rejects with a `GatewayError`: `GW_EMBEDDINGS_REFUSED` where another try is pointless (a wrong key or
 * model), else `GW_EMBEDDINGS_FAILED`.
 * @throws GatewayError `GW_EMBEDDINGS_REFUSED` for a key that cannot be one; TypeError for an invalid `baseUrl`
 */
export function openaiEmbeddings(options: OpenAiEmbeddingsOptions): Embed {
  const { key, model = DEFAULT_MODEL, baseUrl = DEFAULT_BASE_URL, clock = systemClock } = options;
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new GatewayError(
      'GW_EMBEDDINGS_REFUSED',
      'Expected an API key for the embeddings but received none',
    );
  }
  const base = new URL(baseUrl);
  const path = base.pathname === '/' ? '/v1' : base.pathname.replace(/\/+$/, '');
  const url = new URL(`${path}/embeddings`, base);

  async function embedBatch(input: readonly string[], signal?: AbortSignal): Promise<ArrayLike<number>[]> {
    for (const pauseMs of [...PAUSES_MS, undefined]) {
      let wantedMs = 0;
      try {
        return await clock.limited(REQUEST_MS, (late) => request(input, late, signal));
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof GatewayError) throw error;
        if (pauseMs === undefined) throw failure(error);
        if (error instanceof Busy) wantedMs = error.waitMs;
      }
      await clock.sleep(Math.min(Math.max(pauseMs, wantedMs), MAX_PAUSE_MS), signal);
      signal?.throwIfAborted();
    }
    throw new Error('unreachable');
  }

  /** One try, until the last byte of the answer. */
  async function request(
    input: readonly string[],
    late: AbortSignal,
    signal?: AbortSignal,
  ): Promise<ArrayLike<number>[]> {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, input, encoding_format: 'base64' }),
      redirect: 'error',
      signal: signal === undefined ? late : AbortSignal.any([late, signal]),
    });
    const { status, headers } = answer;
    const text = await textOf(answer);
    if (answer.ok) return vectorsOf(text, input.length);
    if (status >= 500 || status === 408 || status === 409 || status === 429) {
      throw new Busy(`status ${status}`, 1_000 * Number(headers.get('retry-after') ?? 0) || 0);
    }
    const message = `The embeddings service refused the request: status ${status}${reasonOf(text)}`;
    throw new GatewayError('GW_EMBEDDINGS_REFUSED', message);
  }

  const embed = async (texts: readonly string[], signal?: AbortSignal): Promise<ArrayLike<number>[]> => {
    const vectors: ArrayLike<number>[] = [];
    for (let at = 0; at < texts.length; at += BATCH) {
      vectors.push(...(await embedBatch(texts.slice(at, at + BATCH), signal)));
    }
    return vectors;
  };
  return Object.assign(embed, { model });
}

/** An answer that is worth another try. */
class Busy extends Error {
  constructor(
    message: string,
    readonly waitMs: number,
  ) {
    super(message);
  }
}

function failure(cause: unknown): GatewayError {
  const reason = cause instanceof Error && cause.name !== 'AbortError' ? cause.message : 'no answer in time';
  return new GatewayError('GW_EMBEDDINGS_FAILED', `The embeddings service failed: ${reason}`, { cause });
}

async function textOf(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`more than ${MAX_ANSWER_BYTES} bytes in the answer`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** OpenAI's error code. Its message is left out, since it quotes a part of the key. */
function reasonOf(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: unknown; type?: unknown } };
    const code = String(error?.code ?? error?.type ?? '');
    return /^[\w.-]{1,60}$/.test(code) ? `, ${code}` : '';
  } catch {
    return '';
  }
}

/** Reads `{ data: [{ index, embedding }] }`. */
function vectorsOf(text: string, count: number): ArrayLike<number>[] {
  const { data } = JSON.parse(text) as { data?: { index?: unknown; embedding?: unknown }[] };
  const vectors: ArrayLike<number>[] = [];
  for (const { index, embedding } of Array.isArray(data) ? data : []) {
    const vector = vectorOf(embedding);
    if (typeof index === 'number' && vector !== undefined) vectors[index] = vector;
  }
  if (vectors.length !== count || Object.keys(vectors).length !== count) {
    throw new Error(`Expected ${count} embeddings but received another answer`);
  }
  return vectors;
}

/** Base64 of 32-bit floats, little endian, which is parsed ten times as fast as numbers; or numbers, where a service has no base64. */
function vectorOf(embedding: unknown): ArrayLike<number> | undefined {
  if (typeof embedding === 'string') return floatsOf(embedding);
  const isVector = Array.isArray(embedding) && embedding.length > 0 && embedding.every(Number.isFinite);
  return isVector ? embedding : undefined;
}

/** The 32-bit floats, little endian, in a base64 text; undefined if it has none. */
export function floatsOf(base64: string): Float32Array | undefined {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length === 0 || bytes.length % 4 !== 0) return undefined;
  return new Float32Array(new Uint8Array(bytes).buffer);
}
