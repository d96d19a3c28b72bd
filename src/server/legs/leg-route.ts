import type { HttpRequest, HttpResponse, TemplatedApp, us_socket_context_t, WebSocket } from 'uWebSockets.js';
import type { Clock } from '../../clock.js';
import { describe, GatewayError } from '../../errors.js';
import { SAMPLE_RATE } from '../../media/frame.js';
import { type Logger, maskNumbersIn } from '../../telemetry/log.js';
import type { Answers } from '../answers.js';
import { Exchange } from '../exchange.js';
import type { Gatekeeper } from '../gatekeeper.js';
import { RefusalLog } from '../refusal-log.js';
import type { Session } from '../session.js';
import { answeredProtocol, checkSameOrigin, withOfferedKey } from './leg-credentials.js';
import type { Legs } from './legs.js';
import {
  DEFAULT_BUFFER_MS,
  LEG_RATES,
  type LegRate,
  type LegSocket,
  MAX_AUDIO_BYTES,
  MAX_BUFFER_MS,
  MIN_BUFFER_MS,
  type RawLeg,
  type RawLegOptions,
} from './raw-leg.js';

/** The room that a path's parameter means; `undefined` for none. */
type RoomReader = (parameter: string) => string | undefined;

/** What uWebSockets.js keeps with a socket. */
interface SocketData {
  readonly leg: RawLeg;
}

/** Over this uWebSockets.js itself cuts the connection; above our own limit, so that a little too much gets the code 1009. */
const HARD_LIMIT_BYTES = 2 * MAX_AUDIO_BYTES;
/** A program that reads nothing while events pile up to this is cut off. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Seconds without a sign of life (pings included) after which a program is taken for dead. */
const IDLE_SECONDS = 60;
/** Longest name of a room. */
const MAX_ROOM_LENGTH = 200;
/** Longest reason that a close frame holds, in bytes (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** `WS /v1/rooms/{room}/leg` and `WS /v1/calls/{id}/leg`: programs in local rooms, by name or by a call that is there. */
export class LegRoute {
  private readonly refusals: RefusalLog;

  constructor(
    private readonly legs: Legs,
    private readonly gatekeeper: Gatekeeper,
    private readonly log: Logger,
    private readonly answers: Answers,
    /** @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED` (409) */
    private readonly requireSession: (callId: string) => Session,
    clock: Clock,
  ) {
    this.refusals = new RefusalLog('raw leg', log, clock);
  }

  addTo(app: TemplatedApp): void {
    this.addRoute(app, '/v1/rooms/:room/leg', (room) => decoded(room));
    this.addRoute(app, '/v1/calls/:id/leg', (callId) => this.roomOfCall(callId));
  }

  /** @param roomOf the room that the path's parameter means, if it means one */
  private addRoute(app: TemplatedApp, path: string, roomOf: RoomReader): void {
    app.ws<SocketData>(path, {
      maxPayloadLength: HARD_LIMIT_BYTES,
      maxBackpressure: MAX_UNSENT_BYTES,
      closeOnBackpressureLimit: true,
      idleTimeout: IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => this.upgrade(response, request, context, roomOf),
      open: (ws) => this.guard(ws, (leg) => this.open(ws, leg)),
      message: (ws, message, isBinary) => this.message(ws, message, isBinary),
      drain: (ws) => this.guard(ws, (leg) => leg.drained()),
      close: (ws, code) => this.guard(ws, (leg) => this.closed(leg, code)),
    });
  }

  /** All is decided within this turn: no client can go meanwhile, and no place is kept for one that never comes. */
  private upgrade(
    response: HttpResponse,
    request: HttpRequest,
    context: us_socket_context_t,
    roomOf: RoomReader,
  ): void {
    const header = (name: string) => request.getHeader(name);
    const exchange = new Exchange(response, request, this.answers);
    if (exchange.isDone) return;
    exchange.isLast = true;
    let leg: RawLeg;
    try {
      leg = this.admit(exchange, request, roomOf);
    } catch (error) {
      this.refusals.tell(error);
      exchange.error(error);
      return;
    }
    // Not within cork(): it would look at a response that is a WebSocket by then.
    response.upgrade<SocketData>(
      { leg },
      header('sec-websocket-key'),
      answeredProtocol(header),
      header('sec-websocket-extensions'),
      context,
    );
  }

