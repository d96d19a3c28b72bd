import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Browser, type BrowserUser, type BrowserUserOptions } from '../support/browser/browser.js';
import { findChromium } from '../support/browser/chromium.js';
import { needs } from '../support/needs.js';
import { LEVEL, notHeardBy, phoneLevel } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';
import { eventually, sleep } from '../support/time.js';

const CHROMIUM = findChromium();
const EXPECTED =
  'Expected chromium, chromium-browser or google-chrome on the PATH, or CHROMIUM, but received none';
const isThere = needs('Chromium', 'apt-get install chromium', () => CHROMIUM !== undefined);

/** Longer than the half second that levels are taken from: two measures this far apart share no sample. */
const APART_MS = 600;
const LOOKS = 60;

/** Waits until a tone is heard as loud as it was said, to 1 dB, and stays so. */
async function heard(who: string, level: () => number | Promise<number>): Promise<void> {
  let before = await level();
  for (let look = 0; look < LOOKS; look++) {
    await sleep(APART_MS);
    const now = await level();
    if (Math.abs(before) < 1 && Math.abs(now) < 1) return;
    before = now;
  }
  throw new Error(`Expected ${who} to hear 0 dB but received ${before} dB`);
}

describe.runIf(isThere)('a browser in the call', () => {
  const { start } = realStream({ double: { fastReconnectSeconds: 1 } });
  let browser: Browser;

  beforeAll(async () => {
    if (CHROMIUM === undefined) throw new Error(EXPECTED);
    browser = await Browser.start(CHROMIUM);
  }, 60_000);

  afterEach(async () => {
    expect(await browser?.closeTabs(), 'errors of the pages').toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
  });

  /** A phone that says 1 kHz and a browser that says 1.7 kHz: they hear each other. */
  async function talk(options: Partial<BrowserUserOptions> = {}) {
    const started = await start({ bridge: { watchdogSeconds: 60 } });
    const join = () =>
      browser.join(started.double, {
        callId: started.room,
        userId: 'browser',
        hz: 1_700,
        amplitude: LEVEL,
        ...options,
      });
    const user = await join();
    const caller = started.phone(1_000);
    const phoneHears = () => heard('the phone', () => phoneLevel(caller, 1_700));
    const browserHears = (by: BrowserUser = user) => heard('the browser', () => by.level(1_000, LEVEL));
    const loudest = () => Math.max(...caller.heard().slice(-1_600).map(Math.abs));
    const silence = () => eventually('silence', () => loudest() <= LEVEL / 1_000, 10_000);
    await Promise.all([phoneHears(), browserHears()]);
    const [call] = started.gateway.calls.listActive();
    return {
      ...started,
      caller,
      user,
      join,
      userId: `phone-${call?.callId}`,
      phoneHears,
      browserHears,
      silence,
    };
  }

  it('hears the phone and is heard by it, each within 1 dB, and neither hears itself', async () => {
    const { caller, user, double, bridge } = await talk();
    await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_000));
    expect(await user.level(1_700, LEVEL), 'its own voice').toBeLessThan(-50);
    expect(double.state.unknownRoutes).toEqual([]);
    expect(bridge.stats()).toMatchObject({ joined: 1, rejoins: 0, retries: 0 });
  });

  it.each([
    [
      'redundancy and no packets in silence',
      { redundant_coding_enabled: true, opus_dtx_enabled: true },
      undefined,
    ],
    ['hi-fi audio, published in stereo', { hifi_audio_enabled: true }, 2],
  ])('is heard, and heard again after it was silent, in a call with %s', async (_, audio, profile) => {
    const { user, phoneHears, silence } = await talk({
      settings: { audio },
      ...(profile === undefined ? {} : { profile }),
    });
    await user.play(1_700, 0);
    await silence();
    await user.play(1_700, LEVEL);
    await phoneHears();
  });

  it('is silent for the phone while it is muted, and heard again after', async () => {
    const { user, phoneHears, browserHears, silence } = await talk();
    await user.mute();
    await silence();
    await browserHears();
    await user.unmute();
    await phoneHears();
  });

  it('receives the keys that the caller presses, and clears what the caller has not heard yet', async () => {
    const { user, userId, caller } = await talk();
    const told = (custom: object) =>
      expect.poll(() => user.events(), { timeout: 30_000 }).toContainEqual({ userId, custom });
    caller.dtmf('5');
    await told({ type: 'phone.digit', digit: '5', phone: userId });
    let clears = 0;
    caller.on('clear', () => {
      clears += 1;
    });
    await user.sendEvent({ type: 'phone.clear' });
    await told({
      type: 'phone.cleared',
      phone: userId,
      played_ms: expect.any(Number),
      discarded_ms: expect.any(Number),
    });
    await eventually('the clear at the phone', () => clears === 1);
  });

  it('closes its tab: the phone stays, and hears the browser that joins next', async () => {
    const { user, userId, caller, present, bridge, join, silence, phoneHears, browserHears } = await talk();
    await user.closeTab();
    await silence();
    await eventually('the phone to be alone', () => present().join() === userId, 10_000);
    expect(caller.status).toBe('in-progress');
    const again = await join();
    await Promise.all([phoneHears(), browserHears(again)]);
    expect(bridge.stats()).toMatchObject({ joined: 1, rejoins: 0 });
  });

  it('sees the phone leave when the caller hangs up', async () => {
    const { user, userId, caller } = await talk();
    expect(await user.remoteUserIds()).toEqual([userId]);
    await caller.hangUp();
    await expect.poll(() => user.remoteUserIds(), { timeout: 30_000 }).toEqual([]);
  });
});
