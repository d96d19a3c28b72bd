import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../../src/config.js';
import { SETTINGS } from '../../src/settings.js';
import { ROOT, readDockerfile } from '../support/dockerfile.js';

const FILE = `${ROOT}deploy/compose.yaml`;
const text = readFileSync(FILE, 'utf8');
const { services, networks, volumes } = parse(text);
const { gateway, redis } = services;
const example = parseEnv(readFileSync(`${ROOT}deploy/env.example`, 'utf8'));
const { final } = readDockerfile('deploy/Dockerfile');

/** What a linter that knows the schema of the Compose specification has against a file; nothing is empty text. */
function lint(file: string): string {
  const { stdout } = spawnSync(process.execPath, [`${ROOT}node_modules/.bin/dclint`, '--quiet', file], {
    env: { NO_COLOR: '1' },
    encoding: 'utf8',
  });
  return stdout.trim();
}

describe('the Compose file', () => {
  it('passes the linter and its schema', () => {
    expect(lint(FILE)).toBe('');
    const work = mkdtempSync(join(tmpdir(), 'trunkline-compose-'));
    try {
      writeFileSync(join(work, 'compose.yaml'), text.replace('read_only: true', 'readonly: true'));
      expect(lint(join(work, 'compose.yaml'))).toContain('must NOT have additional properties');
    } finally {
      rmSync(work, { recursive: true });
    }
  });

  it('sets only known settings', () => {
    const names = [...Object.keys(gateway.environment), ...Object.keys(example)];
    expect(names.filter((name) => !SETTINGS.has(name))).toEqual([]);
    // The placeholders must not start a gateway; a real account in their place must.
    const env = { ...example, ...gateway.environment };
    expect(() => readConfig(env)).toThrow('TWILIO_ACCOUNT_SID');
    const account = { TWILIO_ACCOUNT_SID: `AC${'0'.repeat(32)}`, TWILIO_AUTH_TOKEN: 'token' };
    const config = readConfig({ ...env, ...account });
    expect(config).toMatchObject({ host: '0.0.0.0', redis: { url: 'redis://redis:6379' } });
    expect(gateway.ports).toEqual([`127.0.0.1:${config.port}:${config.port}`]);
    expect(Number.parseInt(gateway.stop_grace_period, 10) * 1_000).toBeGreaterThan(config.drainMs);
    expect(gateway.ulimits.nofile).toBeGreaterThan(2 * config.maxCalls + config.maxLegs);
  });

  it('builds the image, whose user owns the folder of the volume', () => {
    expect(gateway.build).toEqual({ context: '..', dockerfile: 'deploy/Dockerfile' });
    const folder = gateway.environment.RECORD_DIR;
    expect(gateway.volumes).toEqual([`files:${folder}`]);
    expect(final.texts('COPY')).toContain(
      `COPY --from=build --chown=${final.of('USER')[0]} ${folder} ${folder}`,
    );
  });

  it('starts the gateway after Redis, which is private and evicts no live call', () => {
    expect(gateway.depends_on).toEqual({ redis: { condition: 'service_healthy' } });
    expect(redis.healthcheck.test).toEqual(['CMD', 'redis-cli', 'ping']);
    expect(redis.networks.map((name: string) => networks[name])).toEqual([{ internal: true }]);
    expect(gateway.networks).toEqual(expect.arrayContaining(redis.networks));
    expect(redis).not.toHaveProperty('ports');
    expect(redis.command.join(' ')).toContain('--maxmemory-policy noeviction');
    expect(redis.image).toMatch(/^redis:[\d.]+-alpine@sha256:[0-9a-f]{64}$/);
  });

  it('grants no privileges, and has a volume for everything that is written', () => {
    for (const service of [gateway, redis]) {
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      expect(service.volumes.map((volume: string) => volume.split(':')[0] as string)).toEqual([
        expect.toBeOneOf(Object.keys(volumes)),
      ]);
    }
  });
});
