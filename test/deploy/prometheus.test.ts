import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { startGateway } from '../support/gateway.js';
import { needs } from '../support/needs.js';
import { METRICS } from './metric-names.js';

const run = promisify(execFile);
const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));
const read = (file: string) => readFileSync(join(DEPLOY, file), 'utf8');

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: { readonly severity?: string };
}
interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

const rules = (parse(read('prometheus/rules.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const recorded = new Set(rules.flatMap(({ record }) => record ?? []));
const alerts = rules.filter(({ alert }) => alert !== undefined);
const dashboard = JSON.parse(read('grafana/dashboard.json')) as { panels: Panel[] };
/** As Grafana would send them: its variables filled in. */
const panelQueries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({
    where: title,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'),
  })),
);
const adapter = (parse(read('prometheus/adapter-rule.yaml')) as { rules: AdapterRule[] }).rules;
interface AdapterRule {
  readonly seriesQuery: string;
  readonly metricsQuery: string;
}
/** As the adapter would send them: its template filled in. */
const adapterQueries = adapter.flatMap(({ seriesQuery, metricsQuery }) => [
  { where: 'seriesQuery', expr: seriesQuery },
  {
    where: 'metricsQuery',
    expr: metricsQuery
      .replaceAll('<<.Series>>', seriesQuery.replace(/\{.*/, ''))
      .replaceAll('<<.LabelMatchers>>', 'namespace="default",pod=~"a|b"')
      .replaceAll('<<.GroupBy>>', 'pod'),
  },
]);
const queries = [
  ...rules.map(({ record, alert, expr }) => ({ where: record ?? alert ?? '', expr })),
  ...panelQueries,
  ...adapterQueries,
];

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'trunkline-prometheus-'));
});
afterAll(() => rmSync(work, { recursive: true }));

const hasPromtool = needs(
  'promtool',
  'apt-get install prometheus',
  () => spawnSync('promtool', ['--version']).status === 0,
);

/** What promtool has against these files; nothing is empty text. */
async function promtool(...args: string[]): Promise<string> {
  try {
    await run('promtool', args);
    return '';
  } catch (error) {
    const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string };
    return `${stdout ?? ''}${stderr ?? ''}` || message;
  }
}

describe.runIf(hasPromtool)('promtool', () => {
  it('accepts the rules', async () => {
    expect(await promtool('check', 'rules', '--lint-fatal', join(DEPLOY, 'prometheus/rules.yaml'))).toBe('');
  });

  it('sees each alert fire when it must, and only then', async () => {
    expect(await promtool('test', 'rules', join(DEPLOY, 'prometheus/rules.test.yaml'))).toBe('');
  });

  it("accepts the dashboard's and the adapter's queries, and no nonsense", async () => {
    const check = async (exprs: readonly string[]) => {
      const file = join(work, 'queries.yaml');
      const group = { name: 'queries', rules: exprs.map((expr, i) => ({ record: `query:${i}`, expr })) };
      writeFileSync(file, JSON.stringify({ groups: [group] }));
      return promtool('check', 'rules', file);
    };
    expect(await check([...panelQueries, ...adapterQueries].map(({ expr }) => expr))).toBe('');
    expect(await check(['sum by (a (b)'])).toContain('parse error');
  });
});

describe('the rules', () => {
  it('have each alert in a test that sees it fire', () => {
    const tests = parse(read('prometheus/rules.test.yaml')) as {
      tests: { alert_rule_test?: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const fired = tests.tests
      .flatMap(({ alert_rule_test = [] }) => alert_rule_test)
      .filter(({ exp_alerts }) => exp_alerts.length > 0)
      .map(({ alertname }) => alertname);
    expect([...new Set(fired)].sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it('have each alert explained in docs/operations.md, with its severity', () => {
    const table = [
      ...readFileSync(join(DEPLOY, '../docs/operations.md'), 'utf8').matchAll(
        /^\| `(Trunkline\w+)` \| (\w+) \|/gm,
      ),
    ];
    const explained = table.map(([, name, severity]) => `${name} ${severity}`);
    expect(explained.sort()).toEqual(
      alerts.map(({ alert, labels }) => `${alert} ${labels?.severity}`).sort(),
    );
  });
});

/** Names in a query, without what is in quotes and after `by (`. */
function namesIn(expr: string): string[] {
  return expr.replace(/"[^"]*"/g, '""').match(/[a-zA-Z_:][\w:]*/g) ?? [];
}

/** Why Prometheus would find nothing for this query: metrics, labels and values that no gateway has. */
function unknownIn(expr: string): string[] {
  const unknown: string[] = [];
  for (const name of namesIn(expr)) {
    if (name.includes(':')) {
      if (!recorded.has(name)) unknown.push(name);
    } else if (name.startsWith('trunkline_') && !(name.replace('trunkline_', '') in METRICS)) {
      unknown.push(name);
    }
  }
  for (const [, name = '', matchers = ''] of expr.matchAll(/\btrunkline_(\w+)\{([^}]*)\}/g)) {
    for (const [, label = '', value = ''] of matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"([^"]*)"/g)) {
      if (['instance', 'namespace', 'pod'].includes(label)) continue; // Prometheus adds them.
      const labels = METRICS[name] ?? {};
      if (!(label in labels)) unknown.push(`${name}{${label}}`);
      else if (labels[label] && !labels[label].includes(value)) unknown.push(`${name}{${label}="${value}"}`);
    }
  }
  return unknown;
}

describe('every query', () => {
  it.each(queries)('uses metrics that the gateway has: $where', ({ expr }) => {
    expect(unknownIn(expr)).toEqual([]);
    expect(namesIn(expr).some((name) => /^(trunkline|up$|vector$)|:/.test(name))).toBe(true);
  });

  it('would be caught using other metrics', () => {
    expect(unknownIn('sum(rate(trunkline_stage_seconds[5m]))')).toEqual(['trunkline_stage_seconds']);
    expect(unknownIn('trunkline_handovers_total{why="gone",who="x"}')).toEqual([
      'handovers_total{why="gone"}',
      'handovers_total{who}',
    ]);
    expect(unknownIn('trunkline:nothing:ratio > 1')).toEqual(['trunkline:nothing:ratio']);
  });
});

describe('the dashboard', () => {
  it('has panels with unique ids and queries that do not overlap', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { type, title, targets = [] } of panels) {
      expect(title).not.toBe('');
      expect(targets.length > 0, title).toBe(type !== 'row');
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    }
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
  });
});

describe('the list of metrics', () => {
  it('matches the metrics of a real gateway', async () => {
    const { url } = await startGateway();
    const text = await (await fetch(`${url}/metrics`)).text();
    const told = new Set(
      [...text.matchAll(/^# TYPE trunkline_(\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name],
      ),
    );
    const names = Object.keys(METRICS);
    expect(names.filter((name) => !told.has(name))).toEqual([]);
    const stages = new Set(
      [...text.matchAll(/stage_seconds_count\{stage="(\w+)"\}/g)].map(([, stage]) => stage),
    );
    expect([...stages]).toEqual(METRICS.stage_seconds_bucket?.stage);
  });
});
