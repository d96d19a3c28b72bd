import { GatewayError } from '../errors.js';
import type { PhoneCall } from './decision.js';
import type { Exchange } from './exchange.js';
import type { Gatekeeper } from './gatekeeper.js';
import { checkPlaceCall } from './place-call.js';
import type { Switchboard } from './switchboard.js';

/** The control API, `/v1/*`: behind its own key, off where none is set. */
export class ControlRoutes {
  constructor(
    private readonly switchboard: Switchboard,
    private readonly gatekeeper: Gatekeeper,
  ) {}

  /** `POST /v1/calls`: 201 `{callId, callSid}`. */
  async place(exchange: Exchange): Promise<void> {
    this.gatekeeper.checkControl(exchange.header);
    const request = checkPlaceCall(parseJson(await exchange.body()));
    const publicBase = this.gatekeeper.publicBase();
    if (publicBase === undefined) {
      throw new GatewayError(
        'GW_PUBLIC_URL_MISSING',
        'Expected PUBLIC_URL for an outbound call but received none',
        {
          status: 503,
        },
      );
    }
    exchange.json(201, await this.switchboard.place(request, publicBase));
  }

  /** `GET /v1/calls`: all calls that have not ended. */
  list(exchange: Exchange): void {
    this.gatekeeper.checkControl(exchange.header);
    exchange.json(200, { calls: this.switchboard.list().map((call) => this.describe(call)) });
  }

  /** `GET /v1/calls/{id}` */
  inspect(exchange: Exchange): void {
    this.gatekeeper.checkControl(exchange.header);
    exchange.json(200, this.describe(this.switchboard.require(exchange.parameter(0))));
  }

  /** `DELETE /v1/calls/{id}`: hangs up. */
  async hangUp(exchange: Exchange): Promise<void> {
    this.gatekeeper.checkControl(exchange.header);
    const call = this.switchboard.require(exchange.parameter(0));
    await this.switchboard.hangUp(call);
    exchange.json(200, this.describe(call));
  }

  private describe(call: PhoneCall): object {
    const stream = this.switchboard.session(call.callId)?.stream;
    return {
      callId: call.callId,
      callSid: call.callSid,
      direction: call.direction,
      from: call.from,
      to: call.to,
      state: call.state,
      status: call.callStatus,
      startedAt: call.startedAt,
      endedAt: call.endedAt,
      endCause: call.endCause,
      durationSeconds: call.durationSeconds,
      ...(stream && {
        streamSid: stream.streamSid,
        playedMs: Math.round(stream.playedMs),
        leadMs: Math.round(stream.leadMs),
        traffic: stream.counts(),
        latency: stream.latencies.summaries(),
      }),
    };
  }
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new GatewayError('GW_BAD_REQUEST', 'Expected a JSON body but received other text', { status: 400 });
  }
}
