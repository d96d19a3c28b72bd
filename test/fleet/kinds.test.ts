import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createClient } from '@redis/client';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import type { Finding } from '../../src/doctor/check.js';
import { createContext } from '../../src/doctor/context.js';
import { redis as check } from '../../src/doctor/redis.js';
import { RedisLink } from '../../src/fleet/redis.js';
import { RegistryTrial } from '../../src/fleet/registry-trial.js';
import { postForm, voiceParameters } from '../support/caller.js';
import { makeCertificate } from '../support/certificate.js';
import { FleetNode, sees } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';

const PROGRAM = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));

/** The guide's list of what a user needs. */
const GUIDE = readFileSync(new URL('../../docs/fleet.md', import.meta.url), 'utf8');
const ACL = /ACL SETUSER trunkline on >PASSWORD (.+)/.exec(GUIDE)?.[1]?.split(' ') ?? [];
const KEYS = ACL.filter((rule) => rule.startsWith('~'));
const CHANNELS = ACL.filter((rule) => rule.startsWith('&'));
const SCRIPTS = ['+evalsha', '+eval'];
const COMMANDS = ACL.filter((rule) => rule.startsWith('+') && !SCRIPTS.includes(rule));

async function withUser(...rules: string[]): Promise<string> {
  const server = await RedisServer.start();
  await server.ask('ACL', 'SETUSER', 'trunkline', 'on', '>a-password', ...rules);
  return server.url.replace('//', '//trunkline:a-password@');
}

/** Whether a cluster's server has our keys. */
async function ownerOf(url: string): Promise<boolean> {
  const client = await createClient({ url }).connect();
  try {
    return await client.get('trunkline:{trunkline}:nodes').then(
      () => true,
      () => false,
    );
  } finally {
    client.destroy();
  }
}

/** The doctor's findings about Redis. */
async function diagnose(env: Record<string, string>): Promise<Finding> {
  const stdout = await new Promise<string>((resolve) => {
    const given = { PATH: process.env.PATH, TWILIO_VALIDATE: 'off', PORT: '0', ...env };
    execFile(process.execPath, [PROGRAM, 'doctor', '--json'], { env: given }, (_, out) => resolve(out));
  });
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  return findings.find(({ check }) => check === 'Redis') as Finding;
}

/** What the gateway, its routes and the doctor report about a Redis. */
async function told(url: string, more: Record<string, string> = {}) {
  const env = { REDIS_URL: url, ...more };
  const [doctor, node] = await Promise.all([
    diagnose(env),
    FleetNode.start(env).catch((error: Error) => error.message),
  ]);
  expect(`${JSON.stringify(doctor)} ${node}`).not.toContain('a-password');
  if (typeof node === 'string') return { doctor, log: node };
  // A process that starts slowly stops waiting before Redis answers.
  await eventually('a word on it', () => /registry (up|down)/.test(node.output), 15_000);
  const { status, body } = await node.ready();
  const answer = await (await postForm(node.url, '/twilio/voice?again=3', voiceParameters())).text();
  const up = await node.metric('registry_up');
  await node.kill();
  return { doctor, log: node.output, status, body, answer, up };
}

async function expectServed(url: string, env?: Record<string, string>): Promise<void> {
  const { doctor, log, status, body, answer, up } = await told(url, env);
  expect(doctor).toMatchObject({
    mark: 'ok',
    says: expect.stringContaining('supports everything a call needs'),
  });
  expect(log).toContain('registry up');
  expect(log).not.toContain('registry down');
  expect([status, body, up]).toEqual([200, expect.objectContaining({ ready: true, registry: 'up' }), 1]);
  expect(answer).toContain('<Stream');
}

/** The gateway runs, because Redis may recover; until then everything reports why it is down. */
async function expectAway(url: string, says: string): Promise<void> {
  const { doctor, log, status, body, answer, up } = await told(url);
  expect(doctor).toMatchObject({ mark: 'fail', says: expect.stringContaining(`cannot serve: ${says}`) });
  expect(log).toContain(`registry down: ${says}`);
  expect(log).not.toContain('registry up');
  expect([status, body, up]).toEqual([503, expect.objectContaining({ ready: false, cause: says }), 0]);
  expect(answer).toContain('<Reject reason="busy"/>');
}

/** Waiting would not help: the gateway does not start, and reports why. */
async function expectRefused(
  url: string,
  says: string | RegExp,
  env?: Record<string, string>,
): Promise<void> {
  const { doctor, log, status } = await told(url, env);
  expect(status).toBeUndefined();
  expect(log).toContain(`cannot serve: ${says}`);
  expect(doctor).toMatchObject({
    mark: 'fail',
    says: expect.stringContaining(`cannot serve: ${says}`),
    set: expect.any(String),
  });
}

