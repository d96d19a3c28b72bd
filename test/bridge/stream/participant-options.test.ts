import { afterEach, describe, expect, it } from 'vitest';
import { Administration } from '../../../src/bridge/stream/administration.js';
import { parseCallName } from '../../../src/bridge/stream/call-name.js';
import { StreamLeg } from '../../../src/bridge/stream/leg.js';
import { StreamRoom } from '../../../src/bridge/stream/room.js';
import { StreamBridge, type StreamBridgeOptions } from '../../../src/index.js';
import { FrameClock } from '../../../src/media/frame-clock.js';
import { createLog } from '../../../src/telemetry/log.js';
import { StreamApp } from '../../support/stream/app.js';
import { FakeMediaHost, type FakeParticipant } from '../../support/stream/fake-media-host.js';
import { verifyToken } from '../../support/stream/token.js';
import { clock, eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

const KEYS = { apiKey: 'a-key', apiSecret: 'a-secret-of-stream' };
const log = createLog('silent');

describe('the options of a Stream bridge', () => {
  it.each<Partial<StreamBridgeOptions>>([
    {},
    { media: 'workers' },
    { media: 'inline' },
    { legsPerWorker: 1 },
    { legsPerWorker: 100 },
    { recycleAfter: 1, memoryLimitMb: 1, joinSeconds: 0.5, aloneSeconds: 0.5, watchdogSeconds: 0.5 },
    { tokenSeconds: 86_400, aloneSeconds: 86_400 },
    { joinAt: 'ring' },
    { maxWorkerDelayMs: 0, minIdlePercent: 0 },
    { maxWorkerDelayMs: 10_000, minIdlePercent: 90 },
    { transferTo: [] },
    { transferTo: () => true },
    { muteKey: '*6', whileAlone: 'comfort-noise', ringback: false },
  ])('may be %j', (options) => {
    const bridge = new StreamBridge({ ...KEYS, log, ...options });
    expect(bridge.stats()).toMatchObject({ workers: 0, legs: 0, deaths: 0, rejoins: 0, retries: 0 });
    expect(bridge.workers()).toEqual([]);
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ apiKey: '' }, /apiKey/],
    [{ apiKey: undefined }, /apiKey/],
    [{ apiKey: 7 }, /apiKey/],
    [{ apiSecret: '' }, /apiSecret/],
    [{ apiSecret: undefined }, /apiSecret/],
    [{ joinAt: 'start' }, /joinAt/],
    [{ maxWorkerDelayMs: -1 }, /maxWorkerDelayMs/],
    [{ maxWorkerDelayMs: 10_001 }, /maxWorkerDelayMs/],
    [{ minIdlePercent: 91 }, /minIdlePercent/],
    [{ minIdlePercent: Number.NaN }, /minIdlePercent/],
    [{ media: 'threads' }, /media/],
    [{ media: true }, /media/],
    [{ muteKey: '' }, /muteKey/],
    [{ muteKey: '*e' }, /muteKey/],
    [{ muteKey: 6 }, /muteKey/],
    [{ muteKey: '*1234' }, /muteKey/],
    [{ whileAlone: 'music' }, /whileAlone/],
    [{ ringback: 'yes' }, /ringback/],
    [{ legsPerWorker: 0 }, /legsPerWorker/],
    [{ legsPerWorker: 101 }, /legsPerWorker/],
    [{ legsPerWorker: 1.5 }, /legsPerWorker/],
    [{ legsPerWorker: '20' }, /legsPerWorker/],
    ...[
      'recycleAfter',
      'memoryLimitMb',
      'joinSeconds',
      'aloneSeconds',
      'watchdogSeconds',
      'tokenSeconds',
    ].flatMap((name) =>
      [0, -1, Number.NaN].map((value): [Record<string, unknown>, RegExp] => [
        { [name]: value },
        new RegExp(name),
      ]),
    ),
  ])('cannot be %j', (options, subject) => {
    const make = () => new StreamBridge({ ...KEYS, log, ...options } as StreamBridgeOptions);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(/^Expected .+ but received /);
    expect(make).toThrow(subject);
    expect(make).not.toThrow(KEYS.apiSecret);
  });

  it.each(['joinSeconds', 'aloneSeconds'] as const)(
    'cannot be a time that no timer keeps: %s, which would be over at once',
    (name) => {
      for (const seconds of [Number.POSITIVE_INFINITY, 2_147_484]) {
        expect(() => new StreamBridge({ ...KEYS, log, [name]: seconds })).toThrow(TypeError);
      }
    },
  );

  it('do not reveal an invalid secret', () => {
    for (const apiSecret of [['a-secret-in-a-list'], { secret: 'a-secret-in-a-list' }, 123_456_789]) {
      const make = () => new StreamBridge({ ...KEYS, apiSecret: apiSecret as never });
      expect(make).toThrow(TypeError);
      expect(make).toThrow(expect.not.stringMatching(/a-secret|123456789/));
    }
  });

  it('leave each call its own room', () => {
    expect(new StreamBridge({ ...KEYS, log }).roomOf('call-1')).toBe('call-1');
  });
});

