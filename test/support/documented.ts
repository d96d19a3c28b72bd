import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect } from 'vitest';
import { openApiDocument } from '../../src/http/openapi/document.js';

interface Response {
  readonly description?: string;
  readonly content?: Record<string, { readonly schema: object }>;
}
interface Documented {
  readonly parameters?: readonly unknown[];
  readonly requestBody?: { readonly content: Record<string, { readonly example?: object }> };
  readonly responses: Readonly<Record<string, Response>>;
}

/** The operations of `/v1/openapi.json`, by path and method. */
export const paths = openApiDocument.paths as unknown as Readonly<
  Record<string, Readonly<Record<string, Documented>>>
>;

export const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);

/** Expects a response to match the document. */
export function checkAnswer(method: string, path: string, status: number, body: unknown): void {
  const response = paths[path]?.[method]?.responses[status];
  expect(response, `${method} ${path} answered ${status} ${JSON.stringify(body)}`).toBeDefined();
  const schema = response?.content?.['application/json']?.schema;
  if (schema === undefined) return;
  const { components } = openApiDocument;
  const validate = ajv.compile({ ...schema, components });
  expect(validate(body), `${method} ${path} ${status}: ${ajv.errorsText(validate.errors)}`).toBe(true);
}

/** A documented error of an operation. */
export interface DocumentedError {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly code: string;
}

/** Errors that only come of several nodes, and those that only the Stream bridge knows. */
const OF_A_FLEET = ['GW_REGISTRY_DOWN', 'GW_REGISTRY_ERROR', 'GW_CALL_MOVING', 'GW_QUESTION_UNKNOWN'];
const OF_STREAM = /^GW_STREAM_/;
/** One gateway knows no more of a call that it never had than that it is not recorded. */
const isOfOtherNodes = ({ method, path, code }: DocumentedError) =>
  code === 'GW_CALL_UNKNOWN' && path.endsWith('/recording') && method !== 'post';

/** All of them: of one gateway, of a fleet, or of the Stream bridge. Each has a file that shows them. */
export function documentedErrors(of: 'gateway' | 'fleet' | 'stream'): DocumentedError[] {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { responses }]) =>
      Object.entries(responses).flatMap(([status, { description = '' }]) =>
        [...description.matchAll(/`(GW_\w+)`/g)].map(([, code = '']) => ({
          method,
          path,
          status: Number(status),
          code,
        })),
      ),
    ),
  );
  const isOf = (error: DocumentedError) =>
    OF_A_FLEET.includes(error.code) || isOfOtherNodes(error)
      ? 'fleet'
      : OF_STREAM.test(error.code)
        ? 'stream'
        : 'gateway';
  return all.filter((error) => isOf(error) === of);
}
