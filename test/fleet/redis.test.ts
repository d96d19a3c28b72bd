import { afterEach, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.js';
import { RedisLink, script } from '../../src/fleet/redis.js';
import { isRedisUrl, parseRedisUrl } from '../../src/fleet/redis-address.js';
import { RegistryTrial } from '../../src/fleet/registry-trial.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';
import { VirtualClock } from '../support/virtual-clock.js';

const ECHO = script('echo', 'return ARGV[1]');
const WRITE = script('write', "return redis.call('SET', KEYS[1], ARGV[1])");

const links: RedisLink[] = [];
afterEach(() => {
  for (const link of links.splice(0)) link.close();
});

function linkTo(url: string, clock: Clock = systemClock) {
  const states: string[] = [];
  const link = new RedisLink({
    clock,
    url,
    onUp: () => states.push('up'),
    onDown: () => states.push('down'),
  });
  links.push(link);
  return { link, states };
}

const echoed = (link: RedisLink, text: string) => link.runScript(ECHO, [], [text]);

describeOnRedis('a link to Redis', () => {
  it('runs scripts, including uncached ones, and carries messages', async () => {
    const server = await RedisServer.start();
    const { link, states } = linkTo(server.url);
    const heard: string[] = [];
    link.subscribe('here', (message) => heard.push(message));
    await link.open();
    expect(await echoed(link, 'one')).toBe('one');
    expect(await echoed(link, 'two')).toBe('two');
    expect(await link.publish('nowhere', 'x')).toBe(0);
    await eventually('a listener', () => states.length === 1);
    expect(await link.publish('here', 'hello')).toBe(1);
    await eventually('the message', () => heard.length === 1);
    expect([heard, states]).toEqual([['hello'], ['up']]);
  });

  it('fails every command at once while Redis is down, and reconnects and resubscribes by itself', async () => {
    const server = await RedisServer.start();
    const { link, states } = linkTo(server.url);
    const heard: string[] = [];
    link.subscribe('here', (message) => heard.push(message));
    await link.open();
    await server.stop();
    await eventually('the loss', () => !link.isUp);
    await expect(echoed(link, 'one')).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN', status: 503 });
    await server.start();
    await eventually('the return', () => link.isUp);
    expect(await echoed(link, 'two')).toBe('two');
    expect(await link.publish('here', 'again')).toBe(1);
    await eventually('the message', () => heard.length === 1);
    // Each cause of an outage is reported: a closed connection, possibly that nothing listens.
    expect(states.filter((state, i) => state !== states[i - 1])).toEqual(['up', 'down', 'up']);
  });

  it('does not wait for a Redis that hangs: one command times out, the next ones fail at once', async () => {
    const server = await RedisServer.start();
    const { link } = linkTo(server.url);
    await link.open();
    server.freeze();
    await expect(echoed(link, 'one')).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN' });
    expect(link.isUp).toBe(false);
    await expect(echoed(link, 'two')).rejects.toThrow('Redis is down');
    server.thaw();
    await eventually('the return', () => link.isUp, 15_000);
    expect(await echoed(link, 'three')).toBe('three');
  });

  it('does not mistake a stall of its own process for one of Redis', async () => {
    const server = await RedisServer.start();
    const time = new VirtualClock();
    const { link, states } = linkTo(server.url, time);
    await link.open();
    for (let i = 0; i < 5; i++) {
      const answered = echoed(link, 'one');
      time.stall(60_000);
      expect(await answered).toBe('one');
    }
    expect(states).toEqual(['up']);
    server.freeze();
    const late = echoed(link, 'two');
    time.stall(60_000);
    time.advance(500);
    await expect(late).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN' });
    server.thaw();
  });

  it('leaves a server that has become a replica, and reconnects when there is a primary', async () => {
    const [server, other] = [await RedisServer.start(), await RedisServer.start()];
    const { link } = linkTo(server.url);
    const admin = linkTo(server.url).link;
    await Promise.all([link.open(), admin.open()]);
    expect(await link.runScript(WRITE, ['a'], ['1'])).toBe('OK');
    const { hostname, port } = new URL(other.url);
    const follow = (host: string, at: string) => admin.send(['REPLICAOF', host, at]);
    await follow(hostname, port);
    await expect(link.runScript(WRITE, ['a'], ['2'])).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN' });
    await follow('NO', 'ONE');
    await eventually('the return', () => link.isUp);
    expect(await link.runScript(WRITE, ['a'], ['3'])).toBe('OK');
  });

  it('opens without Redis, which may come up later', async () => {
    const server = await RedisServer.start();
    await server.stop();
    const { link } = linkTo(server.url);
    await link.open(100);
    expect(link.isUp).toBe(false);
    await server.start();
    await eventually('the return', () => link.isUp);
  });

  it('reports that Redis will never accept it', async () => {
    const server = await RedisServer.start('--requirepass', 'secret');
    await expect(linkTo(server.url).link.open()).rejects.toMatchObject({ code: 'GW_REDIS_REFUSED' });
    const wrong = linkTo(server.url.replace('//', '//:wrong@'));
    const error = await wrong.link.open().catch((e: Error) => e);
    expect(error).toMatchObject({ code: 'GW_REDIS_REFUSED' });
    expect(String(error)).not.toContain('wrong@');
    const right = linkTo(server.url.replace('//', '//:secret@'));
    await right.link.open();
    expect(right.link.isUp).toBe(true);
  });

  it('reports that Redis does not let it subscribe, and is up once it does', async () => {
    const server = await RedisServer.start();
    const admin = linkTo(server.url).link;
    await admin.open();
    const user = (...rules: string[]) =>
      admin.send(['ACL', 'SETUSER', 'deaf', 'on', '>word', '~*', '+@all', ...rules]);
    await user('resetchannels');
    const deaf = () => {
      const { link } = linkTo(server.url.replace('//', '//deaf:word@'));
      link.subscribe('here', () => {});
      return link;
    };
    await expect(deaf().open()).rejects.toMatchObject({ code: 'GW_REDIS_REFUSED' });
    // Permissions granted later are noticed, too.
    const link = deaf();
    await link.open().catch(() => {});
    expect(link.isUp).toBe(false);
    await user('allchannels');
    await eventually('the rights', () => link.isUp, 5_000);
    expect(await echoed(link, 'one')).toBe('one');
  });
});

describeOnRedis('a link whose Redis takes rights away', () => {
  it('notices within a minute, even without calls, and recovers with the permissions', async () => {
    const server = await RedisServer.start();
    const clock = new VirtualClock();
    const faults: string[] = [];
    await server.ask('ACL', 'SETUSER', 'u', 'on', '>word', '~*', '&*', '+@all');
    const link = new RedisLink({
      url: server.url.replace('//', '//u:word@'),
      clock,
      trial: new RegistryTrial(clock),
      onUp() {},
      onDown: ({ reason }) => faults.push(reason),
    });
    links.push(link);
    await link.open();
    await server.ask('ACL', 'SETUSER', 'u', '-hgetall');
    clock.advance(59_000);
    expect(link.isUp).toBe(true);
    clock.advance(1_000);
    await eventually('the loss', () => !link.isUp);
    expect(faults).toEqual(['its ACL does not let this user run HGETALL']);
    await server.ask('ACL', 'SETUSER', 'u', '+hgetall');
    clock.start();
    await eventually('the return', () => link.isUp);
    clock.halt();
  });
});

it('recognises Redis URLs', () => {
  const sentinels = ['redis-sentinel://a/main', 'rediss-sentinel://user:w%40rd@a:1,[::1]:2,c/main/3'];
  for (const url of ['redis://localhost', 'rediss://user:word@host:6380/2', ...sentinels])
    expect(isRedisUrl(url)).toBe(true);
  const others = ['localhost:6379', 'http://localhost', 'redis://', ''];
  const unreadable = ['redis://localhost:99999', 'redis://h/abc', 'redis://%zz@h'];
  const nobody = [
    'redis-sentinel://a',
    'redis-sentinel:///main',
    'redis-sentinel://a,:2/main',
    'redis-sentinel://a/b/c',
  ];
  expect(parseRedisUrl(String(sentinels[1]))).toEqual({
    endpoints: [
      { host: 'a', port: 1 },
      { host: '::1', port: 2 },
      { host: 'c', port: 26_379 },
    ],
    primary: 'main',
    isSecure: true,
    username: 'user',
    password: 'w@rd',
    database: 3,
  });
  for (const url of [...others, ...nobody, ...unreadable]) expect(isRedisUrl(url), url).toBe(false);
});
