import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../clock.js';
import { closeReason } from '../close-reason.js';
import { GatewayError } from '../errors.js';
import { receivedError, sentError } from '../fleet/sent-error.js';
import {
  fromMachineIngressTime,
  type IngressTime,
  ingressNow,
  toMachineIngressTime,
} from '../telemetry/ingress-time.js';
import type { Logger } from '../telemetry/log.js';
import { gauge, type Metric } from '../telemetry/metric.js';
import { gone } from './peers.js';
import { MAX_CHANNEL, RECORD, type RecordKind, RelayLink } from './relay-link.js';
import type { EndSocket, SocketEnd } from './socket-end.js';

/** Most bytes queued for one socket, as at a transport; beyond that it is cut. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** How long an owner may take to accept a socket. */
const ANSWER_MS = 5_000;
/** Pause between two sockets that leave a worker that shuts down: their callers connect to the others. */
const LEAVE_MS = 25;
/** How often a worker that shuts down looks whether others take its sockets. */
const LOOK_MS = 200;

/** Takes a socket that another worker relays. @throws GatewayError to refuse it */
export type Admit = (about: unknown) => Promise<SocketEnd>;

export interface RelayOptions {
  /** This worker's number. */
  readonly self: number;
  /** Directory of the workers' sockets. */
  readonly socketDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * WebSockets that arrive at one worker and are served by another: the messages of all sockets between two
 * workers share a Unix socket, which the worker where they arrive opens.
 */
export class Relay {
  readonly metrics: readonly Metric[];
  private readonly services = new Map<string, Admit>();
  /** Links to the owners of sockets that arrived here. */
  private readonly outgoing = new Map<number, Promise<OutgoingLink>>();
  /** Links of the workers that relay sockets to this one. */
  private readonly incoming = new Set<IncomingLink>();
  private readonly relayed = new Set<RelayedEnd>();
  private server: Server | undefined;
  private isClosed = false;

  constructor(private readonly options: RelayOptions) {
    this.metrics = [
      gauge(
        'relayed_sockets',
        'WebSockets that arrived at this worker and are served by another, which has their room',
        () => this.relayed.size,
      ),
    ];
  }

  /** Sockets that arrived here and are served by other workers. */
  get size(): number {
    return this.relayed.size;
  }

  /** Serves sockets of a kind that other workers relay. */
  serve(kind: string, admit: Admit): void {
    this.services.set(kind, admit);
  }

  /** Lets other workers relay sockets to this one. */
  async open(): Promise<void> {
    if (this.isClosed) return;
    const server = createServer((socket) => {
      const link = new IncomingLink(socket, this.services, this.options, () => this.incoming.delete(link));
      this.incoming.add(link);
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Without `exclusive`, Node's cluster would listen in the supervisor.
      server.listen({ path: this.pathOf(this.options.self), exclusive: true }, resolve);
    });
    server.on('error', (err) => this.options.log.error({ err }, 'the socket between workers failed'));
  }

  /**
   * Asks a worker to serve a socket that is about to open here.
   * @param maxUnsentBytes most of the client's bytes that wait for that worker; beyond that the socket is cut
   * @throws GatewayError `GW_NODE_GONE` if the worker is gone, `GW_OVERLOADED` (503) if it does not answer in
   *   time, or its refusal
   */
  async request(
    owner: number,
    kind: string,
    about: unknown,
    maxUnsentBytes = MAX_UNSENT_BYTES,
  ): Promise<SocketEnd> {
    const link = await this.linkTo(owner);
    const { clock } = this.options;
    const end = new RelayedEnd(kind, maxUnsentBytes, link, this.options, () => this.relayed.delete(end));
    const answered = end.request(about);
    const isAnswered = await clock.within(
      ANSWER_MS,
      answered.then(() => true),
    );
    if (isAnswered !== true) {
      end.closed(1006);
      throw new GatewayError('GW_OVERLOADED', `Worker ${owner} did not answer in time`);
    }
    this.relayed.add(end);
    return end;
  }

