import type { Switchboard } from '../calls/switchboard.js';
import type { CallControlService } from '../control/call-control-service.js';
import {
  type AnswerOf,
  type CallControl,
  checkRequest,
  isOperation,
  MAX_WAV_BYTES,
  type OperationName,
} from '../control/operations.js';
import { GatewayError } from '../errors.js';
import type { OwnerClient } from './owner-client.js';

/** Name of the request to the node that holds the call. */
const REQUEST = 'control';
/** The operation may involve Twilio, Stream or a disk. */
const WITHIN_MS = 20_000;

/** Call control in a fleet: the node that holds the call performs the operation. */
export class FleetControl implements CallControl {
  constructor(
    private readonly callControl: CallControlService,
    private readonly switchboard: Switchboard,
    private readonly owner: OwnerClient,
  ) {}

  async control<O extends OperationName>(
    callId: string,
    operation: O,
    request: unknown,
  ): Promise<AnswerOf<O>> {
    if (this.switchboard.has(callId)) return this.callControl.control(callId, operation, request);
    const checked = encodeWav(checkRequest(operation, request));
    try {
      const about = { operation, request: checked };
      return (await this.owner.requireOwner(callId, REQUEST, about, WITHIN_MS)) as AnswerOf<O>;
    } catch (error) {
      // No node knows the call any more, but this process may remember that it ended here.
      const isUnknown = error instanceof GatewayError && error.code === 'GW_CALL_UNKNOWN';
      if (isUnknown && this.callControl.hasEnded(callId))
        return this.callControl.control(callId, operation, request);
      throw error;
    }
  }

  /** Handles another node's request; `undefined` if it is not a control request. */
  reply(
    what: string,
    callId: string,
    { operation, request }: Readonly<Record<string, unknown>>,
  ): Promise<unknown> | undefined {
    return what === REQUEST ? this.perform(callId, String(operation), decodeWav(request)) : undefined;
  }

  private async perform(callId: string, operation: string, request: unknown): Promise<unknown> {
    if (!isOperation(operation)) {
      const message = `Another node requested an unknown operation: ${operation}`;
      throw new GatewayError('GW_QUESTION_UNKNOWN', message);
    }
    // A call that ended here may continue elsewhere, so this node must not report it as ended.
    this.switchboard.requireSession(callId);
    return this.callControl.control(callId, operation, request);
  }
}

/**
 * Encodes a WAV as base64 for JSON.
 * @throws GatewayError `GW_WAV_TOO_LONG` (413) if it is too large for Redis
 */
function encodeWav(request: object): object {
  if (!('wav' in request && request.wav instanceof Uint8Array)) return request;
  if (request.wav.byteLength > MAX_WAV_BYTES) {
    const message = `Expected at most ${MAX_WAV_BYTES} bytes for a WAV file but received ${request.wav.byteLength}`;
    throw new GatewayError('GW_WAV_TOO_LONG', message);
  }
  return { ...request, wav: Buffer.from(request.wav).toString('base64') };
}

function decodeWav(request: unknown): unknown {
  if (typeof request !== 'object' || request === null || !('wav' in request)) return request;
  return { ...request, wav: Buffer.from(String(request.wav), 'base64') };
}
