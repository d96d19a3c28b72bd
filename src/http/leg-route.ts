import type { Session } from '../calls/session.js';
import type { Clock } from '../clock.js';
import { describe, GatewayError } from '../errors.js';
import { MAX_MESSAGE_BYTES } from '../legs/leg-messages.js';
import { LEG_RATES, type LegRate } from '../legs/leg-rate.js';
import type { Legs } from '../legs/legs.js';
import {
  DEFAULT_BUFFER_MS,
  MAX_BUFFER_MS,
  MIN_BUFFER_MS,
  type RawLeg,
  type RawLegOptions,
} from '../legs/raw-leg.js';
import { SAMPLE_RATE } from '../media/frame.js';
import { type Logger, maskNumbersIn } from '../telemetry/log.js';
import type { HeaderReader } from '../twilio/public-url.js';
import type { Places } from '../workers/places.js';
import type { EndSocket, SocketEnd } from '../workers/socket-end.js';
import type { Answers } from './answers.js';
import { answeredProtocol, checkSameOrigin, withOfferedKey } from './leg-credentials.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';
import { SocketUpgrades } from './socket-upgrades.js';
import type { Routes } from './transport/transport.js';

/** What a leg's URL asks for besides the room; JSON. */
type LegFormat = Omit<RawLegOptions, 'room' | 'mayTransfer' | 'call'>;

/** Most characters of a room's name. */
const MAX_ROOM_LENGTH = 200;

/** `WS /v1/rooms/{room}/leg` and `WS /v1/calls/{id}/leg`: programs in rooms, by name or by a call in it. */
export class LegRoute {
  private readonly upgrades: SocketUpgrades;

  constructor(
    private readonly legs: Legs,
    private readonly authenticator: RequestAuthenticator,
    private readonly log: Logger,
    answers: Answers,
    /** @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED` (409) */
    private readonly requireSession: (callId: string) => Session,
    clock: Clock,
    /** Where sockets are served, if there are several workers. */
    private readonly places?: Places,
  ) {
    this.upgrades = new SocketUpgrades('raw leg', answers, log, clock);
    places?.serveLegs(
      (room, format) => this.admit(room, format as LegFormat),
      (callId) => this.roomOfCall(callId),
    );
  }

  addTo(routes: Routes): void {
    this.addRoute(
      routes,
      '/v1/rooms/:room/leg',
      (parameter) => checkRoom(decoded(parameter)),
      (places, parameter, format) => {
        const room = checkRoom(decoded(parameter));
        return places.connectLeg(room, format, () => this.admit(room, format));
      },
    );
    this.addRoute(
      routes,
      '/v1/calls/:id/leg',
      (callId) => this.roomOfCall(callId),
      (places, callId, format) =>
        places.connectLegOfCall(callId, format, () => this.admit(this.roomOfCall(callId), format)),
    );
  }

  /**
   * @param roomOf finds the room of the path's parameter
   * @param connect places the leg among several workers
   */
  private addRoute(
    routes: Routes,
    path: string,
    roomOf: (parameter: string) => string,
    connect: (places: Places, parameter: string, format: LegFormat) => Promise<SocketEnd>,
  ): void {
    this.upgrades.addTo(routes, path, MAX_MESSAGE_BYTES, async (context, header, accept) => {
      const { places } = this;
      if (places === undefined) {
        // Decided within one turn: no client can leave meanwhile, and no place is kept for one that never comes.
        await context.inTurn(() => {
          this.check(context, header);
          const room = roomOf(context.parameter(0));
          accept(this.admit(room, formatOf(context.query)), answeredProtocol(header));
        });
        return;
      }
      const format = await context.inTurn(() => {
        this.check(context, header);
        return formatOf(context.query);
      });
      const end = await connect(places, context.parameter(0), format);
      if (context.isGone) end.closed(1006);
      else accept(end, answeredProtocol(header));
    });
  }