describeOnRedis('doctor, /ready, the log and callers agree', () => {
  it('on a standalone Redis, with and without a password', async () => {
    const locked = await RedisServer.start('--requirepass', 'a-password');
    const wrong = locked.url.replace('//', '//:no-password@');
    await Promise.all([
      expectServed((await RedisServer.start()).url),
      expectServed(locked.url.replace('//', '//:a-password@')),
      expectRefused(locked.url, 'it asks for a password, and REDIS_URL has none'),
      expectRefused(wrong, 'it rejects this user and password'),
    ]);
  });

  it('on an ACL with exactly the permissions in docs/fleet.md', async () => {
    expect([KEYS.length, CHANNELS.length]).toEqual([1, 1]);
    await expectServed(await withUser(...ACL));
  });

  it('on an ACL without our scripts', async () => {
    const rules = [...KEYS, ...CHANNELS, ...COMMANDS];
    await expectRefused(await withUser(...rules), 'its ACL does not let this user run EVALSHA');
  });

  it('on an ACL that lacks one command, which is named', async () => {
    const server = await RedisServer.start();
    for (const command of COMMANDS) {
      const rules = [...KEYS, ...CHANNELS, ...SCRIPTS, ...COMMANDS, command.replace('+', '-')];
      await server.ask('ACL', 'SETUSER', command, 'reset', 'on', '>a-password', ...rules);
      const url = server.url.replace('//', `//${encodeURIComponent(command)}:a-password@`);
      const { says } = (await check.run(createContext({ REDIS_URL: url }), [])) as Finding;
      expect(says).toMatch(
        new RegExp(`does not let this user run .*\\b${command.slice(1).toUpperCase()}\\b`),
      );
    }
  });

  it('on an ACL without our keys', async () => {
    const rules = ['~others:*', ...CHANNELS, ...SCRIPTS, ...COMMANDS];
    await expectRefused(
      await withUser(...rules),
      'its ACL does not let this user use keys named trunkline:*',
    );
  });

  it('on an ACL without our channels', async () => {
    const rules = [...KEYS, '&others:*', ...SCRIPTS, ...COMMANDS];
    const says = 'its ACL does not let this user use channels named trunkline:*';
    await expectRefused(await withUser(...rules), says);
  });

  it('on a cluster, whichever server is named', async () => {
    const cluster = await RedisServer.startCluster(3);
    // One of two does not have our keys.
    const named = cluster.slice(0, 2);
    await Promise.all(named.map(({ url }) => expectServed(url)));
    // Whichever server each of them is given, they meet.
    const nodes = await Promise.all(named.map(({ url }) => FleetNode.start({ REDIS_URL: url })));
    await Promise.all(nodes.map((node) => sees(node, 2)));
    const [a, b] = nodes as [FleetNode, FleetNode];
    const parameters = voiceParameters();
    const answer = await (await postForm(a.url, '/twilio/voice', parameters)).text();
    expect(await (await postForm(b.url, '/twilio/voice', parameters)).text()).toBe(answer);
  });

  it('on a cluster whose server in REDIS_URL is down', async () => {
    const cluster = await RedisServer.startCluster(3);
    const owners = await Promise.all(cluster.map(({ url }) => ownerOf(url)));
    const owner = cluster.find((_, i) => owners[i]) as RedisServer;
    const named = cluster.find((each) => each !== owner) as RedisServer;
    let ups = 0;
    const link = new RedisLink({
      url: named.url,
      clock: systemClock,
      trial: new RegistryTrial(systemClock),
      onUp: () => ups++,
      onDown() {},
    });
    try {
      await link.open();
      expect(ups).toBe(1);
      await named.stop();
      await owner.ask('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await eventually('the others', () => ups === 2, 20_000);
    } finally {
      link.close();
    }
  });

  it('on a replica, and on a Redis that is full', async () => {
    const primary = await RedisServer.start();
    const replica = await RedisServer.start('--replicaof', '127.0.0.1', String(primary.port));
    const full = await RedisServer.start('--maxmemory', '1mb', '--maxmemory-policy', 'noeviction');
    await Promise.all([
      expectAway(replica.url, 'it is a read-only replica'),
      expectAway(full.url, 'its memory is full (maxmemory): nothing can be written'),
    ]);
  });

  it('on a Redis with TLS, without it, or under another name', async () => {
    const { cert, pem } = makeCertificate('localhost');
    const secure = await RedisServer.startSecure(pem);
    const trusting = { NODE_EXTRA_CA_CERTS: cert };
    const plain = await RedisServer.start();
    await Promise.all([
      expectServed(`rediss://localhost:${secure.port}`, trusting),
      expectRefused(
        `rediss://127.0.0.1:${secure.port}`,
        'its certificate is for another name (localhost)',
        trusting,
      ),
      expectRefused(`rediss://localhost:${secure.port}`, 'its certificate is from an unknown authority'),
      expectRefused(plain.url.replace('redis:', 'rediss:'), 'it does not speak TLS'),
      expectAway(`redis://127.0.0.1:${secure.port}`, 'the connection was closed'),
    ]);
  });
});
