import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { GatewayError } from '../errors.js';
import { StreamedAnswer } from './streamed-answer.js';

/** Largest request body taken, in bytes. */
export const MAX_BODY_BYTES = 64 * 1024;

/** Headers that routes look at; a request's own memory is gone once its handler returns. */
const HEADERS = [
  'accept-encoding',
  'authorization',
  'content-length',
  'content-type',
  'host',
  'last-event-id',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-twilio-signature',
] as const;

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  426: 'Upgrade Required',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
};

/** The status line uWebSockets.js wants. */
export function statusLine(status: number): string {
  return `${status} ${REASONS[status] ?? 'Unknown'}`;
}

/** The JSON body of an error. What is not a GatewayError is a fault of ours and says nothing of itself. */
export function errorBody(error: unknown): { status: number; body: string } {
  const known = error instanceof GatewayError;
  const code = known ? error.code : 'GW_INTERNAL';
  const message = known ? error.message : 'Expected to answer this request but failed; the log says why';
  return { status: known ? error.status : 500, body: JSON.stringify({ error: { code, message } }) };
}

/** One HTTP request and its answer: safe to keep across awaits, and after the client has gone. */
export class Exchange {
  readonly path: string;
  readonly query: string;
  private readonly headers = new Map<string, string>();
  private readonly values: string[] = [];
  /** Whether the connection is closed after the answer. */
  isLast = false;
  private over = false;
  private onGone: (() => void) | undefined;

  /** Must be made before the route's handler returns. */
  constructor(
    private readonly response: HttpResponse,
    request: HttpRequest,
    parameters = 0,
  ) {
    this.path = request.getUrl();
    this.query = request.getQuery() ?? '';
    for (const name of HEADERS) this.headers.set(name, request.getHeader(name));
    for (let i = 0; i < parameters; i++) this.values.push(request.getParameter(i) ?? '');
    response.onAborted(() => {
      this.over = true;
      this.onGone?.();
    });
  }

  /** A request header by its lower-case name; empty text where it is absent. */
  header = (name: string): string => this.headers.get(name) ?? '';

  /** The n-th `:parameter` of the route. */
  parameter(index: number): string {
    return this.values[index] ?? '';
  }

  /** The media type without its parameters, in lower case. */
  get contentType(): string {
    return (this.header('content-type').split(';')[0] ?? '').trim().toLowerCase();
  }

  /** As {@link bytes}, as text of at most 64 KiB. */
  body(): Promise<string> {
    return this.read(MAX_BODY_BYTES, (bytes) => bytes.toString());
  }

  /**
   * Reads the body, which is the caller's own.
   * @throws GatewayError `GW_BODY_TOO_LARGE` (413), `GW_CLIENT_GONE` where the client left meanwhile
   */
  bytes(limit: number): Promise<Buffer> {
    return this.read(limit, (bytes) => Buffer.from(bytes));
  }

  /** @param whole makes of all bytes, which are only lent, what is asked for */
  private read<T>(limit: number, whole: (bytes: Buffer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const tooLarge = () =>
        reject(
          new GatewayError(
            'GW_BODY_TOO_LARGE',
            `Expected a body of at most ${limit} bytes but received more`,
            {
              status: 413,
            },
          ),
        );
      this.onGone = () =>
        reject(
          new GatewayError('GW_CLIENT_GONE', 'Expected a whole body for this request but received a part', {
            status: 400,
          }),
        );
      if (Number(this.header('content-length')) > limit) {
        tooLarge();
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      this.response.onData((chunk, isLast) => {
        size += chunk.byteLength;
        if (size > limit) {
          tooLarge();
          return;
        }
        // Nearly every body comes in one piece.
        if (isLast && chunks.length === 0) {
          resolve(whole(Buffer.from(chunk)));
          return;
        }
        // The chunk is neutered when this callback returns.
        chunks.push(Buffer.from(new Uint8Array(chunk)));
        if (isLast) resolve(whole(Buffer.concat(chunks)));
      });
    });
  }

  /** Answers; a second answer, or one to a client that has gone, does nothing. */
  answer(
    status: number,
    contentType?: string,
    body: string | Uint8Array = '',
    headers: readonly (readonly [name: string, value: string])[] = [],
  ): void {
    if (this.over) return;
    this.over = true;
    this.response.cork(() => {
      this.response.writeStatus(statusLine(status));
      if (contentType !== undefined) this.response.writeHeader('content-type', contentType);
      for (const [name, value] of headers) this.response.writeHeader(name, value);
      // Closing is the only way to stop an upload that nobody wants.
      const isLast = this.isLast || status === 413;
      if (status === 204) this.response.endWithoutBody(0, isLast);
      else this.response.end(body, isLast);
    });
  }

  /** Answers 200 with text that goes on; `undefined` where the client has gone. */
  stream(contentType: string): StreamedAnswer | undefined {
    if (this.over) return undefined;
    this.over = true;
    this.response.cork(() => {
      this.response
        .writeStatus(statusLine(200))
        .writeHeader('content-type', contentType)
        .writeHeader('cache-control', 'no-store')
        // nginx holds answers back otherwise.
        .writeHeader('x-accel-buffering', 'no');
    });
    const answer = new StreamedAnswer(this.response);
    this.onGone = () => answer.gone();
    return answer;
  }

  json(status: number, value: unknown): void {
    this.answer(status, 'application/json', JSON.stringify(value));
  }

  error(error: unknown): void {
    const { status, body } = errorBody(error);
    this.answer(status, 'application/json', body);
  }
}
