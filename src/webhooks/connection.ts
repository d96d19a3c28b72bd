import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { buildConnector, Client } from 'undici';

/** What is posted, and where to. */
export interface Post {
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface DeliveryAnswer {
  readonly status: number;
  readonly body: string;
}

/** Largest answer that is read, in bytes. */
export const MAX_ANSWER_BYTES = 64 * 1024;
/** Most bytes on the wire until an answer is whole: with its head, those before it, and what goes around chunks. */
const MAX_WIRE_BYTES = MAX_ANSWER_BYTES + 16 * 1024;
/** A connection that nobody needed for so long is closed: before most servers do. */
const IDLE_MS = 4_000;

/** Makes connections to one origin, which take up each other's TLS sessions. */
export type Connect = () => Connection;

/**
 * How to connect to an origin. Undici is loaded now, and only its client: the whole of it takes three times as long, and would
 * become the agent of every `fetch` in the process.
 */
export function connecting(origin: string): Connect {
  const load = createRequire(import.meta.url);
  const NewClient = load('undici/lib/dispatcher/client.js') as typeof Client;
  const newConnector = load('undici/lib/core/connect.js') as typeof buildConnector;
  // Whoever asks knows when it takes too long, by the clock that was given down.
  const connector = newConnector({ timeout: 0 });
  return () => new Connection(origin, NewClient, connector);
}

/** A connection for one request at a time, made anew where it was closed. Nothing an answer is, or is not, outlives a cut. */
export class Connection {
  private readonly client: Client;
  private socket: Socket | undefined;
  /** Bytes that came before the answer under way. */
  private bytesBefore = 0;

  constructor(origin: string, NewClient: typeof Client, connector: buildConnector.connector) {
    this.client = new NewClient(origin, {
      connect: (options, done) => {
        // The declarations hide it: the socket is there before it is connected.
        this.socket = connector(options, (...result) => {
          const [, socket] = result;
          if (socket !== null && socket !== undefined) this.limit(socket);
          done(...result);
        }) as unknown as Socket;
      },
      pipelining: 1,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      // Ours comes before it: undici makes an error for each header beyond its own, 70 ms for a packet of short ones.
      maxHeaderSize: 2 * MAX_WIRE_BYTES,
    });
  }

  /** Sends a request; follows no redirect. Rejects with undici's or the system's error, or with the reason of the cut. */
  async post({ path, headers, body }: Post, cut: AbortSignal): Promise<DeliveryAnswer> {
    this.bytesBefore = this.socket?.bytesRead ?? 0;
    let end = () => {};
    try {
      return await new Promise((resolve, reject) => {
        // Whatever undici makes of it.
        end = () => {
          this.end(cut.reason);
          reject(cut.reason);
        };
        cut.addEventListener('abort', end);
        let status = 0;
        const chunks: Buffer[] = [];
        this.client.dispatch(
          { method: 'POST', path, headers, body },
          {
            onConnect() {},
            onHeaders(last) {
              status = last;
              return true;
            },
            onData: (chunk) => chunks.push(chunk) > 0,
            onComplete: () => resolve({ status, body: Buffer.concat(chunks).toString() }),
            onError: reject,
          },
        );
      });
    } finally {
      cut.removeEventListener('abort', end);
    }
  }

  /** Ends it, and the request that is under way. */
  end(reason: Error): void {
    void this.client.destroy(reason);
    this.socket?.destroy(reason);
  }

  private limit(socket: Socket): void {
    this.bytesBefore = socket.bytesRead;
    socket.on('readable', () => {
      if (socket.bytesRead - this.bytesBefore > MAX_WIRE_BYTES) socket.destroy(new TooLarge());
    });
  }
}

/** More came than any answer may be; undici tells the same of a body. */
class TooLarge extends Error {
  readonly code = 'UND_ERR_RES_EXCEEDED_MAX_SIZE';
}
