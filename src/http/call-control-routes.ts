import type { CallControl } from '../control/call-control.js';
import { MAX_WAV_BYTES, type Operation } from '../control/requests.js';
import { describe, GatewayError } from '../errors.js';
import type { RequestContext } from './request-context.js';

const WAV_TYPES: ReadonlySet<string> = new Set(['audio/wav', 'audio/x-wav', 'audio/wave', 'audio/vnd.wave']);

/** A route below `/v1/calls/{id}/`, what it does and its status when that is done. */
interface ControlRoute {
  readonly method: 'post' | 'del';
  readonly name: string;
  readonly operation: Operation;
  readonly status: number;
}

export const CONTROL_ROUTES: readonly ControlRoute[] = [
  { method: 'post', name: 'clear', operation: 'clear', status: 200 },
  { method: 'post', name: 'mark', operation: 'mark', status: 202 },
  { method: 'post', name: 'dtmf', operation: 'dtmf', status: 202 },
  { method: 'post', name: 'play', operation: 'play', status: 201 },
  { method: 'del', name: 'play', operation: 'stopPlay', status: 200 },
  { method: 'post', name: 'hold', operation: 'hold', status: 200 },
  { method: 'del', name: 'hold', operation: 'unhold', status: 200 },
  { method: 'post', name: 'mute', operation: 'mute', status: 200 },
  { method: 'del', name: 'mute', operation: 'unmute', status: 200 },
  { method: 'post', name: 'transfer', operation: 'transfer', status: 200 },
  { method: 'post', name: 'legs', operation: 'addLeg', status: 201 },
];

/** `/v1/calls/{id}/…`: what is asked of running calls, behind the control key. */
export class CallControlRoutes {
  constructor(private readonly calls: CallControl) {}

  async perform({ method, operation, status }: ControlRoute, context: RequestContext): Promise<void> {
    const request = method === 'del' ? {} : await requestOf(operation, context);
    context.json(status, await this.calls.control(context.parameter(0), operation, request));
  }
}

async function requestOf(operation: Operation, context: RequestContext): Promise<unknown> {
  if (operation === 'play' && WAV_TYPES.has(context.contentType)) {
    return { ...playOptionsOf(context.query), wav: await context.bytes(MAX_WAV_BYTES) };
  }
  const request = await context.readJson();
  // Bytes are a body of their own.
  if (typeof request === 'object' && request !== null && 'wav' in request) {
    throw bad('audio/wav as content-type for a WAV body', 'JSON');
  }
  return request;
}

/** `?loop=2&gain=-6&over=true` */
function playOptionsOf(query: string): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === 'over') {
      if (value !== 'true' && value !== 'false') throw bad('true or false for over', describe(value));
      options.over = value === 'true';
    } else if (name === 'loop' || name === 'gain') {
      if (!/^-?\d+(\.\d+)?$/.test(value)) throw bad(`a number for ${name}`, describe(value));
      options[name] = Number(value);
    } else throw bad('loop, gain and over in the query', describe(name));
  }
  return options;
}

function bad(what: string, received: string): GatewayError {
  return new GatewayError('GW_BAD_REQUEST', `Expected ${what} but received ${received}`);
}