  /**
   * Has other workers take the sockets of a kind that arrived here, as soon as some accept them, or waits for
   * their end.
   * @param graceMs most milliseconds to wait
   * @param isRelieved whether other workers accept calls, and new sockets go to them
   */
  async drain(kind: string, graceMs: number, isRelieved: () => Promise<boolean>): Promise<void> {
    const { clock } = this.options;
    const until = clock.now() + graceMs;
    for (let left = this.endsOf(kind); left.length > 0 && clock.now() < until; left = this.endsOf(kind)) {
      if (!(await isRelieved())) await clock.sleep(LOOK_MS);
      else {
        for (const end of left) {
          end.leave();
          await clock.sleep(LEAVE_MS);
        }
      }
    }
  }

  private endsOf(kind: string): RelayedEnd[] {
    return [...this.relayed].filter((end) => end.kind === kind);
  }

  /** Closes all links, and the sockets that arrived here with 1001. Waits for no other worker, which may hang. */
  close(): void {
    this.isClosed = true;
    this.server?.close().unref();
    for (const end of [...this.relayed]) end.finish(1001, 'going away');
    for (const link of [...this.incoming]) link.close();
    for (const link of this.outgoing.values()) {
      void link.then(
        (open) => open.close(),
        () => {},
      );
    }
  }

  private linkTo(owner: number): Promise<OutgoingLink> {
    const known = this.outgoing.get(owner);
    if (known !== undefined) return known;
    const made = this.connect(owner);
    this.outgoing.set(owner, made);
    made.catch(() => this.outgoing.delete(owner));
    return made;
  }

  private async connect(owner: number): Promise<OutgoingLink> {
    if (this.isClosed) throw gone(owner);
    const socket = createConnection(this.pathOf(owner));
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', () => reject(gone(owner)));
    });
    return new OutgoingLink(owner, socket, this.options.log, () => this.outgoing.delete(owner));
  }

  private pathOf(worker: number): string {
    return join(this.options.socketDir, `${worker}.sock`);
  }
}

/** What a link has to do with one socket. */
interface Channel {
  landed(): void;
}

/** Counts what a socket has in the queue of a link. */
class QueueMeter {
  private newest = 0;
  private newestBytes = 0;
  private older = 0;
  private olderBytes = 0;

  constructor(private readonly link: RelayLink) {}

  add(bytes: number): void {
    const { batch } = this.link;
    if (batch !== this.newest) {
      this.older = this.newest;
      this.olderBytes = this.newestBytes;
      this.newest = batch;
      this.newestBytes = 0;
    }
    this.newestBytes += bytes;
  }

  /** At most two batches are under way: one that is written, and one that is filled. */
  get bytes(): number {
    const { landed } = this.link;
    return (this.newest > landed ? this.newestBytes : 0) + (this.older > landed ? this.olderBytes : 0);
  }
}

/** The relay's side of a link. */
class OutgoingLink {
  readonly link: RelayLink;
  private readonly ends = new Map<number, RelayedEnd>();
  private lastChannel = 0;
  private isOpen = true;

  constructor(
    readonly owner: number,
    socket: Socket,
    log: Logger,
    onClosed: () => void,
  ) {
    this.link = new RelayLink(
      socket,
      (kind, channel, word, payload) => this.ends.get(channel)?.receive(kind, word, payload),
      () => {},
      (fault) => {
        logFault(log, fault);
        this.isOpen = false;
        onClosed();
        for (const end of [...this.ends.values()]) end.lost();
      },
    );
  }

  /** @throws GatewayError `GW_NODE_GONE` */
  add(end: RelayedEnd): number {
    if (!this.isOpen) throw gone(this.owner);
    do this.lastChannel = this.lastChannel === MAX_CHANNEL ? 1 : this.lastChannel + 1;
    while (this.ends.has(this.lastChannel));
    this.ends.set(this.lastChannel, end);
    return this.lastChannel;
  }

  remove(channel: number): void {
    this.ends.delete(channel);
  }

  close(): void {
    this.link.close();
  }
}

/** A socket of this worker that another one serves. */
class RelayedEnd implements SocketEnd {
  private readonly channel: number;
  private readonly queue: QueueMeter;
  private socket: EndSocket | undefined;
  private isOver = false;
  /** Bytes that wait for the client, as the owner knows. */
  private reportedBytes = 0;
  private accept: () => void = () => {};
  private refuse: (error: unknown) => void = () => {};

  constructor(
    readonly kind: string,
    private readonly maxUnsentBytes: number,
    private readonly link: OutgoingLink,
    private readonly options: RelayOptions,
    private readonly onOver: () => void,
  ) {
    this.channel = link.add(this);
    this.queue = new QueueMeter(link.link);
  }

