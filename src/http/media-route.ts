import type { CallService } from '../calls/call-service.js';
import type { Session } from '../calls/session.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { START_TIMEOUT_MS } from '../phone/media-socket.js';
import { MAX_MESSAGE_BYTES, type TwilioMediaStream } from '../phone/media-stream.js';
import type { IngressTime } from '../telemetry/ingress-time.js';
import type { Logger } from '../telemetry/log.js';
import type { HeaderReader } from '../twilio/public-url.js';
import type { Places } from '../workers/places.js';
import type { EndSocket, SocketEnd } from '../workers/socket-end.js';
import type { Answers } from './answers.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';
import { SocketUpgrades } from './socket-upgrades.js';
import type { Routes } from './transport/transport.js';

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
    /** Where sockets are served, if there are several workers. */
    private readonly places?: Places,
  ) {
    this.upgrades = new SocketUpgrades('media stream', answers, log, clock);
    places?.serveMedia((session) => this.endOf(session));
  }

  /** Adds the route below a path prefix. */
  addTo(routes: Routes, prefix: string): void {
    const path = `${prefix}/twilio/media/:callId/:token`;
    this.upgrades.addTo(routes, path, HARD_LIMIT_BYTES, (...asked) => this.admit(...asked));
  }

  private async admit(
    context: RequestContext,
    header: HeaderReader,
    accept: (end: SocketEnd) => void,
  ): Promise<void> {
    if (header('origin') !== '') {
      throw new GatewayError(
        'GW_ORIGIN_REFUSED',
        'Expected no Origin header for a media stream but received one: browsers may not open it',
      );
    }
    await context.inTurn(() => this.authenticator.checkUpgrade(context));
    context.isKnown = true;
    const end = await this.connect(context.parameter(0), context.parameter(1));
    if (context.isGone) end.closed(1006);
    else accept(end);
  }

  private async connect(callId: string, token: string): Promise<SocketEnd> {
    if (this.places !== undefined)
      return this.places.connectMedia(callId, token, (session) => this.endOf(session));
    return this.endOf(await this.calls.connect(callId, token));
  }

  private endOf(session: Session): SocketEnd {
    return new MediaEnd(session, this.clock, this.log);
  }
}

/** A call of this process that serves its media socket. */
class MediaEnd implements SocketEnd {
  private readonly stream: TwilioMediaStream;

  constructor(
    private readonly session: Session,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.stream = session.stream;
  }

  open(socket: EndSocket): void {
    const { call, stream } = this.session;
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

  message(message: ArrayBuffer | Uint8Array, isBinary: boolean, arrived?: IngressTime): void {
    this.stream.handleMessage(message, isBinary, arrived);
  }

  drained(): void {
    this.stream.drained();
  }

  closed(): void {
    this.stream.disconnected();
  }

  /** A fault in one call must not affect the others. */
  failed(error: unknown): void {
    const { call } = this.session;
    this.log.error({ callId: call.callId, err: error }, 'serving a media socket failed');
    call.end('internal');
  }

  leave(): void {
    this.session.call.end('handed-over');
  }
}
