import { type CallControl, MAX_WAV_BYTES, OPERATIONS, type OperationName } from '../control/operations.js';
import { GatewayError, mistakesOf } from '../errors.js';
import type { RequestContext } from './request-context.js';

const WAV_TYPES: ReadonlySet<string> = new Set(['audio/wav', 'audio/x-wav', 'audio/wave', 'audio/vnd.wave']);

/** `/v1/calls/{id}/…`: operations on running calls, behind the control key. */
export class CallControlRoutes {
  constructor(private readonly calls: CallControl) {}

  async perform(name: OperationName, context: RequestContext): Promise<void> {
    const request = await requestOf(name, context);
    context.json(OPERATIONS[name].status, await this.calls.control(context.parameter(0), name, request));
  }
}

async function requestOf(name: OperationName, context: RequestContext): Promise<unknown> {
  const { method, wavQuery } = OPERATIONS[name];
  if (method === 'delete') return {};
  if (wavQuery !== undefined && WAV_TYPES.has(context.contentType)) {
    const fields = wavQuery.safeParse(fieldsOf(context.query));
    if (!fields.success) {
      const mistakes = mistakesOf(fields.error, 'query');
      throw new GatewayError(
        'GW_BAD_REQUEST',
        `Expected options of ${name} in the query but received ${mistakes}`,
      );
    }
    return { ...(fields.data as object), wav: await context.bytes(MAX_WAV_BYTES) };
  }
  const request = await context.readJson();
  if (typeof request === 'object' && request !== null && 'wav' in request) {
    throw new GatewayError('GW_BAD_REQUEST', 'Expected an audio/wav body for a WAV file but received JSON');
  }
  return request;
}

/** The fields of a query such as `?loop=2&gain=-6&over=true`, as JSON would have them. */
function fieldsOf(query: string): Record<string, unknown> {
  const fields = [...new URLSearchParams(query)].map(([name, value]) => {
    if (value === 'true' || value === 'false') return [name, value === 'true'];
    return [name, /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value];
  });
  return Object.fromEntries(fields);
}