  /** Resolves if the owner takes the socket. */
  request(about: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      this.accept = resolve;
      this.refuse = reject;
      this.send(RECORD.request, 0, JSON.stringify({ kind: this.kind, about }));
    });
  }

  open(socket: EndSocket): void {
    if (this.isOver) socket.close(1001, 'the other worker is gone');
    else {
      this.socket = socket;
      this.send(RECORD.open);
    }
  }

  message(
    message: ArrayBuffer | Uint8Array,
    isBinary: boolean,
    arrived: IngressTime = ingressNow(this.options.clock),
  ): void {
    if (this.isOver) return;
    if (this.queue.bytes > this.maxUnsentBytes) this.finish(1011, 'the worker of the room does not read');
    else this.send(isBinary ? RECORD.binary : RECORD.text, toMachineIngressTime(arrived), message);
  }

  drained(): void {
    this.report();
  }

  closed(code: number): void {
    if (this.isOver) return;
    this.send(RECORD.close, code);
    this.over();
  }

  failed(error: unknown): void {
    this.options.log.error({ err: error }, 'relaying a socket failed');
    this.finish(1011, 'internal error');
  }

  leave(): void {
    if (!this.isOver) this.send(RECORD.leave);
  }

  /** The owner is gone: Twilio asks how to continue, and other clients come again. */
  lost(): void {
    this.refuse(gone(this.link.owner));
    const { socket } = this;
    this.over();
    socket?.close(1001, 'the other worker is gone');
  }

  receive(kind: number, word: number, payload: Uint8Array): void {
    switch (kind) {
      case RECORD.text:
      case RECORD.binary:
        this.socket?.send(payload, kind === RECORD.binary);
        this.report();
        return;
      case RECORD.accept:
        this.accept();
        return;
      case RECORD.refuse: {
        const error = receivedError(JSON.parse(textOf(payload)));
        this.over();
        this.refuse(error);
        return;
      }
      case RECORD.close: {
        const { socket } = this;
        this.over();
        socket?.close(word, textOf(payload));
      }
    }
  }

  /** Tells the owner how much waits for the client, when that has changed. */
  private report(): void {
    const bytes = this.socket?.bufferedBytes() ?? 0;
    if (this.isOver || bytes === this.reportedBytes) return;
    this.reportedBytes = bytes;
    this.send(RECORD.buffered, bytes);
  }

  /** Closes the socket from this side. */
  finish(code: number, reason: string): void {
    const { socket } = this;
    this.closed(1006);
    socket?.close(code, reason);
  }

  private send(kind: RecordKind, word = 0, payload?: string | ArrayBuffer | Uint8Array): void {
    this.queue.add(this.link.link.write(kind, this.channel, word, payload));
  }

  private over(): void {
    this.isOver = true;
    this.socket = undefined;
    this.link.remove(this.channel);
    this.onOver();
  }
}

/** The owner's side of a link. */
class IncomingLink {
  readonly link: RelayLink;
  private readonly sockets = new Map<number, OwnedSocket>();
  /** Sockets whose owners wait until what they sent is on its way. */
  private waiting: OwnedSocket[] = [];

  constructor(
    socket: Socket,
    private readonly services: ReadonlyMap<string, Admit>,
    private readonly options: RelayOptions,
    onClosed: () => void,
  ) {
    this.link = new RelayLink(
      socket,
      (kind, channel, word, payload) => this.receive(kind, channel, word, payload),
      () => this.landed(),
      (fault) => {
        logFault(options.log, fault);
        onClosed();
        for (const each of [...this.sockets.values()]) each.lost(1006);
      },
    );
  }

  close(): void {
    this.link.close();
  }

  remove(channel: number): void {
    this.sockets.delete(channel);
  }

  /** Calls `landed` of a socket when all that is queued has been written. */
  awaitLanding(socket: OwnedSocket): void {
    this.waiting.push(socket);
  }

  private landed(): void {
    const { waiting } = this;
    if (waiting.length === 0) return;
    this.waiting = [];
    for (const socket of waiting) socket.landed();
  }

  private receive(kind: number, channel: number, word: number, payload: Uint8Array): void {
    if (kind === RECORD.request) {
      const socket = new OwnedSocket(this, channel, this.options.log);
      this.sockets.set(channel, socket);
      void this.admit(socket, textOf(payload));
    } else this.sockets.get(channel)?.receive(kind, word, payload);
  }