describe('the join request of a media worker', () => {
  const legs: StreamLeg[] = [];

  afterEach(() => {
    for (const leg of legs.splice(0)) leg.close();
  });

  /** A leg whose participant lives nowhere. */
  function join(user: { id: string; name?: string; custom?: Record<string, unknown> }, room: string) {
    const host = new FakeMediaHost(new StreamApp(KEYS.apiKey, KEYS.apiSecret), clock);
    host.fate = 'waits';
    const administration = new Administration({ ...KEYS, tokenSeconds: 60, clock });
    administration.prepare = async () => {};
    const line = {
      isLive: true,
      write() {},
      clear: () => ({ playedMs: 0, discardedMs: 0 }),
      mark() {},
      hangUp() {},
      transfer() {},
      fail() {},
    };
    const leg = new StreamLeg('call-1', user, parseCallName(room), line, new StreamRoom(clock, () => {}), {
      apiKey: KEYS.apiKey,
      baseUrl: 'https://stream.example.com',
      administration,
      host,
      log,
      clock,
      joinMs: 5_000,
      aloneMs: 60_000,
      watchdogMs: 3_000,
      mayTransfer: () => false,
      mayCommand: () => true,
      frameClock: new FrameClock(clock),
      ringback: false,
      comfortNoise: false,
    });
    legs.push(leg);
    const joining = leg.join(new AbortController().signal, true);
    joining.catch(() => {});
    const placed = async (count = 1) => {
      await eventually('it to be placed', () => host.placed.length === count);
      return host.placed.at(-1) as FakeParticipant;
    };
    return { leg, host, placed, joining };
  }

  it('is plain data: user, call and timeouts; no secret and nothing about the caller', async () => {
    const user = { id: 'phone-1', name: 'Ada', custom: { city: 'LONDON' } };
    const { placed, joining } = join(user, 'audio_room:desk-7');
    const { request, listener } = await placed();
    expect(request).toEqual({
      apiKey: KEYS.apiKey,
      baseUrl: 'https://stream.example.com',
      userId: 'phone-1',
      userName: 'Ada',
      callType: 'audio_room',
      callId: 'desk-7',
      watchdogMs: 3_000,
    });
    expect(JSON.parse(JSON.stringify(request))).toEqual(request);
    expect(JSON.stringify(request)).not.toContain(KEYS.apiSecret);
    listener.joined();
    await joining;
  });

  it('leaves out an unknown name', async () => {
    const { placed } = join({ id: 'phone-1' }, 'room');
    const over = JSON.parse(JSON.stringify((await placed()).request));
    expect(over).not.toHaveProperty('userName');
    expect(over).toMatchObject({ callType: 'default', callId: 'room' });
  });

  it('has a token for this user only, a new one for each request', async () => {
    const { listener } = await join({ id: 'phone-1' }, 'room').placed();
    const claims = async () => verifyToken(await listener.token(), KEYS.apiSecret);
    const first = await claims();
    await sleep(30_000);
    const second = await claims();
    expect([first.user_id, second.user_id]).toEqual(['phone-1', 'phone-1']);
    expect((second.exp as number) - (first.exp as number)).toBeGreaterThanOrEqual(29);
  });

  it('is sent again unchanged when the participant was lost', async () => {
    const { placed, joining, leg, host } = join({ id: 'phone-1' }, 'room');
    const first = await placed();
    first.listener.joined();
    await joining;
    first.depart('lost');
    const second = await placed(2);
    expect(second.request).toEqual({ ...first.request, isBack: true });
    leg.close();
    second.depart('lost');
    await sleep(10_000);
    expect(host.placed, 'nor again once it is closed').toHaveLength(2);
  });
});
