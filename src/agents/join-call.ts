import WebSocket from 'ws';
import { GatewayError } from '../errors.js';
import { LEG_PROTOCOL, MAX_MESSAGE_BYTES } from '../legs/leg-messages.js';
import type { LegRate } from '../legs/leg-rate.js';
import type { AgentCall } from './agent-call.js';
import { callOn } from './call-socket.js';

/** How a program joins a room. */
export interface JoinCallOptions {
  /** The gateway's `CONTROL_API_KEY`. */
  readonly key: string;
  /** Samples a second of what the program hears; default 16,000. */
  readonly rate?: LegRate;
  /** Samples a second of what it says; default `rate`. */
  readonly sendRate?: LegRate;
  /** Milliseconds of its audio that may wait to be played, 100 to 120,000; default 30,000. */
  readonly bufferMs?: number;
  /** Only listen; default false. */
  readonly listen?: boolean;
}

/**
 * Joins a room, or the room of a call, as a program.
 * @param url `ws(s)://…/v1/rooms/{room}/leg` or `…/v1/calls/{id}/leg`
 * @throws GatewayError `GW_AGENT_UNREACHABLE` if the gateway refuses or does not answer
 */
export function joinCall(url: string, options: JoinCallOptions): Promise<AgentCall> {
  const { key, rate = 16_000, sendRate = rate, bufferMs, listen = false } = options;
  const address = new URL(url);
  const query = {
    rate,
    sendRate,
    listen: listen ? 1 : 0,
    ...(bufferMs === undefined ? {} : { buffer: bufferMs }),
  };
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, String(value));
  const socket = new WebSocket(address, [LEG_PROTOCOL], {
    headers: { authorization: `Bearer ${key}` },
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });
  return new Promise((resolve, reject) => {
    socket.once('unexpected-response', (_, { statusCode }) => {
      reject(new GatewayError('GW_AGENT_UNREACHABLE', `The gateway refused with status ${statusCode}`));
      socket.terminate();
    });
    socket.once('error', ({ message }) => {
      reject(new GatewayError('GW_AGENT_UNREACHABLE', `The gateway cannot be reached: ${message}`));
    });
    callOn(socket).then(resolve, reject);
  });
}
