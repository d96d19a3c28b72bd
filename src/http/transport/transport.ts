import type { Clock } from '../../clock.js';
import type { Descriptors } from '../../telemetry/descriptors.js';
import type { Logger } from '../../telemetry/log.js';

/**
 * What serves HTTP and WebSockets. There are two, `uws` and `node`, with one contract: this file. Whatever stands above knows
 * neither; `test/http/transport` holds both to it.
 *
 * Connections: a request whose line and headers are longer than {@link MAX_HEADER_BYTES} is answered 431, one of another version
 * than HTTP/1.1 505, one that does not say in exactly one way where its body ends 400, and the connection ends. What is no HTTP is
 * answered 400, or cut after some ten seconds of silence (half a minute within a body), as any connection is. Requests are
 * handed out as they come, also in the turn of another one; a client that sends its next request before it has its answer is cut.
 *
 * A handler that throws costs its own connection and is logged.
 */
export interface Transport {
  readonly name: TransportName;
  /** What it is made of, with versions, and why nothing better was taken. */
  readonly origin: string;
  /** Makes a port. Nothing listens before its `listen`. @throws GatewayError `GW_TLS_FILE` */
  port(options: PortOptions): Port;
}

export type TransportName = 'uws' | 'node';

/** Most bytes of a request's line and headers: the cookies of a domain can be more than the 4 KiB that are usual. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Files of a certificate and its key. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface PortOptions {
  /** Absent: http and ws. */
  readonly tls: Certificate | undefined;
  /** Adds all that is answered there. It may be called several times. */
  readonly addRoutes: (routes: Routes) => void;
  /** While few descriptors are left, at least so many connections that are no WebSockets stay, the newest. */
  readonly seats: number;
  readonly descriptors: Descriptors;
  readonly log: Logger;
  readonly clock: Clock;
}

/** A port that is listened on, and all connections that came by it. */
export interface Port {
  /**
   * Begins to listen.
   * @param isShared whether other processes of this host may listen on it as well
   * @returns the port, a free one where 0 was asked for
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  listen(host: string, port: number, isShared: boolean): Promise<number>;
  /**
   * Reads the certificate anew. Existing connections keep theirs, and nobody is refused meanwhile, whatever name they ask for.
   * @returns what gives new connections this one; `undefined` where they get it already
   * @throws GatewayError `GW_TLS_FILE`, and nothing changes
   */
  renewed(tls: Certificate): (() => void) | undefined;
  /** Few descriptors are left, or enough again: see `seats`. */
  crowded(isCrowded: boolean): void;
  /** Stops listening, so that new connections come to the others who share the port; what is connected goes on. */
  leave(): Promise<void>;
  /** Stops listening and cuts what is still connected. */
  close(): void;
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'del' | 'head' | 'options';

/** Where requests lead. A path is `/fixed/:parameter`; a fixed part goes before a parameter, and `/*` comes last. */
export interface Routes {
  /** @param method `any` for whatever has no handler of its own at this path */
  on(method: Method | 'any', path: string, handler: (request: Request, reply: Reply) => void): void;
  /** Takes what asks at this path for a WebSocket (has a `Sec-WebSocket-Key`); all else goes to the handlers of `on`. */
  socket<T>(path: string, route: SocketRoute<T>): void;
}

/** A request, good until its handler returns. */
export interface Request {
  /** In lower case. */
  readonly method: string;
  /** As it was sent, without the query. */
  readonly path: string;
  /** What stands behind `?`; `undefined` where there is none. */
  readonly query: string | undefined;
  /** A header by its lower-case name; empty text where it is absent; one of them, or a list, where it was sent twice. */
  header(name: string): string;
  /** All values of a header that was sent more than once, in their order. */
  lines(name: string): readonly string[];
  /** All headers as they were sent, their names in lower case. */
  headers(): (readonly [name: string, value: string])[];
  /** The n-th `:parameter` of the route, as it was sent. */
  parameter(index: number): string;
}

/** Status and headers of an answer. */
export interface Head {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The other half of a request: its body comes from here, and its answer goes there. */
export interface Reply {
  /** Address of the other end of the connection, without a port; IPv6 without brackets. */
  readonly peer: string;
  /** Registers who is told, once, that the client has gone before it had all of its answer. This reply is dead then. */
  onGone(listener: () => void): void;
  /** Registers who is given the whole body. Must be called before the handler returns. Chunks are only lent. */
  onData(listener: (chunk: Uint8Array, isLast: boolean) => void): void;
  /** Reads no more of the body until {@link resume}. */
  pause(): void;
  resume(): void;
  /**
   * Answers, once.
   * @param body for a `HEAD`, the one that is not sent but whose length is told; a 204 or 304 has none
   * @param close tells the client that the connection ends here. It does so at once behind a short body, else when the client
   * goes or is silent
   * @param onTaken called when the client has taken all of the answer, unless it did so at once
   * @returns whether it did so at once
   */
  answer(head: Head, body: Uint8Array, close: boolean, onTaken: () => void): boolean;
  /** Begins an answer that goes on. @param onWritable told when the client takes more after it did not */
  begin(head: Head, onWritable: () => void): void;
  /** Sends more of it. False where the client does not keep up: this is kept, but wait for `onWritable` before the next. */
  write(text: string): boolean;
  /** Cuts the connection where it stands. */
  close(): void;
}

/** How WebSockets at a path are dealt with. A peer is pinged while it is silent, and cut after {@link IDLE_SECONDS} of that. */
export interface SocketRoute<T> {
  /** A message that is longer ends the connection. The peer gets 1009 or nothing. */
  readonly maxMessageBytes: number;
  /**
   * Somebody wants a socket. Refuse by the reply, or call `accept`, in this turn or later; its `data` goes with the socket. A
   * client that sends frames before that is cut.
   */
  upgrade(request: Request, reply: Reply, accept: (data: T, protocol?: string) => void): void;
  open(data: T, socket: Socket): void;
  /** A whole message, which is lent; text is UTF-8. */
  message(data: T, message: ArrayBuffer | Uint8Array, isBinary: boolean): void;
  /** The network has taken what waited. Called after {@link Socket.bufferedBytes} has said that something does. */
  drained(data: T): void;
  /** It is over, whoever ended it. Called once. @param code 1006 where the peer said nothing */
  closed(data: T, code: number): void;
  /** One of the above has thrown; the socket goes on unless this closes it. */
  failed(data: T, error: unknown): void;
}

/** Seconds without a sign of life (pongs included) after which a peer is taken for dead. */
export const IDLE_SECONDS = 60;
/** Most bytes that may wait for a peer that reads nothing: whoever lets more pile up is cut. */
export const MAX_UNSENT_BYTES = 1024 * 1024;

/** A WebSocket that is open. */
export interface Socket {
  /** Sends a message. Bytes are only lent. False where it was dropped: {@link MAX_UNSENT_BYTES} wait, and the peer is being cut. */
  send(message: string | Uint8Array | Int16Array, isBinary?: boolean): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; no more messages come of it. The reason is cut where it is too long. */
  close(code: number, reason: string): void;
}

/** A close frame holds at most so many bytes of reason (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason as a close frame holds it: cut, but never within a character. */
export function closeReason(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\ufffd+$/, '');
}

/** What `SERVER` may say. */
export const SERVERS = ['auto', 'uws', 'node'] as const;
/** The HTTP server: uWebSockets.js (`uws`), that of Node, or the faster one that loads (`auto`). */
export type ServerChoice = (typeof SERVERS)[number];
