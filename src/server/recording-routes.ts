import { GatewayError } from '../errors.js';
import type { Exchange } from './exchange.js';
import type { Gatekeeper } from './gatekeeper.js';
import { checkRecordRequest, type Recordings } from './recordings.js';
import type { Switchboard } from './switchboard.js';

/** `/v1/calls/{id}/recording`: behind the control key, on the node that has the call. */
export class RecordingRoutes {
  constructor(
    private readonly recordings: Recordings,
    private readonly switchboard: Switchboard,
    private readonly gatekeeper: Gatekeeper,
  ) {}

  /** `POST`: 201 and the recording that has begun. */
  async start(exchange: Exchange): Promise<void> {
    this.gatekeeper.checkControl(exchange.header);
    const request = checkRecordRequest(parseJson(await exchange.body()));
    const session = this.switchboard.requireSession(exchange.parameter(0));
    exchange.json(201, await this.recordings.start(session, request));
  }

  /** `GET`: 200 and how it is. */
  inspect(exchange: Exchange): void {
    this.gatekeeper.checkControl(exchange.header);
    exchange.json(200, this.recordings.view(exchange.parameter(0)));
  }

  /** `DELETE`: 200 and what it came to, once its file is whole. */
  async stop(exchange: Exchange): Promise<void> {
    this.gatekeeper.checkControl(exchange.header);
    const { error: _, ...result } = await this.recordings.stop(exchange.parameter(0));
    exchange.json(200, result);
  }
}

/** No body asks for nothing in particular. */
function parseJson(body: string): unknown {
  if (body.trim() === '') return {};
  try {
    return JSON.parse(body);
  } catch {
    throw new GatewayError('GW_BAD_REQUEST', 'Expected a JSON body but received other text', { status: 400 });
  }
}
