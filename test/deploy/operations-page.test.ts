import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StreamBridge } from '../../src/bridge/stream/bridge.js';
import { systemClock } from '../../src/clock.js';
import { createLog } from '../../src/telemetry/log.js';
import { Relay } from '../../src/workers/relay.js';
import { supervisorMetrics } from '../../src/workers/supervisor-metrics.js';
import { ROOT } from '../support/dockerfile.js';
import { startGateway } from '../support/gateway.js';
import { SECRET } from '../support/receiver.js';
import { METRICS } from './metric-names.js';

const PAGE = readFileSync(`${ROOT}docs/operations.md`, 'utf8');
const sectionOf = (heading: string) =>
  PAGE.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
const rowsOf = (section: string) =>
  [...section.matchAll(/^\| `.+ \|$/gm)].map(([row]) => row.split('|').map((cell) => cell.trim()));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-operations-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the table of metrics', () => {
  const rows = rowsOf(sectionOf('Metrics'));
  const documented = rows.map(([, name = '', , type = '', unit = '', label = '', meaning = '']) => ({
    name: name.replaceAll('`', ''),
    type,
    unit,
    label: label.replaceAll('`', ''),
    meaning,
  }));

  it('has every metric of a gateway, its Stream bridge and its workers, with its type, and no other', async () => {
    const { url } = await startGateway({
      router: { url: 'http://127.0.0.1:9', secret: SECRET },
      eventWebhooks: { url: 'http://127.0.0.1:9', secret: SECRET, spoolDir: folder },
    });
    const text = await (await fetch(`${url}/metrics`)).text();
    const told = [...text.matchAll(/^# TYPE trunkline_(\S+) (\S+)$/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    const ofStream = new StreamBridge({ apiKey: 'key', apiSecret: 'secret' }).metrics.map(
      ({ name, kind }) => `${name} ${kind}`,
    );
    expect(ofStream.length).toBeGreaterThan(5);
    const relay = new Relay({ self: 1, socketDir: folder, clock: systemClock, log: createLog('silent') });
    const ofWorkers = [...supervisorMetrics({ office: { serving: [] }, restarts: 0 }), ...relay.metrics]
      .map(({ name, kind }) => `${name} ${kind}`)
      .filter((each) => !told.includes(each));
    expect(ofWorkers).toHaveLength(3);
    expect(documented.map(({ name, type }) => `${name} ${type}`).sort()).toEqual(
      [...told, ...ofStream, ...ofWorkers].sort(),
    );
  });

  it('has a unit and a meaning for each, and the unit matches the name', () => {
    for (const { name, unit, meaning } of documented) {
      expect([name, unit, meaning]).toEqual([name, expect.stringMatching(/./), expect.stringMatching(/./)]);
      if (/_seconds(_total)?$/.test(name)) expect([name, unit]).toEqual([name, 's']);
      if (/_ms(_total)?$/.test(name)) expect([name, unit]).toEqual([name, 'ms']);
      if (/_bytes$/.test(name)) expect([name, unit]).toEqual([name, 'bytes']);
    }
  });

  it('names the labels of each, and all values that rules and dashboard use', () => {
    for (const { name, type, label, meaning } of documented) {
      const labels = METRICS[type === 'histogram' ? `${name}_sum` : name];
      if (labels === undefined) continue;
      expect([name, Object.keys(labels).join()]).toEqual([name, label]);
      if (label === 'quantile') continue;
      for (const value of labels[label] ?? []) expect(meaning, name).toContain(`\`${value}\``);
    }
  });
});

it('the log lines of the page are those of the source, with their level', () => {
  const files = readdirSync(`${ROOT}src`, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const source = files.map((name) => readFileSync(`${ROOT}src/${name}`, 'utf8')).join('\n');
  const lines = rowsOf(sectionOf('Log'));
  expect(lines.length).toBeGreaterThan(10);
  for (const [, line = '', level = ''] of lines) {
    const at = source.indexOf(`'${line.replaceAll('`', '')}'`);
    expect(at, line).toBeGreaterThan(0);
    // The call that writes it is the last one before its text.
    const [written = ''] =
      source.slice(0, at).match(/\blog\w*\.(?:fatal|error|warn|info|debug)\((?![\s\S]*\blog\w*\.\w+\()/) ??
      [];
    expect([line, written]).toEqual([line, expect.stringContaining(`.${level}(`)]);
  }
});
