import type { TemplatedApp, WebSocket } from 'uWebSockets.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { errorBody, statusLine } from './exchange.js';
import type { Gatekeeper } from './gatekeeper.js';
import { MAX_MESSAGE_BYTES } from './media-stream.js';
import type { MediaSocket } from './outlet.js';
import type { Session } from './session.js';
import type { Switchboard } from './switchboard.js';

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

/** Adds the media stream's WebSocket route below `prefix`. */
export function mediaSocket(
  app: TemplatedApp,
  prefix: string,
  switchboard: Switchboard,
  gatekeeper: Gatekeeper,
  log: Logger,
): void {
  app.ws<SocketData>(`${prefix}/twilio/media/:callId/:token`, {
    maxPayloadLength: HARD_LIMIT_BYTES,
    maxBackpressure: MAX_UNSENT_BYTES,
    closeOnBackpressureLimit: true,
    idleTimeout: IDLE_SECONDS,
    sendPingsAutomatically: true,

    upgrade(response, request, context) {
      const header = (name: string) => request.getHeader(name);
      try {
        if (header('origin') !== '') {
          throw new GatewayError(
            'GW_ORIGIN_REFUSED',
            'Expected no Origin header but received one: browsers stay out',
            {
              status: 403,
            },
          );
        }
        gatekeeper.checkUpgrade({ path: request.getUrl(), query: request.getQuery() ?? '', header });
        const session = switchboard.connect(request.getParameter(0) ?? '', request.getParameter(1) ?? '');
        response.upgrade<SocketData>(
          { session },
          header('sec-websocket-key'),
          header('sec-websocket-protocol'),
          header('sec-websocket-extensions'),
          context,
        );
      } catch (error) {
        const { status, body } = errorBody(error);
        log.warn({ status, code: (error as GatewayError).code }, 'media socket refused');
        response.cork(() => {
          response.writeStatus(statusLine(status)).writeHeader('content-type', 'application/json').end(body);
        });
      }
    },

    open(ws) {
      const { call, stream } = ws.getUserData().session;
      if (call.state === 'ended') {
        ws.end(1001, 'the call has ended');
        return;
      }
      stream.open(new UwsMediaSocket(ws));
      const timer = setTimeout(() => {
        log.warn({ callId: call.callId }, 'no start came');
        call.end('protocol');
      }, START_TIMEOUT_MS);
      stream.once('start', () => clearTimeout(timer));
      call.onEnd(() => clearTimeout(timer));
    },

    message(ws, message, isBinary) {
      const { call, stream } = ws.getUserData().session;
      try {
        stream.receive(message, isBinary);
      } catch (error) {
        // One call's fault, a listener's perhaps, must not take the others down.
        log.error({ callId: call.callId, err: error }, 'a message could not be handled');
        call.end('internal');
      }
    },

    drain(ws) {
      ws.getUserData().session.stream.drained();
    },

    close(ws) {
      ws.getUserData().session.stream.disconnected();
    },
  });
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
    // A close frame holds at most 123 bytes of reason.
    this.ws.end(code, Buffer.from(reason).subarray(0, 123).toString());
  }
}
