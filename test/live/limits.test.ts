import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { ALERT_LIMITS } from '../../src/live/limits.js';

const file = new URL('../../deploy/prometheus/rules.yaml', import.meta.url);
const rules = (
  parse(readFileSync(file, 'utf8')) as {
    groups: { rules: { record?: string; alert?: string; expr: string }[] }[];
  }
).groups.flatMap((group) => group.rules);

/** The expression of an alert, with the recorded one that it compares. */
function exprOf(alert: string): string {
  const { expr } = rules.find((rule) => rule.alert === alert) ?? { expr: '' };
  const recorded = rules.find(({ record }) => record !== undefined && expr.startsWith(record));
  return `${expr} ${recorded?.expr ?? ''}`;
}

/** The number behind `>` or `==` of an alert. */
function limitOf(alert: string): number {
  return Number(/(?:>|==) ([\d.]+)/.exec(exprOf(alert))?.[1]);
}

/** The span over which an alert counts, in milliseconds. */
function spanOf(alert: string): number {
  return 60_000 * Number(/\[(\d+)m\]/.exec(exprOf(alert))?.[1]);
}

it('are those of the alert rules', () => {
  const shares: Record<keyof typeof ALERT_LIMITS, number> = {
    capacityShare: limitOf('TrunklineCapacityHigh'),
    latencyP99Us: 1e6 * limitOf('TrunklineLatencyHigh'),
    droppedShare: limitOf('TrunklineAudioDropped'),
    refusedMs: spanOf('TrunklineCallsRefused'),
    serverFailureShare: limitOf('TrunklineServerFailures'),
    serverFailureMs: spanOf('TrunklineServerFailures'),
    stuckCalls: limitOf('TrunklineCallsStuck'),
    stuckMs: spanOf('TrunklineCallsStuck'),
    loneNodes: limitOf('TrunklineFleetOfOne'),
  };
  expect(ALERT_LIMITS).toEqual(shares);
});
