import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';

/** A GatewayError between processes. */
export interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly status: number;
}

/** A request, or without `id` a message, from one process of this machine to another; the supervisor carries it. */
export interface Letter {
  readonly to: number;
  readonly from: number;
  readonly id?: number;
  readonly what: string;
  readonly about: unknown;
}

/** The answer to a request. */
export interface Reply {
  readonly to: number;
  readonly re: number;
  readonly answer?: unknown;
  readonly error?: SentError;
}

/** What a worker sends to the supervisor. */
export type WorkerMessage = Letter | Reply | { readonly serves: true };
/** What the supervisor sends to a worker: also which workers serve. */
export type SupervisorMessage = Letter | Reply | { readonly workers: readonly number[] };

export function sentError(error: unknown): SentError {
  if (error instanceof GatewayError)
    return { code: error.code, message: error.message, status: error.status };
  const message = 'The other process failed internally; its log says why';
  return { code: 'GW_INTERNAL', message, status: 500 };
}

/** The error of another process, which may run another version. */
export function receivedError(error: unknown): GatewayError {
  const { code, message, status } = (error ?? {}) as Partial<Record<string, unknown>>;
  if (typeof code !== 'string' || !code.startsWith('GW_') || !Number.isInteger(status)) {
    return new GatewayError('GW_REGISTRY_ERROR', 'Another process sent an unreadable reply');
  }
  return new GatewayError(code as ErrorCode, String(message), { status: status as number });
}