  private admit(exchange: Exchange, request: HttpRequest, roomOf: RoomReader): RawLeg {
    const header = (name: string) => request.getHeader(name);
    // uWebSockets.js looks at the key alone; a proxy that drops this header can carry no WebSocket.
    if (header('upgrade').toLowerCase() !== 'websocket') {
      throw new GatewayError(
        'GW_UPGRADE_MISSING',
        'Expected the header "Upgrade: websocket" for a raw leg but received none: does a proxy drop it?',
        { status: 426 },
      );
    }
    this.gatekeeper.checkControl(withOfferedKey(header));
    exchange.isKnown = true;
    checkSameOrigin(header);
    return this.legs.admit(optionsOf(roomOf(request.getParameter(0) ?? ''), request.getQuery() ?? ''));
  }

  /**
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED`, `GW_CALL_UNBRIDGED` (409)
   */
  private roomOfCall(callId: string): string {
    const { isJoined, room } = this.requireSession(callId);
    if (isJoined) return room;
    const message = 'Expected a call that is in a room for a raw leg but received one that is in none';
    throw new GatewayError('GW_CALL_UNBRIDGED', message, { status: 409 });
  }

  private open(ws: WebSocket<SocketData>, leg: RawLeg): void {
    const { rate, bufferMs, onlyListens } = leg.options;
    this.log.info({ room: roomOf(leg), rate, bufferMs, onlyListens }, 'raw leg');
    this.legs.open(leg, new UwsLegSocket(ws));
  }

  private closed(leg: RawLeg, code: number): void {
    leg.disconnected();
    this.log.info({ room: roomOf(leg), code, ...leg.counts }, 'raw leg ended');
  }

  /** Not through `guard`: a closure a message is one too many. */
  private message(ws: WebSocket<SocketData>, message: ArrayBuffer, isBinary: boolean): void {
    const { leg } = ws.getUserData();
    try {
      leg.receive(message, isBinary);
    } catch (error) {
      this.failed(leg, error);
    }
  }

  private guard(ws: WebSocket<SocketData>, work: (leg: RawLeg) => void): void {
    const { leg } = ws.getUserData();
    try {
      work(leg);
    } catch (error) {
      this.failed(leg, error);
    }
  }

  private failed(leg: RawLeg, error: unknown): void {
    this.log.error({ room: roomOf(leg), err: error }, 'a raw leg could not be served');
    leg.close(1011, 'internal error');
  }
}

/** A leg's room for the log; it may be named after a phone number. */
function roomOf(leg: RawLeg): string {
  return maskNumbersIn(leg.options.room);
}

/**
 * What a leg's URL asks for.
 * @throws GatewayError `GW_BAD_REQUEST` (400)
 */
function optionsOf(room: string | undefined, query: string): RawLegOptions {
  const parameters = new URLSearchParams(query);
  if (room === undefined || room === '' || room.length > MAX_ROOM_LENGTH) {
    throw badRequest(`1 to ${MAX_ROOM_LENGTH} characters`, 'the room', room);
  }
  const rate = Number(parameters.get('rate') ?? SAMPLE_RATE);
  if (!(LEG_RATES as readonly number[]).includes(rate)) {
    throw badRequest(LEG_RATES.join(', '), 'rate', parameters.get('rate'));
  }
  const bufferMs = Number(parameters.get('buffer') ?? DEFAULT_BUFFER_MS);
  if (!(Number.isInteger(bufferMs) && bufferMs >= MIN_BUFFER_MS && bufferMs <= MAX_BUFFER_MS)) {
    throw badRequest(`${MIN_BUFFER_MS} to ${MAX_BUFFER_MS} milliseconds`, 'buffer', parameters.get('buffer'));
  }
  const listen = parameters.get('listen') ?? '0';
  if (listen !== '0' && listen !== '1') throw badRequest('0 or 1', 'listen', listen);
  return { room, rate: rate as LegRate, bufferMs, onlyListens: listen === '1' };
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
  return new GatewayError('GW_BAD_REQUEST', message, { status: 400 });
}

/** uWebSockets.js' socket as a leg uses it. */
class UwsLegSocket implements LegSocket {
  private open = true;

  constructor(private readonly ws: WebSocket<SocketData>) {}

  send(message: string | Int16Array): void {
    if (this.open) this.ws.send(message, typeof message !== 'string', false);
  }

  bufferedBytes(): number {
    return this.open ? this.ws.getBufferedAmount() : 0;
  }

  close(code: number, reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.ws.end(code, reason.slice(0, MAX_REASON_BYTES));
  }
}
