import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CALL_RESULTS } from '../../src/calls/result.js';
import { openApiDocument } from '../../src/http/openapi/document.js';
import { paths } from '../support/documented.js';
import { ROOT } from '../support/installed.js';

const read = (file: string) => readFileSync(`${ROOT}/${file}`, 'utf8');

interface Field {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly enum?: readonly unknown[];
}
const { schemas } = openApiDocument.components as unknown as {
  schemas: Record<string, { readonly properties?: Record<string, Field> }>;
};

/** A page's rows of tables about a field, as text. */
const rowsAbout = (page: string, field: string) =>
  [...page.matchAll(/^\| (.+?) \|(.*)$/gm)]
    .filter(([, first = '']) => [...first.matchAll(/`(\w+)/g)].some(([, name]) => name === field))
    .map(([row]) => row);

/** What a row has to say of a field's range. */
function rangeOf({ minimum, maximum, minLength, maxLength, enum: values }: Field): string[] {
  const ends = [minimum, maximum, minLength, maxLength].filter(
    (end) => end !== undefined && Math.abs(end) < 1e9,
  );
  return [...ends, ...(values ?? [])].map(String);
}

describe.each([
  [
    'docs/call-control.md',
    ['Mark', 'Dtmf', 'Play', 'Hold', 'Mute', 'Transfer', 'LegToAdd', 'Cleared', 'PlayResult'],
  ],
  ['docs/recording.md', ['RecordRequest', 'Recording', 'RecordingResult']],
] as const)('%s', (file, names) => {
  const page = read(file);
  const fields = names.flatMap((schema) =>
    Object.entries(schemas[schema]?.properties ?? {}).map(([name, field]) => ({ schema, name, field })),
  );

  it('has every field of requests and answers, with its range', () => {
    expect(fields.length).toBeGreaterThan(5);
    for (const { schema, name, field } of fields) {
      expect(page, `${schema}.${name}`).toMatch(new RegExp(`\`[^\`\n]*\\b${name}\\b[^\`\n]*\``));
      // The whole of it goes into an answer's sentence; ranges are of requests.
      const range = rangeOf(field);
      const rows = rowsAbout(page, name);
      if (range.length === 0 || rows.length === 0) continue;
      const isSaid = (row: string) => range.every((end) => row.includes(end));
      expect(
        rows.some(isSaid) || range.every((end) => page.includes(`\`${end}\``)),
        `${schema}.${name}: ${range}`,
      ).toBe(true);
    }
  });
});

/** The errors that an operation may answer. */
const codesOf = (operation: (typeof paths)[string][string] | undefined) =>
  Object.values(operation?.responses ?? {}).flatMap(({ description = '' }) =>
    [...description.matchAll(/`(GW_\w+)`/g)].map(([, code = '']) => code),
  );

it.each([
  ['docs/call-control.md', /^\/v1\/calls\/\{callId\}\/(?!recording|leg$)/],
  ['docs/recording.md', /\/recording$/],
])('%s names every operation and every error that is its own', (file, pattern) => {
  const page = read(file);
  const common = ['GW_BAD_REQUEST', 'GW_BODY_TOO_LARGE', ...codesOf(paths['/v1/openapi.json']?.get)];
  const own = Object.entries(paths).filter(([path]) => pattern.test(path));
  expect(own.length).toBeGreaterThan(0);
  for (const [path, methods] of own) {
    for (const [method, operation] of Object.entries(methods)) {
      expect(page, `${method} ${path}`).toMatch(
        new RegExp(
          `${method.toUpperCase()} (?:/v1/calls/\\{callId\\})?${path.replace('/v1/calls/{callId}', '')}\\b`,
        ),
      );
      for (const code of codesOf(operation)) {
        // What every route may answer, and those of placing a call, of Stream and of a fleet, stand with all others.
        if (common.includes(code) || path.endsWith('/legs') || /^GW_(STREAM|REGISTRY|QUESTION)_/.test(code))
          continue;
        expect(page, `${method} ${path}`).toContain(`\`${code}\``);
      }
    }
  }
});

describe('docs/events.md', () => {
  const page = read('docs/events.md');

  it('has a row for every type of event', () => {
    const types = [...read('src/events/event.ts').matchAll(/^ {2}'(call\.[\w-]+)':/gm)].map(
      ([, type]) => type,
    );
    expect(types.length).toBeGreaterThan(5);
    const rows = [...page.matchAll(/^\| `(call\.[a-z]+(?:-[a-z]+)?)` \|/gm)].map(([, type]) => type);
    expect(rows.filter((type) => type !== 'call.direction')).toEqual(expect.arrayContaining(types));
  });

  it('has a row for every cause of an end, and names every result', () => {
    const [, union = ''] = /export type EndCause =\n([\s\S]*?);/.exec(read('src/calls/call.ts')) ?? [];
    const causes = [...union.matchAll(/^ {2}\| '([\w-]+)'/gm)].map(([, cause]) => cause as string);
    expect(causes.length).toBeGreaterThan(10);
    const [, table = ''] = page.split('| cause | meaning |');
    const rows = [...(table.split('\n\n')[0] ?? '').matchAll(/^\| (`.+?`) \|/gm)].flatMap(([, first = '']) =>
      [...first.matchAll(/`([\w-]+)`/g)].map(([, cause]) => cause as string),
    );
    expect(rows.sort()).toEqual(causes.sort());
    for (const result of CALL_RESULTS) expect(page).toContain(`\`${result}\``);
  });
});

it('docs/latency.md has a row for every stage and every counter of a report', () => {
  const page = read('docs/latency.md');
  const names = ['Latency', 'Traffic'].flatMap((schema) => Object.keys(schemas[schema]?.properties ?? {}));
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) expect(rowsAbout(page, name), name).not.toEqual([]);
});
