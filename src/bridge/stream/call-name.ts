import { GatewayError } from '../../errors.js';

/** Which Stream call: its type (which settings and permissions it has) and its id. */
export interface CallName {
  readonly type: string;
  readonly id: string;
}

export const DEFAULT_CALL_TYPE = 'default';
/** Stream's limits for both parts. */
const PART = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Reads `type:id`, or `id` alone for the default type.
 * @throws GatewayError `GW_STREAM_CALL_NAME` for what Stream would refuse
 */
export function parseCallName(room: string): CallName {
  const colon = room.indexOf(':');
  const type = colon < 0 ? DEFAULT_CALL_TYPE : room.slice(0, colon);
  const id = room.slice(colon + 1);
  if (!PART.test(type) || !PART.test(id)) {
    throw new GatewayError(
      'GW_STREAM_CALL_NAME',
      `Expected "id" or "type:id", each 1 to 64 of A-Z a-z 0-9 _ -, for a Stream call but received ${JSON.stringify(room)}`,
    );
  }
  return { type, id };
}
