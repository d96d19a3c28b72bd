import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.js';
import { SETTINGS } from '../../src/settings.js';
import { needs } from '../support/needs.js';

const FOLDER = new URL('../../deploy/systemd/', import.meta.url);

/** All values of a unit's lines, by name. */
function read(file: string): Map<string, string[]> {
  const lines = readFileSync(new URL(file, FOLDER), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('['));
  const values = new Map<string, string[]>();
  for (const line of lines) {
    const [, name, value] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`no line of a unit: ${line}`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return values;
}

const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });
const hasAnalyze = needs(
  'systemd-analyze',
  'apt-get install systemd',
  () => analyze('--version').status === 0,
);

describe('the systemd unit', () => {
  const [file] = readdirSync(FOLDER) as [string];
  const unit = read(file);
  const one = (name: string) => {
    expect(unit.get(name)).toHaveLength(1);
    return unit.get(name)?.[0] as string;
  };
  const config = readConfig({ TWILIO_VALIDATE: 'off' });

  it('starts the command of the package, reloads by SIGHUP, and stops by SIGTERM to the gateway alone', () => {
    const { bin } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(one('ExecStart')).toMatch(new RegExp(`/${bin.trunkline} serve$`));
    expect(one('ExecReload')).toBe('/bin/kill -HUP $MAINPID');
    expect(one('KillMode')).toBe('mixed');
    expect(unit.has('KillSignal')).toBe(false);
  });

  it('sets only known settings', () => {
    for (const line of unit.get('Environment') ?? []) {
      expect(['ENV_FILE', ...SETTINGS.keys()]).toContain(line.split('=')[0]);
    }
  });

  it('waits longer for the exit than the gateway waits for its calls', () => {
    expect(Number(one('TimeoutStopSec')) * 1_000).toBeGreaterThan(config.drainMs);
  });

  it('has enough descriptors for all calls, programs and recordings', () => {
    expect(Number(one('LimitNOFILE'))).toBeGreaterThan(2 * config.maxCalls + config.maxLegs);
  });

  /** What systemd says of the unit, with our own Node in it, after a change. */
  function analyzed(args: readonly string[], change = (text: string) => text): ReturnType<typeof analyze> {
    const work = mkdtempSync(join(tmpdir(), 'trunkline-unit-'));
    try {
      const text = readFileSync(new URL(file, FOLDER), 'utf8').replace('/usr/bin/node', process.execPath);
      writeFileSync(join(work, file), change(text));
      return analyze(...args, join(work, file));
    } finally {
      rmSync(work, { recursive: true });
    }
  }

  it.runIf(hasAnalyze)('is accepted by systemd', () => {
    expect(analyzed(['verify'])).toMatchObject({ status: 0, stderr: '' });
    const misspelt = analyzed(['verify'], (text) => text.replace('UMask=', 'Umask='));
    expect(misspelt.stderr).toContain("'Umask'");
  });

  it.runIf(hasAnalyze)('leaves little of the host within reach', () => {
    const exposure = (change?: (text: string) => string) =>
      analyzed(['security', '--offline=true', '--threshold=20'], change).status;
    expect(exposure()).toBe(0);
    expect(exposure((text) => text.replace(/^CapabilityBoundingSet=\n/m, ''))).not.toBe(0);
  });
});