  private async admit(socket: OwnedSocket, request: string): Promise<void> {
    try {
      const { kind, about } = JSON.parse(request) as { kind: string; about: unknown };
      const admit = this.services.get(kind);
      if (admit === undefined) {
        throw new GatewayError('GW_QUESTION_UNKNOWN', `Another worker relays an unknown socket: ${kind}`);
      }
      socket.accept(await admit(about));
    } catch (error) {
      if (!(error instanceof GatewayError))
        this.options.log.error({ err: error }, 'failed to take a relayed socket');
      socket.refuse(error);
    }
  }
}

/** A socket that this worker serves and another one has. */
class OwnedSocket implements EndSocket, Channel {
  private readonly queue: QueueMeter;
  private end: SocketEnd | undefined;
  private isOver = false;
  private isOpen = false;
  private isAwaited = false;
  /** Bytes that wait for the client at the relay. */
  private remoteBytes = 0;

  constructor(
    private readonly incoming: IncomingLink,
    private readonly channel: number,
    private readonly log: Logger,
  ) {
    this.queue = new QueueMeter(incoming.link);
  }

  accept(end: SocketEnd): void {
    if (this.isOver) {
      end.closed(1006);
      return;
    }
    this.end = end;
    this.write(RECORD.accept);
  }

  refuse(error: unknown): void {
    if (this.isOver) return;
    this.write(RECORD.refuse, 0, JSON.stringify(sentError(error)));
    this.over();
  }

  send(message: string | Uint8Array | Int16Array, isBinary = false): boolean {
    if (this.isOver || !this.isOpen) return false;
    if (this.queue.bytes + this.remoteBytes > MAX_UNSENT_BYTES) {
      this.close(1011, 'the other side does not read');
      return false;
    }
    this.write(isBinary ? RECORD.binary : RECORD.text, 0, message);
    return true;
  }

  bufferedBytes(): number {
    if (this.isOver) return 0;
    const bytes = this.queue.bytes;
    if (bytes > 0 && !this.isAwaited) {
      this.isAwaited = true;
      this.incoming.awaitLanding(this);
    }
    return bytes + this.remoteBytes;
  }

  close(code: number, reason: string): void {
    if (this.isOver) return;
    this.write(RECORD.close, code, closeReason(reason));
    this.over();
    // As transports do, and never within the caller's own work.
    queueMicrotask(() => this.tell((end) => end.closed(code)));
  }

  landed(): void {
    this.isAwaited = false;
    if (!this.isOver && this.bufferedBytes() === 0) this.tell((end) => end.drained());
  }

  /** The relay or its client is gone. */
  lost(code: number): void {
    if (this.isOver) return;
    this.over();
    this.tell((end) => end.closed(code));
  }

  receive(kind: number, word: number, payload: Uint8Array): void {
    const { end } = this;
    switch (kind) {
      case RECORD.text:
      case RECORD.binary:
        if (end === undefined) return;
        try {
          end.message(payload, kind === RECORD.binary, fromMachineIngressTime(word));
        } catch (error) {
          this.failed(error);
        }
        return;
      case RECORD.open:
        this.isOpen = true;
        this.tell((end) => end.open(this));
        return;
      case RECORD.buffered:
        this.remoteBytes = word;
        if (word === 0 && this.bufferedBytes() === 0) this.tell((end) => end.drained());
        return;
      case RECORD.leave:
        this.tell((end) => end.leave());
        return;
      case RECORD.close:
        this.lost(word);
    }
  }

  /** A fault in one socket must not affect the others. */
  private tell(what: (end: SocketEnd) => void): void {
    const { end } = this;
    if (end === undefined) return;
    try {
      what(end);
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    try {
      this.end?.failed(error);
    } catch (fault) {
      this.log.error({ err: fault }, 'serving a relayed socket failed');
    }
  }

  private write(kind: RecordKind, word = 0, payload?: string | Uint8Array | Int16Array): void {
    this.queue.add(this.incoming.link.write(kind, this.channel, word, payload));
  }

  private over(): void {
    this.isOver = true;
    this.incoming.remove(this.channel);
  }
}

function logFault(log: Logger, fault: unknown): void {
  if (fault !== undefined)
    log.error({ err: fault }, 'a record of another worker cannot be read: its link is cut');
}

function textOf(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();
}
