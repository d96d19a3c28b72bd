import type { ErrorCode } from '../../error-catalogue.js';
import { ref, type Schema } from './schemas.js';

/** An OpenAPI operation, as far as we need its parts. */
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Schema[];
  readonly requestBody?: Schema;
  readonly responses: Readonly<Record<string, Schema>>;
}

/** By path and method, as OpenAPI has them. */
export type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** What every operation behind the control key may answer. */
const ALWAYS: ErrorCodes = {
  401: ['GW_UNAUTHORIZED'],
  404: ['GW_NOT_FOUND'],
  500: ['GW_INTERNAL'],
};

/** Asking for a call, at whichever node it is. */
export const OF_A_CALL = {
  404: ['GW_CALL_UNKNOWN'],
  500: ['GW_QUESTION_UNKNOWN'],
  503: ['GW_REGISTRY_DOWN', 'GW_REGISTRY_ERROR'],
} as const;

/** Error codes by status. */
export type ErrorCodes = Readonly<Record<number, readonly ErrorCode[]>>;

export const callId: Schema = {
  name: 'callId',
  in: 'path',
  required: true,
  description: "Ours, or one's own where the call was placed with it",
  schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
};

export function query(name: string, description: string, schema: Schema): Schema {
  return { name, in: 'query', description, schema };
}

/** A JSON answer. */
export function answer(description: string, schema: Schema): Schema {
  return { description, content: { 'application/json': { schema } } };
}

/** A JSON body. */
export function body(schema: Schema, example: unknown, required = true): Schema {
  return { required, content: { 'application/json': { schema, example } } };
}

/** The refusals of an operation and those of every other, each with its codes. */
export function errors(codes: ErrorCodes = {}): Record<string, Schema> {
  const statuses = new Set([...Object.keys(ALWAYS), ...Object.keys(codes)].map(Number));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const all = [...(codes[status] ?? []), ...(ALWAYS[status] ?? [])];
      return [String(status), answer(all.map((code) => `\`${code}\``).join(', '), refined(all))];
    }),
  );
}

/** An error with one of these codes. */
function refined(codes: readonly string[]): Schema {
  return {
    allOf: [ref('Error'), { properties: { error: { properties: { code: { enum: codes } } } } }],
  };
}
