import type { HttpRequest, HttpResponse, TemplatedApp, us_socket_context_t, WebSocket } from 'uWebSockets.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import type { Answers } from './answers.js';
import type { CallService } from './call-service.js';
import { Exchange } from './exchange.js';
import type { Gatekeeper } from './gatekeeper.js';
import type { MediaSocket } from './media-socket.js';
import { MAX_MESSAGE_BYTES } from './media-stream.js';
import { RefusalLog } from './refusal-log.js';
import type { Session } from './session.js';
import type { UpgradeCork } from './upgrade-cork.js';

/** What uWebSockets.js keeps with a socket. */
interface SocketData {
  readonly session: Session;
}

/**
 * Over this uWebSockets.js itself cuts the connection. It lies above our own limit, so that a message a
 * little too large gets the close code 1009 instead of a broken connection.
 */
const HARD_LIMIT_BYTES = 4 * MAX_MESSAGE_BYTES;
/** A peer that reads nothing while marks and clears pile up to this is cut off. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Seconds without a sign of life (pings included) after which a peer is taken for dead. */
const IDLE_SECONDS = 60;
/** How long an opened stream may keep us waiting for `start`. */
const START_TIMEOUT_MS = 10_000;

/** `WS /twilio/media/{callId}/{token}`: the media streams. */
export class MediaRoute {
  private readonly refusals: RefusalLog;

  constructor(
    private readonly calls: CallService,
    private readonly gatekeeper: Gatekeeper,
    private readonly log: Logger,
    private readonly cork: UpgradeCork,
    private readonly answers: Answers,
    private readonly clock: Clock,
  ) {
    this.refusals = new RefusalLog('media socket', log, clock);
  }

  /** Adds the route below a path prefix. */
  addTo(app: TemplatedApp, prefix: string): void {
    app.ws<SocketData>(`${prefix}/twilio/media/:callId/:token`, {
      maxPayloadLength: HARD_LIMIT_BYTES,
      maxBackpressure: MAX_UNSENT_BYTES,
      closeOnBackpressureLimit: true,
      idleTimeout: IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => void this.upgrade(response, request, context),
      open: (ws) => this.guard(ws, () => this.open(ws)),
      message: (ws, message, isBinary) => this.message(ws, message, isBinary),
      drain: (ws) => this.guard(ws, () => ws.getUserData().session.stream.drained()),
      close: (ws) => this.guard(ws, () => ws.getUserData().session.stream.disconnected()),
    });
  }

  /** The request's own memory is gone after the first wait, and so may be its client. */
  private async upgrade(
    response: HttpResponse,
    request: HttpRequest,
    context: us_socket_context_t,
  ): Promise<void> {
    const exchange = new Exchange(response, request, this.answers, 2);
    if (exchange.isDone) return;
    exchange.isLast = true;
    const key = request.getHeader('sec-websocket-key');
    const protocol = request.getHeader('sec-websocket-protocol');
    const extensions = request.getHeader('sec-websocket-extensions');
    try {
      checkHead(request);
      await exchange.inTurn(() => this.gatekeeper.checkUpgrade(exchange));
      exchange.isKnown = true;
      const session = await this.calls.connect(exchange.parameter(0), exchange.parameter(1));
      if (exchange.isGone) session.call.end('socket-closed');
      else {
        this.cork.run(() => response.upgrade<SocketData>({ session }, key, protocol, extensions, context));
      }
    } catch (error) {
      // Whoever has gone was not refused.
      if (!exchange.isGone) this.refusals.tell(error);
      exchange.error(error);
    }
  }

  private open(ws: WebSocket<SocketData>): void {
    const { call, stream } = ws.getUserData().session;
    if (call.state === 'ended') {
      ws.end(1001, 'the call has ended');
      return;
    }
    stream.open(new UwsMediaSocket(ws));
    const patience = this.clock.patience(START_TIMEOUT_MS, () => {
      this.log.warn({ callId: call.callId }, 'no start came');
      call.end('protocol');
    });
    stream.once('start', () => patience.cancel());
    call.onEnd(() => patience.cancel());
  }

  /** Not through `guard`: a closure a frame is one too many. */
  private message(ws: WebSocket<SocketData>, message: ArrayBuffer, isBinary: boolean): void {
    const { session } = ws.getUserData();
    try {
      session.stream.receive(message, isBinary);
    } catch (error) {
      this.failed(session, error);
    }
  }

  private guard(ws: WebSocket<SocketData>, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failed(ws.getUserData().session, error);
    }
  }

  /** One call's fault, a listener's perhaps, must not take the others down. */
  private failed({ call }: Session, error: unknown): void {
    this.log.error({ callId: call.callId, err: error }, 'a media socket could not be served');
    call.end('internal');
  }
}

/** @throws GatewayError `GW_UPGRADE_MISSING` (426), `GW_ORIGIN_REFUSED` (403) */
function checkHead(request: HttpRequest): void {
  // uWebSockets.js looks at the key alone; a proxy that drops this header can carry no WebSocket.
  if (request.getHeader('upgrade').toLowerCase() !== 'websocket') {
    throw new GatewayError(
      'GW_UPGRADE_MISSING',
      'Expected the header "Upgrade: websocket" for a media stream but received none: does a proxy drop it?',
      { status: 426 },
    );
  }
  if (request.getHeader('origin') !== '') {
    throw new GatewayError(
      'GW_ORIGIN_REFUSED',
      'Expected no Origin header for a media stream but received one: browsers stay out',
      { status: 403 },
    );
  }
}

/** uWebSockets.js' socket as a media stream uses it. */
class UwsMediaSocket implements MediaSocket {
  private open = true;

  constructor(private readonly ws: WebSocket<SocketData>) {}

  send(text: string | Uint8Array): boolean {
    // 2 means dropped: the limit of unsent bytes is reached, and the socket is about to be cut.
    return this.open && this.ws.send(text, false, false) !== 2;
  }

  bufferedBytes(): number {
    return this.open ? this.ws.getBufferedAmount() : 0;
  }

  close(code: number, reason: string): void {
    if (!this.open) return;
    this.open = false;
    // A close frame holds at most 123 bytes of reason; a character cut in two there would be invalid.
    this.ws.end(
      code,
      Buffer.from(reason)
        .subarray(0, 123)
        .toString()
        .replace(/\ufffd+$/, ''),
    );
  }
}
