import { type ErrorCode, statusOf } from './error-catalogue.js';

/** What a {@link GatewayError} may carry besides code and message. */
export interface GatewayErrorOptions {
  /** HTTP status where it is not that of the catalogue, as of an answer that somebody else gave. */
  readonly status?: number;
  readonly cause?: unknown;
}

/**
 * The error class of Trunkline; the native core throws plain errors with codes of the same catalogue. `code` is stable: decide by
 * it. `message` says what was expected and what came, or the state that was in the way. It never holds a secret or a stack, so
 * it may be sent to a client.
 */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  /** HTTP status of a route's answer with this error. */
  readonly status: number;

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? statusOf(code);
  }
}

/** A `TypeError` in the contract's voice for a value of the wrong type or range. */
export function expected(what: string, subject: string, received: unknown): TypeError {
  return new TypeError(`Expected ${what} for ${subject} but received ${describe(received)}`);
}

/** A received value in few words: strings quoted and cut, objects by class, the rest as printed. Never throws. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value);
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    const name = String(value.constructor?.name ?? 'object');
    return ArrayBuffer.isView(value) ? `${name} of ${value.byteLength} bytes` : name;
  } catch {
    // A proxy, or a view of memory that was given away.
    return 'an object';
  }
}

/** What a schema found, in one line: each mistake behind its place, `whole` where that is everything. */
export function mistakesOf(
  error: { readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] },
  whole = 'body',
): string {
  return error.issues.map(({ path, message }) => `${path.join('.') || whole}: ${message}`).join('; ');
}
