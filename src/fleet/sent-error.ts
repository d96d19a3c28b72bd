import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';

/** A GatewayError on its way to another node. */
export interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly status: number;
}

export function sentError(error: unknown): SentError {
  if (error instanceof GatewayError) {
    const { code, message, status } = error;
    return { code, message, status };
  }
  const message = 'The other node failed internally; its log says why';
  return { code: 'GW_INTERNAL', message, status: 500 };
}

/** Another node's error. An incompatible version may have sent something else. */
export function receivedError(error: unknown): GatewayError {
  const { code, message, status } = (error ?? {}) as Partial<Record<string, unknown>>;
  if (typeof code !== 'string' || !code.startsWith('GW_') || !Number.isInteger(status)) {
    return new GatewayError('GW_REGISTRY_ERROR', 'Another node sent an unreadable reply');
  }
  return new GatewayError(code as ErrorCode, String(message), { status: status as number });
}
