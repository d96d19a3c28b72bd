import { z } from 'zod';
import { type ErrorCode, statusOf } from '../../error-catalogue.js';

/** An operation of `/v1` as the document describes it. */
export interface Operation {
  readonly method: 'get' | 'post' | 'delete';
  /** With `{parameters}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly headers?: z.ZodType;
  readonly query?: z.ZodType;
  readonly request?: z.ZodType;
  readonly example?: unknown;
  readonly takesWav?: boolean;
  readonly status: number;
  /** JSON, server-sent events, or a WebSocket. */
  readonly answer: z.ZodType | 'text/event-stream' | 'websocket';
  /** Besides those of every operation, and of every body. */
  readonly errors?: readonly ErrorCode[];
}

type Json = Record<string, unknown>;

const ALWAYS: readonly ErrorCode[] = ['GW_UNAUTHORIZED', 'GW_NOT_FOUND', 'GW_INTERNAL'];
const OF_A_BODY: readonly ErrorCode[] = ['GW_BAD_REQUEST', 'GW_BODY_TOO_LARGE'];

const PATH_PARAMETERS = z.object({
  callId: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .describe("The gateway's id, or your own if you placed the call with one"),
  room: z.string().min(1).max(200).describe('Percent-encoded'),
});

/** Schemas with a title: components of the document. */
const components = z.registry<{ id: string }>();

const referenceTo = (name: string) => `#/components/schemas/${name}`;

const OPTIONS = {
  io: 'input',
  unrepresentable: 'any',
  uri: referenceTo,
  override: ({ jsonSchema }: { jsonSchema: Json }) => {
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    if (jsonSchema.propertyNames !== undefined) delete jsonSchema.propertyNames;
  },
} as const;

/** A schema as JSON Schema 2020-12, or a reference to it if it has a title. */
function jsonOf(schema: z.ZodType): Json {
  const title = schema.meta()?.title;
  if (title === undefined) return tidied(z.toJSONSchema(schema, OPTIONS));
  if (!components.has(schema)) components.add(schema, { id: title });
  return { $ref: referenceTo(title) };
}

/** Without zod's ids, and without fields that no JSON can have: bytes, and those that must be absent. */
function tidied({ $schema: _, $id: __, properties, ...schema }: Json): Json {
  if (properties === undefined) return schema;
  const fields = Object.entries(properties as Record<string, Json>).filter(
    ([, field]) => Object.keys(field).length > 0 && field.not === undefined,
  );
  return { ...schema, properties: Object.fromEntries(fields) };
}

/** Every schema that {@link pathsOf} has referred to, or that was named here, by name. */
export function componentsWith(schemas: readonly z.ZodType[]): Record<string, Json> {
  for (const schema of schemas) jsonOf(schema);
  const { schemas: all } = z.toJSONSchema(components, OPTIONS);
  return Object.fromEntries(Object.entries(all).map(([name, schema]) => [name, tidied(schema)]));
}

/** Operations by path and method, as OpenAPI arranges them. */
export function pathsOf(
  operations: Readonly<Record<string, Operation>>,
): Record<string, Record<string, Json>> {
  const paths: Record<string, Record<string, Json>> = {};
  for (const [operationId, operation] of Object.entries(operations)) {
    const { method, path, tag, summary, description, request, errors = [] } = operation;
    const parameters = parametersOf(operation);
    paths[path] = {
      ...paths[path],
      [method]: {
        operationId,
        summary,
        ...(description && { description }),
        tags: [tag],
        ...(parameters.length > 0 && { parameters }),
        ...(request && { requestBody: bodyOf(request, operation) }),
        responses: {
          [operation.status]: answerOf(operation),
          ...refusals(new Set([...errors, ...(request ? OF_A_BODY : []), ...ALWAYS])),
        },
      },
    };
  }
  return paths;
}

function parametersOf({ path, query, headers }: Operation): Json[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  return [
    ...parametersIn('path', PATH_PARAMETERS).filter(({ name }) => names.includes(name as string)),
    ...parametersIn('query', query),
    ...parametersIn('header', headers),
  ];
}

function parametersIn(place: string, schema: z.ZodType | undefined): Json[] {
  const properties = (schema && (jsonOf(schema).properties as Record<string, Json>)) ?? {};
  return Object.entries(properties).map(([name, { description, ...property }]) => ({
    name,
    in: place,
    ...(place === 'path' && { required: true }),
    description,
    schema: property,
  }));
}

export function bodyOf(
  request: z.ZodType,
  { example, takesWav }: Pick<Operation, 'example' | 'takesWav'>,
): Json {
  return {
    required: !request.safeParse({}).success,
    content: {
      'application/json': { schema: jsonOf(request), example },
      ...(takesWav && { 'audio/wav': { schema: { type: 'string', contentMediaType: 'audio/wav' } } }),
    },
  };
}

function answerOf({ summary, answer }: Operation): Json {
  if (answer === 'websocket') return { description: 'A WebSocket from here on' };
  if (answer === 'text/event-stream') {
    return { description: 'Events, as they happen', content: { [answer]: { schema: { type: 'string' } } } };
  }
  return {
    description: answer.description ?? summary,
    content: { 'application/json': { schema: jsonOf(answer) } },
  };
}

/** The errors of an operation by status, each with its codes. */
function refusals(codes: ReadonlySet<ErrorCode>): Record<string, Json> {
  const all = [...codes];
  return Object.fromEntries(
    all.map(statusOf).map((status) => [status, refusal(all.filter((code) => statusOf(code) === status))]),
  );
}

function refusal(codes: readonly ErrorCode[]): Json {
  const refined = { properties: { error: { properties: { code: { enum: codes } } } } };
  return {
    description: codes.map((code) => `\`${code}\``).join(', '),
    content: { 'application/json': { schema: { allOf: [{ $ref: referenceTo('Error') }, refined] } } },
  };
}
