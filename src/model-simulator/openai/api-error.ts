import type { z } from 'zod';

/** What an `error` event says. Source: the API reference, server event `error`. */
export interface ApiErrorBody {
  readonly type: string;
  readonly code: string | null;
  readonly message: string;
  readonly param: string | null;
}

/** A request that the API rejects. The session continues. */
export class ApiError extends Error {
  constructor(
    readonly code: string | null,
    message: string,
    readonly param: string | null = null,
    readonly type = 'invalid_request_error',
  ) {
    super(message);
  }

  /** As it stands in an `error` event or in the answer to a handshake. */
  get body(): ApiErrorBody {
    const { type, code, message, param } = this;
    return { type, code, message, param };
  }
}

/** The error that the API would give for the first thing that is wrong with an event. @param event what was validated */
export function apiErrorOf(error: z.ZodError, event: unknown): ApiError {
  return errorOf(error.issues[0] as z.core.$ZodIssue, event, []);
}

function errorOf(issue: z.core.$ZodIssue, event: unknown, above: readonly PropertyKey[]): ApiError {
  const path = [...above, ...issue.path];
  const param = nameOf(path);
  const value = path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)?.[key], event);
  if (issue.code === 'unrecognized_keys') {
    const unknown = nameOf([...path, issue.keys[0] as string]);
    return new ApiError('unknown_parameter', `Unknown parameter: '${unknown}'.`, unknown);
  }
  if (issue.code === 'invalid_union') return unionError(issue, event, path, value);
  if (value === undefined)
    return new ApiError('missing_required_parameter', `Missing required parameter: '${param}'.`, param);
  switch (issue.code) {
    case 'invalid_type':
      return typeError(param, issue.expected, value);
    case 'invalid_value':
      return valueError(param, value, issue.values);
    case 'too_small':
    case 'too_big':
      return sizeError(param, issue, value);
    default:
      return new ApiError('invalid_value', `Invalid '${param}'. ${issue.message}`, param);
  }
}

/** Of the ways in which a value may be written, the one that it comes closest to. */
function unionError(
  issue: z.core.$ZodIssueInvalidUnion,
  event: unknown,
  path: readonly PropertyKey[],
  value: unknown,
): ApiError {
  const discriminator = (issue as { discriminator?: string }).discriminator;
  if (discriminator !== undefined) {
    const inner = (value as Record<string, unknown> | undefined)?.[discriminator];
    const param = nameOf(path.at(-1) === discriminator ? path : [...path, discriminator]);
    const found = path.at(-1) === discriminator ? value : inner;
    if (found === undefined)
      return new ApiError('missing_required_parameter', `Missing required parameter: '${param}'.`, param);
    return valueError(param, found, (issue as { options?: readonly unknown[] }).options ?? []);
  }
  const branches = issue.errors.map((issues) => issues[0]).filter((each) => each !== undefined);
  const closest = branches.find(({ path: inner }) => inner.length > 0) ?? branches[0];
  if (closest === undefined) return new ApiError('invalid_value', `Invalid '${nameOf(path)}'.`, nameOf(path));
  return errorOf(closest, event, path);
}

function typeError(param: string, expected: string, value: unknown): ApiError {
  const wanted = expected === 'int' ? 'integer' : expected;
  return new ApiError(
    'invalid_type',
    `Invalid type for '${param}': expected ${article(wanted)}, but got ${article(kindOf(value))} instead.`,
    param,
  );
}

function valueError(param: string, value: unknown, supported: readonly unknown[]): ApiError {
  const list = supported.map((each) => `'${String(each)}'`).join(', ');
  const shown = typeof value === 'object' ? kindOf(value) : `'${String(value)}'`;
  return new ApiError(
    'invalid_value',
    `Invalid value: ${shown}.${list === '' ? '' : ` Supported values are: ${list}.`}`,
    param,
  );
}

function sizeError(
  param: string,
  issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig,
  value: unknown,
): ApiError {
  const isSmall = issue.code === 'too_small';
  const [bound, side, sign] = isSmall
    ? ([issue.minimum, 'below minimum', '>='] as const)
    : ([issue.maximum, 'above maximum', '<='] as const);
  const name = isSmall ? 'below_min' : 'above_max';
  if (issue.origin === 'string')
    return new ApiError(
      `string_${name}_length`,
      `Invalid '${param}': string too ${isSmall ? 'short' : 'long'}. Expected a string with ${isSmall ? 'minimum' : 'maximum'} length ${bound}, but got a string with length ${String(value).length} instead.`,
      param,
    );
  if (issue.origin === 'array')
    return new ApiError(
      `array_${name}_length`,
      `Invalid '${param}': array too ${isSmall ? 'short' : 'long'}. Expected an array with ${isSmall ? 'minimum' : 'maximum'} length ${bound}.`,
      param,
    );
  const kind = /_(ms|tokens|index)$/.test(param) ? 'integer' : 'decimal';
  return new ApiError(
    `${kind}_${name}_value`,
    `Invalid '${param}': ${kind} ${side} value. Expected a value ${sign} ${bound}, but got ${String(value)} instead.`,
    param,
  );
}

/** As the API writes it: `session.tools[0].name`. */
function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === 'number') return `${name}[${key}]`;
    return name === '' ? String(key) : `${name}.${String(key)}`;
  }, '');
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'decimal number';
  return typeof value;
}

function article(kind: string): string {
  if (kind === 'null') return kind;
  return `${/^[aeio]/.test(kind) ? 'an' : 'a'} ${kind}`;
}
