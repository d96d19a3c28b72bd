import type { Clock } from '../../clock.js';
import type { Descriptors } from '../../telemetry/descriptors.js';
import type { Logger } from '../../telemetry/log.js';

/**
 * Serves HTTP and WebSockets. There are two transports, `uws` and `node`, with one contract: this file. The rest of the source
 * knows neither of them; `test/http/transport` tests both against it.
 *
 * Connections: a request whose line and headers exceed {@link MAX_HEADER_BYTES} is answered 431, a version other than HTTP/1.1
 * 505, and a request whose end is ambiguous 400; then the connection is closed. Input that is not HTTP is answered 400. Any
 * connection is dropped after some ten seconds of silence (half a minute within a body). Requests are dispatched as they
 * arrive, even during another one's turn; a client that sends its next request before it has a response is dropped.
 *
 * If a handler throws, its error is logged and only its own connection is closed.
 */
export interface Transport {
  readonly name: TransportName;
  /** Its packages with versions, and why no better one was chosen. */
  readonly origin: string;
  /** Creates a port, which does not listen before `listen`. @throws GatewayError `GW_TLS_FILE` */
  port(options: PortOptions): Port;
}

export type TransportName = 'uws' | 'node';

/** Most bytes of a request's line and headers: the cookies of a domain can exceed the usual 4 KiB. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** File paths of a certificate and its key. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface PortOptions {
  /** Absent: http and ws. */
  readonly tls: Certificate | undefined;
  /** Adds all routes. May be called several times. */
  readonly addRoutes: (routes: Routes) => void;
  /** While descriptors are short, at least this many of the newest HTTP connections are kept. */
  readonly seats: number;
  readonly descriptors: Descriptors;
  readonly log: Logger;
  readonly clock: Clock;
}

/** A listening port and all its connections. */
export interface Port {
  /**
   * Starts listening.
   * @param isShared whether other processes of this host may listen on it too
   * @returns the port; a free one for 0
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  listen(host: string, port: number, isShared: boolean): Promise<number>;
  /**
   * Reads the certificate again. Existing connections keep theirs, and no connection is refused during the change.
   * @returns a function that applies it to new connections; `undefined` if it is applied already
   * @throws GatewayError `GW_TLS_FILE`; nothing changes then
   */
  renewed(tls: Certificate): (() => void) | undefined;
  /** Reports that descriptors are short, or sufficient again: see `seats`. */
  crowded(isCrowded: boolean): void;
  /** Stops listening, so that new connections go to the other processes on the port; existing ones continue. */
  leave(): Promise<void>;
  /** Stops listening and drops all connections. */
  close(): void;
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'del' | 'head' | 'options';

/** The routes. A path is `/fixed/:parameter`; a fixed part takes precedence over a parameter, and `/*` comes last. */
export interface Routes {
  /** @param method `any` for all methods without their own handler at this path */
  on(method: Method | 'any', path: string, handler: (request: Request, reply: Reply) => void): void;
  /** Handles WebSocket requests at this path (with a `Sec-WebSocket-Key`); others go to the handlers of `on`. */
  socket<T>(path: string, route: SocketRoute<T>): void;
}

/** A request, valid until its handler returns. */
export interface Request {
  /** In lower case. */
  readonly method: string;
  /** As it was sent, without the query. */
  readonly path: string;
  /** The text after `?`; `undefined` without a `?`. */
  readonly query: string | undefined;
  /** A header by its lower-case name; empty if absent; one of them, or a list, if it was sent twice. */
  header(name: string): string;
  /** All values of a repeated header, in order. */
  lines(name: string): readonly string[];
  /** All headers as sent, their names in lower case. */
  headers(): (readonly [name: string, value: string])[];
  /** The n-th `:parameter` of the route, as it was sent. */
  parameter(index: number): string;
}

/** Status and headers of a response. */
export interface Head {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The body of a request, and its response. */
export interface Reply {
  /** Address of the other end of the connection, without a port; IPv6 without brackets. */
  readonly peer: string;
  /** Registers a callback, called once if the client disconnects before it has the whole response. */
  onGone(listener: () => void): void;
  /** Registers a callback for the body. Must be called before the handler returns. Chunks are valid during the call only. */
  onData(listener: (chunk: Uint8Array, isLast: boolean) => void): void;
  /** Stops reading the body until {@link resume}. */
  pause(): void;
  resume(): void;
  /**
   * Sends the response, once.
   * @param body for a `HEAD`, only its length is sent; a 204 or 304 has none
   * @param close announces that the connection ends with it. It is closed at once after a short body, otherwise when the
   * client leaves or is silent
   * @param onTaken called when the client has read the whole response, unless it did so at once
   * @returns whether it did so at once
   */
  answer(head: Head, body: Uint8Array, close: boolean, onTaken: () => void): boolean;
  /** Starts a streamed response. @param onWritable called when the client, having been too slow, reads again */
  begin(head: Head, onWritable: () => void): void;
  /** Sends a chunk. False if the client is too slow: the chunk is queued, but wait for `onWritable` before the next. */
  write(text: string): boolean;
  /** Drops the connection at once. */
  close(): void;
}

/** Handlers of WebSockets at a path. A silent peer is pinged, and dropped after {@link IDLE_SECONDS}. */
export interface SocketRoute<T> {
  /** A longer message ends the connection. The peer gets 1009 or nothing. */
  readonly maxMessageBytes: number;
  /**
   * A client asks for a socket. Reject by the reply, or call `accept`, in this turn or later; its `data` is attached to the
   * socket. A client that sends frames before that is dropped.
   */
  upgrade(request: Request, reply: Reply, accept: (data: T, protocol?: string) => void): void;
  open(data: T, socket: Socket): void;
  /** A whole message, valid during the call only; text is UTF-8. */
  message(data: T, message: ArrayBuffer | Uint8Array, isBinary: boolean): void;
  /** The queued bytes were sent. Called after {@link Socket.bufferedBytes} was above 0. */
  drained(data: T): void;
  /** The socket was closed by either side. Called once. @param code 1006 without a close frame */
  closed(data: T, code: number): void;
  /** One of the above has thrown; the socket stays open unless this closes it. */
  failed(data: T, error: unknown): void;
}

/** Seconds without any message or pong after which a peer is considered dead. */
export const IDLE_SECONDS = 60;
/** Most bytes queued for a peer that does not read; beyond that it is dropped. */
export const MAX_UNSENT_BYTES = 1024 * 1024;

/** An open WebSocket. */
export interface Socket {
  /** Sends a copy of a message. False if {@link MAX_UNSENT_BYTES} are queued: the message is lost and the peer dropped. */
  send(message: string | Uint8Array | Int16Array, isBinary?: boolean): boolean;
  /** Bytes accepted by `send` but not yet sent. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; no more messages arrive. A reason that is too long is truncated. */
  close(code: number, reason: string): void;
}

/** Values of `SERVER`. */
export const SERVERS = ['auto', 'uws', 'node'] as const;
/** The HTTP server: uWebSockets.js (`uws`), Node's own (`node`), or the faster one that loads (`auto`). */
export type ServerChoice = (typeof SERVERS)[number];
