import { GatewayError } from '../errors.js';
import { Body } from '../twilio/body.js';
import type { Answers, Asked } from './answers.js';
import { StreamedAnswer } from './streamed-answer.js';
import type { Reply, Request } from './transport/transport.js';

/** Largest request body, in bytes. */
export const MAX_BODY_BYTES = 64 * 1024;

/** Headers that routes read; a request's own memory is freed once its handler returns. */
const HEADERS = [
  'accept-encoding',
  'authorization',
  'content-length',
  'content-type',
  'host',
  'last-event-id',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-twilio-signature',
] as const;

type Headers = readonly (readonly [name: string, value: string])[];

/** The JSON body of an error. Other errors than GatewayError are faults of the gateway and reveal nothing. */
export function errorBody(error: unknown): { status: number; body: string } {
  const known = error instanceof GatewayError;
  const code = known ? error.code : 'GW_INTERNAL';
  const message = known ? error.message : 'A fault in the gateway; the log has the details';
  return { status: known ? error.status : 500, body: JSON.stringify({ error: { code, message } }) };
}

/** One HTTP request and its answer: safe to keep across awaits, and after the client has gone. */
export class RequestContext implements Asked {
  readonly path: string;
  readonly query: string;
  /** Whether the URL ends in a `?` with nothing after it. */
  readonly hasBareQuery: boolean;
  readonly isHead: boolean;
  /** All headers, if asked for. */
  readonly allHeaders: Headers;
  /** Whether the client has shown a valid key or signature; set by the route that checks it. */
  isKnown = false;
  isProbe = false;
  isGone = false;
  onGone: (() => void) | undefined;
  private readonly headers = new Map<string, string>();
  private readonly values: string[] = [];
  /** Whether the connection is closed after the answer. */
  isLast = false;
  private isOver = false;

  /** Must be constructed before the route's handler returns. */
  constructor(
    readonly reply: Reply,
    request: Request,
    private readonly answers: Answers,
    parameters = 0,
    keepsHeaders = false,
  ) {
    this.path = request.path;
    this.query = request.query ?? '';
    this.hasBareQuery = request.query === '';
    this.isHead = request.method === 'head';
    this.allHeaders = keepsHeaders ? request.headers() : [];
    for (const name of HEADERS) this.headers.set(name, request.header(name));
    // A proxy may add its own line after the client's.
    if (this.header('x-forwarded-for') !== '') {
      this.headers.set('x-forwarded-for', request.lines('x-forwarded-for').join(','));
    }
    for (let i = 0; i < parameters; i++) this.values.push(request.parameter(i));
    reply.onGone(() => {
      this.isGone = true;
      this.onGone?.();
    });
  }

  /** A request header by its lower-case name; empty if absent. */
  header = (name: string): string => this.headers.get(name) ?? '';

  /** The n-th `:parameter` of the route. */
  parameter(index: number): string {
    return this.values[index] ?? '';
  }

  /** The media type without its parameters, in lower case. */
  get contentType(): string {
    return (this.header('content-type').split(';')[0] ?? '').trim().toLowerCase();
  }

  /**
   * Reads the body, JSON of at most 64 KiB; an empty one counts as `{}`.
   * @throws GatewayError `GW_BAD_REQUEST` (400) for invalid JSON; otherwise as {@link bytes}
   */
  async readJson(): Promise<unknown> {
    const body = await this.read(MAX_BODY_BYTES, (bytes) => bytes.toString());
    if (body.trim() === '') return {};
    try {
      return JSON.parse(body);
    } catch {
      throw new GatewayError('GW_BAD_REQUEST', 'Expected a JSON body but received other text');
    }
  }

  /**
   * Reads the body; the result belongs to the caller.
   * @throws GatewayError `GW_BODY_TOO_LARGE` (413), `GW_CLIENT_GONE` if the client left meanwhile
   */
  bytes(limit: number): Promise<Buffer> {
    return this.read(limit, (bytes) => Buffer.from(bytes));
  }

  /** @param whole makes the result from all bytes, which are only lent */
  private read<T>(limit: number, whole: (bytes: Buffer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const tooLarge = () =>
        reject(
          new GatewayError(
            'GW_BODY_TOO_LARGE',
            `Expected a body of at most ${limit} bytes but received more`,
          ),
        );
      this.onGone = () => reject(clientGone());
      if (Number(this.header('content-length')) > limit) {
        tooLarge();
        return;
      }
      const body = new Body();
      let size = 0;
      this.reply.onData((chunk, isLast) => {
        size += chunk.byteLength;
        if (size > limit) {
          tooLarge();
          return;
        }
        // Nearly every body arrives in one piece.
        if (isLast && body.length === 0) {
          resolve(whole(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)));
          return;
        }
        body.add(chunk);
        if (isLast) resolve(whole(body.whole));
      });
    });
  }

  get forwardedFor(): string {
    return this.header('x-forwarded-for');
  }

  /** Whether it no longer needs an answer. */
  get isDone(): boolean {
    return this.isOver || this.isGone;
  }

  /**
   * Does work for the client in one of the next turns of the event loop, so that many requests cannot delay audio.
   * @throws GatewayError `GW_CLIENT_GONE` if the client has left by then, and what the work throws
   */
  inTurn<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.answers.turns.add(() => {
        try {
          // A client that sent its next request meanwhile was dropped.
          if (this.isGone) throw clientGone();
          resolve(work());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Answers; does nothing if answered before, or if the client has left. */
  answer(
    status: number,
    contentType?: string,
    body: string | Uint8Array = '',
    headers: readonly (readonly [name: string, value: string])[] = [],
  ): void {
    if (this.isDone) return;
    this.isOver = true;
    this.onGone = undefined;
    this.answers.give(this, { status, contentType, body, headers });
  }

  /** Answers 200 with a stream of text; `undefined` if the client has left, or wants only the headers. */
  stream(contentType: string): StreamedAnswer | undefined {
    if (this.isHead) this.answer(200, contentType);
    if (this.isDone) return undefined;
    this.isOver = true;
    const answer = new StreamedAnswer(this.reply, {
      status: 200,
      headers: [
        ['content-type', contentType],
        ['cache-control', 'no-store'],
        // Without it, nginx buffers the stream.
        ['x-accel-buffering', 'no'],
      ],
    });
    this.onGone = () => answer.gone();
    return answer;
  }

  json(status: number, value: unknown): void {
    this.answer(status, 'application/json', JSON.stringify(value));
  }

  error(error: unknown, headers: readonly (readonly [name: string, value: string])[] = []): void {
    const { status, body } = errorBody(error);
    this.answer(status, 'application/json', body, headers);
  }
}

function clientGone(): GatewayError {
  const message = 'The client left before its answer';
  return new GatewayError('GW_CLIENT_GONE', message);
}
