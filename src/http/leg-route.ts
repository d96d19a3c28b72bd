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
import type { Answers } from './answers.js';
import { answeredProtocol, checkSameOrigin, withOfferedKey } from './leg-credentials.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';
import { SocketUpgrades } from './socket-upgrades.js';
import type { Routes, Socket } from './transport/transport.js';

/** Finds the room of a path's parameter; `undefined` for none. */
type RoomReader = (parameter: string) => string | undefined;

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
  ) {
    this.upgrades = new SocketUpgrades('raw leg', answers, log, clock);
  }

  addTo(routes: Routes): void {
    this.addRoute(routes, '/v1/rooms/:room/leg', (room) => decoded(room));
    this.addRoute(routes, '/v1/calls/:id/leg', (callId) => this.roomOfCall(callId));
  }

  /** @param roomOf finds the room of the path's parameter */
  private addRoute(routes: Routes, path: string, roomOf: RoomReader): void {
    routes.socket<RawLeg>(path, {
      maxMessageBytes: MAX_MESSAGE_BYTES,
      // Decided within one turn: no client can leave meanwhile, and no place is kept for one that never comes.
      upgrade: this.upgrades.by(
        (context, header, accept) =>
          context.inTurn(() => accept(this.admit(context, header, roomOf), answeredProtocol(header))),
        1,
      ),
      open: (leg, socket) => this.open(leg, socket),
      message: (leg, message, isBinary) => leg.handleMessage(message, isBinary),
      drained: (leg) => leg.drained(),
      closed: (leg, code) => this.closed(leg, code),
      failed: (leg, error) => this.failed(leg, error),
    });
  }

  private admit(context: RequestContext, header: HeaderReader, roomOf: RoomReader): RawLeg {
    this.authenticator.checkControl(withOfferedKey(header));
    context.isKnown = true;
    checkSameOrigin(header);
    return this.legs.admit(optionsOf(roomOf(context.parameter(0)), context.query));
  }

  /**
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED`, `GW_CALL_UNBRIDGED` (409)
   */
  private roomOfCall(callId: string): string {
    const { isJoined, room } = this.requireSession(callId);
    if (isJoined) return room;
    throw new GatewayError('GW_CALL_UNBRIDGED', `Call ${callId} is in no room`);
  }

  private open(leg: RawLeg, socket: Socket): void {
    const { rate, bufferMs, onlyListens } = leg.options;
    this.log.info({ room: roomOf(leg), rate, bufferMs, onlyListens }, 'raw leg');
    this.legs.open(leg, socket);
  }

  private closed(leg: RawLeg, code: number): void {
    leg.disconnected();
    this.log.info({ room: roomOf(leg), code, ...leg.counts }, 'raw leg ended');
  }

  private failed(leg: RawLeg, error: unknown): void {
    this.log.error({ room: roomOf(leg), err: error }, 'serving a raw leg failed');
    leg.close(1011, 'internal error');
  }
}

/** A leg's room for the log, masked since it may contain a phone number. */
function roomOf(leg: RawLeg): string {
  return maskNumbersIn(leg.options.room);
}

/**
 * Reads the options in a leg's URL.
 * @throws GatewayError `GW_BAD_REQUEST` (400)
 */
function optionsOf(room: string | undefined, query: string): RawLegOptions {
  const parameters = new URLSearchParams(query);
  if (room === undefined || room === '' || room.length > MAX_ROOM_LENGTH) {
    throw badRequest(`1 to ${MAX_ROOM_LENGTH} characters`, 'the room', room);
  }
  const rate = rateOf(parameters, 'rate', SAMPLE_RATE);
  const sendRate = rateOf(parameters, 'sendRate', rate);
  const bufferMs = Number(parameters.get('buffer') ?? DEFAULT_BUFFER_MS);
  if (!(Number.isInteger(bufferMs) && bufferMs >= MIN_BUFFER_MS && bufferMs <= MAX_BUFFER_MS)) {
    throw badRequest(`${MIN_BUFFER_MS} to ${MAX_BUFFER_MS} milliseconds`, 'buffer', parameters.get('buffer'));
  }
  const listen = parameters.get('listen') ?? '0';
  if (listen !== '0' && listen !== '1') throw badRequest('0 or 1', 'listen', listen);
  return { room, rate, sendRate, bufferMs, onlyListens: listen === '1' };
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
