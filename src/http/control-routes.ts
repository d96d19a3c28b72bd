import type { CallService } from '../calls/call-service.js';
import { checkPlaceCall } from '../calls/place-call.js';
import { GatewayError } from '../errors.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';

/** `/v1/calls`: placing, listing and ending calls, behind the control key. */
export class ControlRoutes {
  constructor(
    private readonly calls: CallService,
    private readonly authenticator: RequestAuthenticator,
  ) {}

  /** `POST /v1/calls`: 201 `{callId, callSid}`. */
  async place(context: RequestContext): Promise<void> {
    const request = checkPlaceCall(await context.readJson());
    const publicBase = this.authenticator.publicBase();
    if (publicBase === undefined) {
      throw new GatewayError('GW_PUBLIC_URL_MISSING', 'Outbound calls need PUBLIC_URL');
    }
    context.json(201, await this.calls.place(request, publicBase));
  }

  /** `GET /v1/calls`: all calls that have not ended. */
  async list(context: RequestContext): Promise<void> {
    context.json(200, { calls: await this.calls.list() });
  }

  /** `GET /v1/calls/{id}` */
  async inspect(context: RequestContext): Promise<void> {
    context.json(200, await this.calls.inspect(context.parameter(0)));
  }

  /** `DELETE /v1/calls/{id}`: hangs up. */
  async hangUp(context: RequestContext): Promise<void> {
    context.json(200, await this.calls.hangUp(context.parameter(0)));
  }
}
