import type { CallService } from '../calls/call-service.js';
import { checkPlaceCall } from '../calls/place-call.js';
import { GatewayError } from '../errors.js';
import type { Gatekeeper } from './request-authenticator.js';
import type { Exchange } from './request-context.js';

/** The control API, `/v1/*`: behind its own key, off where none is set. */
export class ControlRoutes {
  constructor(
    private readonly calls: CallService,
    private readonly gatekeeper: Gatekeeper,
  ) {}

  /** `POST /v1/calls`: 201 `{callId, callSid}`. */
  async place(exchange: Exchange): Promise<void> {
    const request = checkPlaceCall(await exchange.readJson());
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
    exchange.json(201, await this.calls.place(request, publicBase));
  }

  /** `GET /v1/calls`: all calls that have not ended. */
  async list(exchange: Exchange): Promise<void> {
    exchange.json(200, { calls: await this.calls.list() });
  }

  /** `GET /v1/calls/{id}` */
  async inspect(exchange: Exchange): Promise<void> {
    exchange.json(200, await this.calls.inspect(exchange.parameter(0)));
  }

  /** `DELETE /v1/calls/{id}`: hangs up. */
  async hangUp(exchange: Exchange): Promise<void> {
    exchange.json(200, await this.calls.hangUp(exchange.parameter(0)));
  }
}