  private check(context: RequestContext, header: HeaderReader): void {
    this.authenticator.checkControl(withOfferedKey(header));
    context.isKnown = true;
    checkSameOrigin(header);
  }

  private admit(room: string, format: LegFormat): SocketEnd {
    return new LegEnd(this.legs.admit({ room, ...format }), this.legs, this.log);
  }

  /**
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED`, `GW_CALL_UNBRIDGED` (409)
   */
  private roomOfCall(callId: string): string {
    const { isJoined, room } = this.requireSession(callId);
    if (isJoined) return checkRoom(room);
    throw new GatewayError('GW_CALL_UNBRIDGED', `Call ${callId} is in no room`);
  }
}

/** A raw leg of this process that serves its socket. */
class LegEnd implements SocketEnd {
  private isOpen = false;

  constructor(
    private readonly leg: RawLeg,
    private readonly legs: Legs,
    private readonly log: Logger,
  ) {}

  open(socket: EndSocket): void {
    const { leg } = this;
    const { rate, bufferMs, onlyListens } = leg.options;
    this.isOpen = true;
    this.log.info({ room: roomOf(leg), rate, bufferMs, onlyListens }, 'raw leg');
    this.legs.open(leg, socket);
  }

  message(message: ArrayBuffer | Uint8Array, isBinary: boolean): void {
    this.leg.handleMessage(message, isBinary);
  }

  drained(): void {
    this.leg.drained();
  }

  closed(code: number): void {
    const { leg } = this;
    leg.disconnected();
    if (this.isOpen) this.log.info({ room: roomOf(leg), code, ...leg.counts }, 'raw leg ended');
  }

  failed(error: unknown): void {
    this.log.error({ room: roomOf(this.leg), err: error }, 'serving a raw leg failed');
    this.leg.close(1011, 'internal error');
  }

  leave(): void {
    this.leg.close(1001, 'going away');
  }
}

/** A leg's room for the log, masked since it may contain a phone number. */
function roomOf(leg: RawLeg): string {
  return maskNumbersIn(leg.options.room);
}

/** @throws GatewayError `GW_BAD_REQUEST` (400) */
function checkRoom(room: string | undefined): string {
  if (room !== undefined && room !== '' && room.length <= MAX_ROOM_LENGTH) return room;
  throw badRequest(`1 to ${MAX_ROOM_LENGTH} characters`, 'the room', room);
}

/**
 * Reads the options in a leg's URL.
 * @throws GatewayError `GW_BAD_REQUEST` (400)
 */
function formatOf(query: string): LegFormat {
  const parameters = new URLSearchParams(query);
  const rate = rateOf(parameters, 'rate', SAMPLE_RATE);
  const sendRate = rateOf(parameters, 'sendRate', rate);
  const bufferMs = Number(parameters.get('buffer') ?? DEFAULT_BUFFER_MS);
  if (!(Number.isInteger(bufferMs) && bufferMs >= MIN_BUFFER_MS && bufferMs <= MAX_BUFFER_MS)) {
    throw badRequest(`${MIN_BUFFER_MS} to ${MAX_BUFFER_MS} milliseconds`, 'buffer', parameters.get('buffer'));
  }
  const listen = parameters.get('listen') ?? '0';
  if (listen !== '0' && listen !== '1') throw badRequest('0 or 1', 'listen', listen);
  return { rate, sendRate, bufferMs, onlyListens: listen === '1' };
}

function rateOf(parameters: URLSearchParams, name: string, usual: LegRate): LegRate {
  const text = parameters.get(name);
  const rate = LEG_RATES.find((each) => each === (text === null ? usual : Number(text)));
  if (rate === undefined) throw badRequest(LEG_RATES.join(', '), name, text);
  return rate;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function badRequest(what: string, subject: string, received: unknown): GatewayError {
  const message = `Expected ${what} for ${subject} but received ${describe(received)}`;
  return new GatewayError('GW_BAD_REQUEST', message);
}
