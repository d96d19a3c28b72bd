import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, expect, it } from 'vitest';
import { measuredOf } from '../../src/cli/measured.js';
import { checksOf } from '../../src/cli/verdict.js';
import { type LoadOptions, type LoadReport, parseScript, runLoad } from '../../src/simulator/index.js';
import { ReferenceGateway } from '../support/reference-gateway.js';

const schema = JSON.parse(
  readFileSync(new URL('../../docs/simulate-report.schema.json', import.meta.url), 'utf8'),
) as object;

/** The schema of this version to the letter: what it does not name is an error. */
function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(closed);
  if (typeof part !== 'object' || part === null) return part;
  const parts = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, closed(value)]));
  return parts.type === 'object' ? { ...parts, additionalProperties: false } : parts;
}

const isOfThisVersion = new Ajv2020().compile(closed(schema) as object);

let gateway: ReferenceGateway;
afterEach(() => gateway.close());

async function run(options: Partial<LoadOptions>): Promise<LoadReport> {
  gateway = await ReferenceGateway.listen();
  const server = { webhookUrl: gateway.voiceUrl, authToken: '12345' };
  return runLoad({ ...server, calls: 2, durationMs: 1_500, ...options });
}

/** The report as it is written, and what the schema has against it. */
function written(report: LoadReport, echo: boolean) {
  const json = JSON.parse(JSON.stringify(measuredOf(report, checksOf(report, { echo }))));
  return { json, isValid: isOfThisVersion(json), errors: isOfThisVersion.errors };
}

it.each<[string, Partial<LoadOptions>]>([
  ['with an echo', {}],
  ['without an echo', { echoes: false }],
  ['by a script', { script: parseScript('press 5\nhang up\n', 'order.txt') }],
])('accepts a run %s', async (name, options) => {
  const report = await run(options);
  const { json, isValid, errors } = written(report, name === 'with an echo');
  expect(isValid, JSON.stringify(errors)).toBe(true);
  expect(json.version).toBe(1);
  expect(json.roundTripBins === undefined).toBe(name !== 'with an echo');
});

it('accepts a run in which nothing worked, and one with measured delay', async () => {
  const report = await run({ authToken: 'wrong' });
  expect(report.failed).toBe(2);
  expect(written(report, true).errors).toBeNull();
  const samples = [{ seconds: 1, delayMs: 40 }];
  const stalls = [{ from: 1, until: 2 }];
  const delay = { tracks: [{ samples, stalls }], beginMs: 40, endMs: 41, stalls: 1, afterStallMs: 2 };
  expect(written({ ...report, delay }, true).errors).toBeNull();
});

it('rejects a report of another version, or with an unknown field', async () => {
  const { json } = written(await run({ durationMs: 100 }), true);
  expect(isOfThisVersion(json)).toBe(true);
  expect(isOfThisVersion({ ...json, version: 2 })).toBe(false);
  expect(isOfThisVersion({ ...json, colour: 1 })).toBe(false);
});

it('has every round trip in exactly one bin', async () => {
  const { roundTrip, roundTripBins } = await run({});
  expect(roundTrip.count).toBeGreaterThan(0);
  expect(roundTripBins.reduce((sum, { count }) => sum + count, 0)).toBe(roundTrip.count);
  const edges = roundTripBins.map(({ upToMs }) => upToMs);
  expect(edges).toEqual([...edges].sort((a, b) => a - b));
  expect([roundTripBins[0]?.count, roundTripBins.at(-1)?.count]).not.toContain(0);
  // A bucket that a bin's edge cuts counts above it: up to 3.2 %.
  expect(edges.at(-1)).toBeGreaterThan(roundTrip.maxMs / 1.04);
});
