import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConfig, SETTINGS } from '../../src/config.js';

const FOLDER = new URL('../../deploy/systemd/', import.meta.url);

/** All values of a unit's lines, by name. */
function read(file: string): Map<string, string[]> {
  const lines = readFileSync(new URL(file, FOLDER), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('['));
  const values = new Map<string, string[]>();
  for (const line of lines) {
    const [, name, value] = /^([A-Z]\w+)=(.+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`no line of a unit: ${line}`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return values;
}

describe('the systemd unit', () => {
  const [file] = readdirSync(FOLDER) as [string];
  const unit = read(file);
  const one = (name: string) => {
    expect(unit.get(name)).toHaveLength(1);
    return unit.get(name)?.[0] as string;
  };
  const config = readConfig({ TWILIO_VALIDATE: 'off' });

  it('starts what the package has, reloads by SIGHUP, and stops by SIGTERM to the gateway alone', () => {
    const { bin } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(one('ExecStart')).toMatch(new RegExp(`/${bin.trunkline} serve$`));
    expect(one('ExecReload')).toBe('/bin/kill -HUP $MAINPID');
    expect(one('KillMode')).toBe('mixed');
    expect(unit.has('KillSignal')).toBe(false);
  });

  it('sets what the gateway knows', () => {
    for (const line of unit.get('Environment') ?? []) {
      expect(['ENV_FILE', ...SETTINGS]).toContain(line.split('=')[0]);
    }
  });

  it('waits longer for the end than calls are waited for', () => {
    expect(Number(one('TimeoutStopSec')) * 1_000).toBeGreaterThan(config.drainMs);
  });

  it('has descriptors for all calls, programs and recordings', () => {
    expect(Number(one('LimitNOFILE'))).toBeGreaterThan(2 * config.maxCalls + config.maxLegs);
  });
});
