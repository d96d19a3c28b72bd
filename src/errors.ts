import { type ErrorCode, statusOf } from './error-catalogue.js';

/** Optional fields of a {@link GatewayError}. */
export interface GatewayErrorOptions {
  /** HTTP status, if it differs from the catalogue's, e.g. one that a peer answered. */
  readonly status?: number;
  readonly cause?: unknown;
}

/**
 * The error class of Trunkline; the native core throws plain errors with codes of the same catalogue. `code`
 * is stable: branch on it. `message` says what was expected and received, or which state prevented the
 * operation. It contains neither secrets nor stack traces, so it is safe to send to clients.
 */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  /** HTTP status of a response with this error. */
  readonly status: number;

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? statusOf(code);
  }
}

/** Makes a `TypeError` for an argument of the wrong type or range: "Expected X for Y but received Z". */
export function expected(what: string, subject: string, received: unknown): TypeError {
  return new TypeError(`Expected ${what} for ${subject} but received ${describe(received)}`);
}

/** Describes a received value briefly: strings quoted and truncated, objects by class, others as printed. Never throws. */
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

/**
 * The issues of a failed zod schema in one line, each after its path, or after `whole` if it concerns the
 * entire value.
 */
export function mistakesOf(
  error: { readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] },
  whole = 'body',
): string {
  return error.issues.map(({ path, message }) => `${path.join('.') || whole}: ${message}`).join('; ');
}

/** Most bytes of a reason in a close frame (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason for a close frame: truncated, but never within a character. */
export function closeReason(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\ufffd+$/, '');
}
