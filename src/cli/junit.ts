import { XMLBuilder } from 'fast-xml-parser';
import type { LoadReport } from '../simulator/load.js';
import type { Criterion } from './verdict.js';

/** What a report says besides the figures. */
export interface RunFacts {
  /** The server that was called, without secrets. */
  readonly target: string;
  readonly begunAt: Date;
  readonly seconds: number;
}

/**
 * A run as JUnit XML, a test case a check, as CI systems read it: a failed check is a `<failure>`, one that the run
 * cannot tell an `<error>`.
 */
export function junitXml(report: LoadReport, checks: readonly Criterion[], facts: RunFacts): string {
  const of = (outcome: Criterion['outcome']) => checks.filter((check) => check.outcome === outcome).length;
  const counts = {
    '@tests': checks.length,
    '@failures': of('failed'),
    '@errors': of('invalid'),
    '@skipped': 0,
    '@time': facts.seconds.toFixed(3),
  };
  const builder = new XMLBuilder({
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    format: true,
    suppressEmptyNode: true,
  });
  const document = {
    '?xml': { '@version': '1.0', '@encoding': 'UTF-8' },
    testsuites: {
      '@name': 'trunkline simulate',
      ...counts,
      testsuite: {
        '@name': printable(facts.target),
        ...counts,
        '@timestamp': facts.begunAt.toISOString().replace(/\.\d+Z$/, ''),
        properties: { property: properties(report) },
        testcase: checks.map((check) => ({
          '@classname': 'trunkline.simulate',
          '@name': check.name,
          '@time': '0.000',
          ...problem(check),
        })),
      },
    },
  };
  return String(builder.build(document));
}

function problem({ outcome, detail }: Criterion): Record<string, unknown> {
  const message = printable(detail);
  if (outcome === 'passed') return { 'system-out': message };
  const element = { '@message': message, '@type': outcome, '#text': message };
  return outcome === 'failed' ? { failure: element } : { error: element };
}

function properties(report: LoadReport) {
  const { echoes, roundTrip, webhook, handshake, handovers, delay, generator } = report;
  const p99 = (name: string, { count, p99Ms }: LoadReport['webhook']) =>
    count === 0 ? {} : { [name]: p99Ms };
  const ofEcho = {
    framesMissing: report.framesMissing,
    pausesLeftOut: report.pausesLeftOut,
    wordsShortenedMs: report.wordsShortenedMs,
    ...(roundTrip.count > 0 && { roundTripP50Ms: roundTrip.p50Ms, roundTripP99Ms: roundTrip.p99Ms }),
    ...(delay !== undefined && { mouthToEarBeginMs: delay.beginMs, mouthToEarEndMs: delay.endMs }),
  };
  const values: Record<string, number> = {
    calls: report.calls,
    mostStreaming: report.mostStreaming,
    framesSent: report.framesSent,
    ...(echoes && ofEcho),
    ...p99('webhookP99Ms', webhook),
    ...p99('handshakeP99Ms', handshake),
    handovers: handovers.count,
    ...p99('handoverGapP99Ms', handovers.gap),
    generatorCpu: generator.cpu,
  };
  return Object.entries(values).map(([name, value]) => ({
    '@name': name,
    '@value': Number.isInteger(value) ? String(value) : value.toFixed(3),
  }));
}

/** XML has no way to write control characters and lone surrogates; messages of servers may hold any. */
function printable(text: string): string {
  return text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
}
