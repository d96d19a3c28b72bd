import type { CallService } from '../calls/call-service.js';
import type { Session } from '../calls/session.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { START_TIMEOUT_MS } from '../phone/media-socket.js';
import { MAX_MESSAGE_BYTES } from '../phone/media-stream.js';
import type { Logger } from '../telemetry/log.js';
import type { HeaderReader } from '../twilio/public-url.js';
import type { Answers } from './answers.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';
import { SocketUpgrades } from './socket-upgrades.js';
import type { Routes, Socket } from './transport/transport.js';

/**
 * Above this the transport drops the connection. It exceeds the stream's own limit, so that a message slightly too large gets
 * the close code 1009 instead.
 */
const HARD_LIMIT_BYTES = 4 * MAX_MESSAGE_BYTES;

/** `WS /twilio/media/{callId}/{token}`: the media streams. */
export class MediaRoute {
  private readonly upgrades: SocketUpgrades;

  constructor(
    private readonly calls: CallService,
    private readonly authenticator: RequestAuthenticator,
    private readonly log: Logger,
    answers: Answers,
    private readonly clock: Clock,
  ) {
    this.upgrades = new SocketUpgrades('media stream', answers, log, clock);
  }

  /** Adds the route below a path prefix. */
  addTo(routes: Routes, prefix: string): void {
    routes.socket<Session>(`${prefix}/twilio/media/:callId/:token`, {
      maxMessageBytes: HARD_LIMIT_BYTES,
      upgrade: this.upgrades.by((context, header, accept) => this.admit(context, header, accept), 2),
      open: (session, socket) => this.open(session, socket),
      message: ({ stream }, message, isBinary) => stream.handleMessage(message, isBinary),
      drained: ({ stream }) => stream.drained(),
      closed: ({ stream }) => stream.disconnected(),
      failed: (session, error) => this.failed(session, error),
    });
  }

  private async admit(
    context: RequestContext,
    header: HeaderReader,
    accept: (session: Session) => void,
  ): Promise<void> {
    if (header('origin') !== '') {
      throw new GatewayError(
        'GW_ORIGIN_REFUSED',
        'Expected no Origin header for a media stream but received one: browsers may not open it',
      );
    }
    await context.inTurn(() => this.authenticator.checkUpgrade(context));
    context.isKnown = true;
    const session = await this.calls.connect(context.parameter(0), context.parameter(1));
    if (context.isGone) session.call.end('socket-closed');
    else accept(session);
  }

  private open({ call, stream }: Session, socket: Socket): void {
    if (call.state === 'ended') {
      socket.close(1001, 'the call has ended');
      return;
    }
    stream.open(socket);
    const timeout = this.clock.timeout(START_TIMEOUT_MS, () => {
      this.log.warn({ callId: call.callId }, 'no start message within the timeout');
      call.end('protocol');
    });
    stream.once('start', () => timeout.cancel());
    call.onEnd(() => timeout.cancel());
  }

  /** A fault in one call must not affect the others. */
  private failed({ call }: Session, error: unknown): void {
    this.log.error({ callId: call.callId, err: error }, 'serving a media socket failed');
    call.end('internal');
  }
}
