import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { buildConnector, Client } from 'undici';

/** A request to post. */
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
/** Most bytes on the wire until an answer is complete, including its headers, interim answers and chunk framing. */
const MAX_WIRE_BYTES = MAX_ANSWER_BYTES + 16 * 1024;
/** An idle connection is closed after this long: before most servers do. */
const IDLE_MS = 4_000;

/** Opens connections to one origin; they share TLS sessions. */
export type Connect = () => Connection;

/**
 * Returns a function that connects to an origin. It loads only undici's client: the whole package takes three times as long,
 * and would replace the agent of every `fetch` in the process.
 */
export function connecting(origin: string): Connect {
  const load = createRequire(import.meta.url);
  const NewClient = load('undici/lib/dispatcher/client.js') as typeof Client;
  const newConnector = load('undici/lib/core/connect.js') as typeof buildConnector;
  // The caller has its own timeout, by the injected clock.
  const connector = newConnector({ timeout: 0 });
  return () => new Connection(origin, NewClient, connector);
}

/** A connection for one request at a time, reopened when necessary. After an abort nothing of an answer remains. */
export class Connection {
  private readonly client: Client;
  private socket: Socket | undefined;
  /** Bytes received before the current answer. */
  private bytesBefore = 0;

  constructor(origin: string, NewClient: typeof Client, connector: buildConnector.connector) {
    this.client = new NewClient(origin, {
      connect: (options, done) => {
        // Not in the declarations: the socket exists before it is connected.
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
      // Our limit strikes first: undici creates an error for each header beyond its own, 70 ms for a packet of short ones.
      maxHeaderSize: 2 * MAX_WIRE_BYTES,
    });
  }

  /** Sends a request; follows no redirect. Rejects with undici's or the system's error, or with the reason of the abort. */
  async post({ path, headers, body }: Post, cut: AbortSignal): Promise<DeliveryAnswer> {
    this.bytesBefore = this.socket?.bytesRead ?? 0;
    let end = () => {};
    try {
      return await new Promise((resolve, reject) => {
        // Undici's own error does not matter.
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

  /** Closes it and aborts the running request. */
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

/** The answer is too large; undici reports the same for a body. */
class TooLarge extends Error {
  readonly code = 'UND_ERR_RES_EXCEEDED_MAX_SIZE';
}
