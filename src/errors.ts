/** What a {@link GatewayError} may carry besides code and message. */
export interface GatewayErrorOptions {
  readonly status?: number;
  readonly cause?: unknown;
}

/**
 * The error class of Trunkline (the native core throws plain errors with codes of the same kind). `code` is stable and starts with `GW_`; `message` reads
 * "Expected X for Y but received Z" and never carries a secret or a stack, so it may be sent to a client.
 */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: `GW_${string}`;
  /** HTTP status a route answers with when this error reaches it; 500 unless stated. */
  readonly status: number;

  constructor(code: `GW_${string}`, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? 500;
  }
}

/** A `TypeError` in the contract's voice for a value of the wrong type or range. */
export function expected(what: string, subject: string, received: unknown): TypeError {
  return new TypeError(`Expected ${what} for ${subject} but received ${describe(received)}`);
}

/** Names a received value shortly: strings quoted and cut, objects by class, the rest as printed. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value);
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'object') {
    const name = value.constructor?.name ?? 'object';
    return ArrayBuffer.isView(value) ? `${name} of ${value.byteLength} bytes` : name;
  }
  if (typeof value === 'symbol') return 'a symbol';
  return typeof value === 'function' ? 'a function' : String(value);
}

/** What a schema found, in one line: each mistake behind its place, `whole` where that is everything. */
export function mistakesOf(
  error: { readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] },
  whole = 'body',
): string {
  return error.issues.map(({ path, message }) => `${path.join('.') || whole}: ${message}`).join('; ');
}
