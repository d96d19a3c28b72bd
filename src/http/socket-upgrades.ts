import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import type { HeaderReader } from '../twilio/public-url.js';
import type { SocketEnd } from '../workers/socket-end.js';
import type { Answers } from './answers.js';
import { RequestContext } from './request-context.js';
import type { Reply, Request, Routes } from './transport/transport.js';

/** Headers that only upgrades read. */
const HEADERS = ['origin', 'sec-websocket-protocol', 'upgrade'];

/** Calls `accept`, or rejects with what the client is answered. */
type Admit = (
  context: RequestContext,
  header: HeaderReader,
  accept: (end: SocketEnd, protocol?: string) => void,
) => Promise<void>;

/** Upgrades of requests to one kind of WebSocket. A refused client gets an answer, and the log says why. */
export class SocketUpgrades {
  private readonly refusals: RefusalLog;

  /** @param what kind of socket this is, for messages: `media stream` */
  constructor(
    private readonly what: string,
    private readonly answers: Answers,
    log: Logger,
    clock: Clock,
  ) {
    this.refusals = new RefusalLog(what, log, clock);
  }

  /** Adds a route. @param admit finds what serves a socket */
  addTo(routes: Routes, path: string, maxMessageBytes: number, admit: Admit): void {
    const parameters = path.split('/:').length - 1;
    routes.socket<SocketEnd>(path, {
      maxMessageBytes,
      upgrade: (request, reply, accept) =>
        void this.upgrade(request, reply, parameters, (context, header) => admit(context, header, accept)),
      open: (end, socket) => end.open(socket),
      message: (end, message, isBinary) => end.message(message, isBinary),
      drained: (end) => end.drained(),
      closed: (end, code) => end.closed(code),
      failed: (end, error) => end.failed(error),
    });
  }

  private async upgrade(
    request: Request,
    reply: Reply,
    parameters: number,
    admit: (context: RequestContext, header: HeaderReader) => Promise<void>,
  ): Promise<void> {
    const context = new RequestContext(reply, request, this.answers, parameters);
    context.isLast = true;
    const own = new Map(HEADERS.map((name) => [name, request.header(name)]));
    const header = (name: string) => own.get(name) ?? context.header(name);
    try {
      // A proxy that drops this header cannot carry a WebSocket.
      if (header('upgrade').toLowerCase() !== 'websocket') {
        throw new GatewayError(
          'GW_UPGRADE_MISSING',
          `Expected the header "Upgrade: websocket" for a ${this.what} but received none: does a proxy drop it?`,
        );
      }
      await admit(context, header);
    } catch (error) {
      // A client that left was not refused.
      if (context.isGone) return;
      this.refusals.write(error);
      context.error(error);
    }
  }
}

/** Refusals logged a second: strangers must not fill the disk. */
const PER_SECOND = 10;

/** Logs refused sockets, a few each second. */
class RefusalLog {
  private second = Number.NEGATIVE_INFINITY;
  private lines = 0;
  private unlogged = 0;

  constructor(
    private readonly what: string,
    private readonly log: Logger,
    private readonly clock: Clock,
  ) {}

  /** Logs a fault of ours in full, always. */
  write(error: unknown): void {
    if (!(error instanceof GatewayError)) {
      this.log.error({ err: error }, `${this.what} failed`);
      return;
    }
    const now = this.clock.now();
    if (now - this.second >= 1_000) {
      this.second = now;
      this.lines = 0;
    }
    this.lines += 1;
    if (this.lines > PER_SECOND) {
      this.unlogged += 1;
      return;
    }
    const { status, code } = error;
    const unlogged = this.unlogged === 0 ? {} : { unlogged: this.unlogged };
    this.unlogged = 0;
    this.log.warn({ status, code, ...unlogged }, `${this.what} refused`);
  }
}
