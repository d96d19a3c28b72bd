import { afterEach, expect, it } from 'vitest';
import { RedisLink, script } from '../../src/calls/fleet/redis.js';
import { isRedisUrl } from '../../src/calls/fleet/redis-address.js';
import { systemClock } from '../../src/clock.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';

const ECHO = script('return ARGV[1]');
const WRITE = script("return redis.call('SET', KEYS[1], ARGV[1])");

const links: RedisLink[] = [];
afterEach(() => {
  for (const link of links.splice(0)) link.close();
});

function linkTo(url: string) {
  const states: string[] = [];
  const link = new RedisLink({
    clock: systemClock,
    url,
    onUp: () => states.push('up'),
    onDown: () => states.push('down'),
  });
  links.push(link);
  return { link, states };
}

const echoed = (link: RedisLink, text: string) => link.run(ECHO, [], [text]);

describeOnRedis('a link to Redis', () => {
  it('runs scripts, also ones that Redis does not know yet, and carries messages', async () => {
    const server = await RedisServer.start();
    const { link, states } = linkTo(server.url);
    const heard: string[] = [];
    link.listen('here', (message) => heard.push(message));
    await link.open();
    expect(await echoed(link, 'one')).toBe('one');
    expect(await echoed(link, 'two')).toBe('two');
    expect(await link.publish('nowhere', 'x')).toBe(0);
    await eventually('a listener', () => states.length === 1);
    expect(await link.publish('here', 'hello')).toBe(1);
    await eventually('the message', () => heard.length === 1);
    expect([heard, states]).toEqual([['hello'], ['up']]);
  });

  it('fails every command at once while Redis is away, and is back by itself, listening', async () => {
    const server = await RedisServer.start();
    const { link, states } = linkTo(server.url);
    const heard: string[] = [];
    link.listen('here', (message) => heard.push(message));
    await link.open();
    await server.stop();
    await eventually('the loss', () => !link.isUp);
    await expect(echoed(link, 'one')).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN', status: 503 });
    await server.start();
    await eventually('the return', () => link.isUp);
    expect(await echoed(link, 'two')).toBe('two');
    expect(await link.publish('here', 'again')).toBe(1);
    await eventually('the message', () => heard.length === 1);
    // That it is cut off, and then that nobody listens.
    expect(states).toEqual(['up', 'down', 'down', 'up']);
  });

  it('does not wait for a Redis that hangs: one command is late, the next ones fail at once', async () => {
    const server = await RedisServer.start();
    const { link } = linkTo(server.url);
    await link.open();
    server.freeze();
    await expect(echoed(link, 'one')).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN' });
    expect(link.isUp).toBe(false);
    await expect(echoed(link, 'two')).rejects.toThrow('Redis is away');
    server.thaw();
    await eventually('the return', () => link.isUp, 15_000);
    expect(await echoed(link, 'three')).toBe('three');
  });

  it('leaves a server that has become a replica, and is back when there is a primary', async () => {
    const [server, other] = [await RedisServer.start(), await RedisServer.start()];
    const { link } = linkTo(server.url);
    const admin = linkTo(server.url).link;
    await Promise.all([link.open(), admin.open()]);
    expect(await link.run(WRITE, ['a'], ['1'])).toBe('OK');
    const { hostname, port } = new URL(other.url);
    const follow = (host: string, at: string) => admin.send(['REPLICAOF', host, at]);
    await follow(hostname, port);
    await expect(link.run(WRITE, ['a'], ['2'])).rejects.toMatchObject({ code: 'GW_REGISTRY_DOWN' });
    await follow('NO', 'ONE');
    await eventually('the return', () => link.isUp);
    expect(await link.run(WRITE, ['a'], ['3'])).toBe('OK');
  });

  it('opens without Redis, which may come later', async () => {
    const server = await RedisServer.start();
    await server.stop();
    const { link } = linkTo(server.url);
    await link.open(100);
    expect(link.isUp).toBe(false);
    await server.start();
    await eventually('the return', () => link.isUp);
  });

  it('says so where Redis will never let it in', async () => {
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

  it('says so where Redis does not let it listen, and is up once it does', async () => {
    const server = await RedisServer.start();
    const admin = linkTo(server.url).link;
    await admin.open();
    const user = (...rules: string[]) =>
      admin.send(['ACL', 'SETUSER', 'deaf', 'on', '>word', '~*', '+@all', ...rules]);
    await user('resetchannels');
    const deaf = () => {
      const { link } = linkTo(server.url.replace('//', '//deaf:word@'));
      link.listen('here', () => {});
      return link;
    };
    await expect(deaf().open()).rejects.toMatchObject({ code: 'GW_REDIS_REFUSED' });
    // Rights that are given later are found, too.
    const link = deaf();
    await link.open().catch(() => {});
    expect(link.isUp).toBe(false);
    await user('allchannels');
    await eventually('the rights', () => link.isUp, 5_000);
    expect(await echoed(link, 'one')).toBe('one');
  });
});

it('knows what names a Redis', () => {
  for (const url of ['redis://localhost', 'rediss://user:word@host:6380/2'])
    expect(isRedisUrl(url)).toBe(true);
  const others = ['localhost:6379', 'http://localhost', 'redis://', ''];
  const unreadable = ['redis://localhost:99999', 'redis://h/abc', 'redis://%zz@h'];
  for (const url of [...others, ...unreadable]) expect(isRedisUrl(url), url).toBe(false);
});
