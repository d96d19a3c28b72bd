import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AudioSource } from '../../src/simulator/index.js';
import { findChromium } from '../support/browser/chromium.js';
import { Tab } from '../support/browser/devtools.js';
import { Caller } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { KEY } from '../support/leg.js';
import { needs } from '../support/needs.js';

const CHROMIUM = findChromium();
const EXPECTED =
  'Expected chromium, chromium-browser or google-chrome on the PATH, or CHROMIUM, but received none';
const isThere = needs('Chromium', 'apt-get install chromium', () => CHROMIUM !== undefined);

/** A directory for screenshots of the page. */
const { PICTURES } = process.env;

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const ROWS = `document.querySelectorAll('#rows tr').length`;
const text = (selector: string) => `(document.querySelector(${JSON.stringify(selector)})?.textContent ?? '')`;
const focused = (selector: string) => `document.activeElement.matches(${JSON.stringify(selector)})`;

/** What axe finds serious or critical. */
async function faults(tab: Tab): Promise<string[]> {
  await tab.read(`(() => { ${AXE} })()`);
  const { violations } = await tab.read<{
    violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
  }>(`axe.run().then(({ violations }) => ({ violations }))`);
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}

describe.runIf(isThere)('the page in a browser', { timeout: 90_000 }, () => {
  let tab: Tab;

  beforeAll(async () => {
    if (CHROMIUM === undefined) throw new Error(EXPECTED);
    tab = await Tab.open(CHROMIUM);
  }, 60_000);
  afterAll(() => tab?.close());
  beforeEach(async () => {
    await tab.go('about:blank');
    tab.complaints.length = 0;
    await tab.prefer('light');
  });

  /** Through the door, by keyboard. */
  async function enter(url: string, key = KEY): Promise<void> {
    await tab.go(`${url}/dashboard`);
    await tab.until(focused('#key'));
    await tab.type(key);
    await tab.press('Enter');
  }

  it('rejects a wrong key, accepts the right one, keeps it over a reload and deletes it on sign-out', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    await enter(url, `${KEY}x`);
    await tab.until(`${text('#wrong')}.includes('not the key')`);
    expect(await tab.read(`document.getElementById('watch').hidden`)).toBe(true);
    // The browser itself logs the 401; nothing else may be logged.
    expect(tab.complaints.filter((each) => !each.includes('401'))).toEqual([]);
    tab.complaints.length = 0;
    await tab.type(KEY);
    await tab.press('Enter');
    await tab.until(`!document.getElementById('watch').hidden && ${text('#admission')} === 'accepted'`);
    expect(await tab.read(text('#none'))).toBe('No calls.');
    expect(await tab.read('location.href')).not.toContain(KEY);
    await tab.go(`${url}/dashboard`);
    await tab.until(`!document.getElementById('watch').hidden`);
    await tab.tabTo(focused('#sign-out'));
    await tab.press('Enter');
    await tab.until(`!document.getElementById('door').hidden && sessionStorage.length === 0`);
    expect(tab.complaints).toEqual([]);
  });

  it('shows calls as they come and go: masked caller, called number, room and levels', async () => {
    const { url, gateway, twilio } = await startWithCarrier(
      {},
      { controlApiKey: KEY, prepareCall: () => ({ room: 'sales' }) },
    );
    await enter(url);
    await tab.until(`${text('#none')} === 'No calls.'`);
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
      audio: AudioSource.tone(440, -12),
    });
    await phone.started;
    // A sine of -12 dBFS peak has an RMS of -15; the echo agent says the same.
    for (const cell of ['.levelIn', '.levelOut']) {
      await tab.until(`${text(`#rows ${cell}`)} === '−15 dB'`);
    }
    await tab.until(`/^[\\d.]+ (µs|ms)$/.test(${text('#rows .p99Us')})`);
    expect(await tab.read(text('#rows .state'))).toBe('live');
    expect(await tab.read(text('#rows .direction'))).toBe('in');
    expect(await tab.read(text('#rows .caller'))).toBe('+•••••••••11');
    expect(await tab.read(text('#rows .called'))).toBe('+15552223333');
    expect(await tab.read(text('#rows .room'))).toBe('sales');
    expect(await tab.read('document.documentElement.outerHTML')).not.toContain('5550001111');
    await tab.until(`${text('#histogram-said')}.includes('frames')`);
    for (const { callId } of gateway.calls.listActive()) gateway.calls.require(callId).end();
    await tab.until(`${ROWS} === 0`);
    expect(tab.complaints).toEqual([]);
  });

  it('hangs up by keyboard alone, and not before it is confirmed', async () => {
    const { url, gateway } = await startGateway({ controlApiKey: KEY });
    await Caller.call(url, { From: '+15550001122' });
    await Caller.call(url, { From: '+15550001133' });
    await enter(url);
    await tab.until(`${ROWS} === 2`);
    const button = `document.activeElement.ariaLabel?.startsWith('Hang up +•••••••••22')`;
    await tab.tabTo(button);
    await tab.press('Enter');
    await tab.until(`document.getElementById('confirm').open`);
    expect(await tab.read(`document.activeElement.value`)).toBe('no');
    await tab.press('Escape');
    await tab.until(`!document.getElementById('confirm').open`);
    expect(gateway.calls.listActive()).toHaveLength(2);
    // Back where it was.
    expect(await tab.read(button)).toBe(true);
    await tab.press(' ');
    await tab.until(`document.getElementById('confirm').open`);
    await tab.press('Tab', 'Enter');
    await tab.until(`${text('#said')} === 'The call with +•••••••••22 was hung up.'`);
    await tab.until(`${ROWS} === 1`);
    expect(gateway.calls.listActive().map(({ from }) => from)).toEqual(['+15550001133']);
    expect(tab.complaints).toEqual([]);
  });

  it("plays a call's audio until listening stops or the call ends", async () => {
    const { url, gateway, twilio } = await startWithCarrier({}, { controlApiKey: KEY });
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
      audio: AudioSource.tone(440, -12),
    });
    await phone.started;
    await enter(url);
    await tab.until(`${ROWS} === 1`);
    const hears = `(() => {
      const { seconds, db } = document.getElementById('listening').dataset;
      return seconds > 1 && Math.abs(Number(db) + 15) < 1.5;
    })()`;
    await tab.tabTo(focused('.listen'));
    await tab.press('Enter');
    await tab.until(hears);
    expect(await tab.read(text('#listening-who'))).toContain('+•••••••••11');
    expect(await tab.read(`document.activeElement.getAttribute('aria-pressed')`)).toBe('true');
    // Who listens is not heard, and changes nothing for the caller: the echo is still there.
    await tab.until(`${text('#rows .levelOut')} === '−15 dB'`);
    await tab.press('Enter');
    await tab.until(`document.getElementById('listening').hidden`);
    await tab.press('Enter');
    await tab.until(`!document.getElementById('listening').hidden`);
    await tab.until(hears);
    for (const { callId } of gateway.calls.listActive()) gateway.calls.require(callId).end();
    await tab.until(`${text('#said')} === 'The call has left this room.'`);
    expect(await tab.read(`document.getElementById('listening').hidden`)).toBe(true);
    expect(tab.complaints).toEqual([]);
  });

  it('says that a transferred call has left the room, not that it has ended', async () => {
    const { url, gateway, twilio } = await startWithCarrier({}, { controlApiKey: KEY });
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
    });
    await phone.started;
    await enter(url);
    await tab.until(`${ROWS} === 1`);
    await tab.tabTo(focused('.listen'));
    await tab.press('Enter');
    await tab.until(`!document.getElementById('listening').hidden`);
    await tab.until(`document.getElementById('listening').dataset.seconds > 0`);
    const [{ callId = '' } = {}] = gateway.calls.listActive();
    await gateway.control.transfer(callId, { room: 'elsewhere' });
    await tab.until(`${text('#said')} === 'The call has left this room.'`);
    expect(gateway.calls.get(callId)?.state).toBe('live');
  });

  it('says why nobody can listen where the bridge has no rooms', async () => {
    const leg = { write() {}, dtmf() {}, close() {} };
    const bridge = { name: 'other', join: async () => leg, close: async () => {} };
    const { url } = await startGateway({ controlApiKey: KEY, bridge });
    await Caller.call(url);
    await enter(url);
    await tab.until(`${ROWS} === 1`);
    expect(await tab.read(`document.querySelector('.listen').disabled`)).toBe(true);
    expect(await tab.read(`document.querySelector('.listen').title`)).toContain('the bridge "other"');
  });

  it('says what is bad, by the limits of the alert rules, and why callers hear busy', async () => {
    const { url, gateway } = await startGateway({ controlApiKey: KEY, maxCalls: 4 });
    for (let i = 0; i < 4; i++) await Caller.call(url);
    await expect(Caller.call(url)).rejects.toThrow('busy');
    await enter(url);
    const alarms = text('#alarms');
    const refused = '1 call was answered busy because all places for calls are taken';
    await tab.until(`${alarms}.includes(${JSON.stringify(refused)})`);
    expect(await tab.read(text('#refused'))).toBe('1 busy because all places for calls are taken');
    expect(await tab.read(`document.getElementById('admission-tile').dataset.is`)).toBe('bad');
    const [first] = gateway.calls.listActive();
    gateway.calls.require(first?.callId ?? '').end('internal');
    await tab.until(
      `${alarms}.includes('1 of 1 calls of the last ten minutes ended by a fault of the gateway')`,
    );
    await tab.until(`${text('#ended-rows .why')} === 'a fault of the gateway'`);
    expect(await tab.read(`document.querySelector('#ended-rows .why').dataset.is`)).toBe('bad');
    expect(await tab.read(text('#admission'))).toBe('accepted');
    expect(await faults(tab)).toEqual([]);
  });

  it('shows a call on a page of its own, with history and events; controls say what they did or why not', async () => {
    const { url, gateway, twilio } = await startWithCarrier({}, { controlApiKey: KEY });
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
    });
    await phone.started;
    await enter(url);
    await tab.until(`${ROWS} === 1`);
    await tab.tabTo(focused('#rows .caller'));
    await tab.press('Enter');
    await tab.until(`${text('#call-title')} === '+•••••••••11 → +15552223333' && ${focused('#call-title')}`);
    const [{ callId = '' } = {}] = gateway.calls.listActive();
    expect(await tab.read('location.hash')).toBe(`#/calls/${callId}`);
    await tab.until(`${text('#history')}.includes('call.answered')`);
    expect(await tab.read('document.documentElement.outerHTML')).not.toContain('5550001111');

    const output = (control: string) => text(`.control[aria-label="${control}"] output`);
    const pressButton = async (control: string, name: string) => {
      await tab.tabTo(
        `document.activeElement.matches('.control[aria-label="${control}"] button') && document.activeElement.textContent === '${name}'`,
      );
      await tab.press('Enter');
    };
    await pressButton('Clear', 'Clear');
    await tab.until(`${output('Clear')}.startsWith('Dropped')`);
    await tab.tabTo(focused('.control[aria-label="Keys"] input'));
    await tab.type('12x');
    await tab.press('Enter');
    await tab.until(`${output('Keys')}.startsWith('Send failed: Expected a request for dtmf')`);
    await pressButton('Hold', 'Hold');
    await tab.until(`${output('Hold')} === 'The call is on hold.'`);
    await tab.until(`${text('#call-facts')}.includes('live, on hold')`);
    await pressButton('Hold', 'Resume');
    await tab.until(`${output('Hold')} === 'The call is no longer on hold.'`);
    await pressButton('Mute', 'Mute');
    await tab.until(`${output('Mute')} === 'Muted: caller.'`);
    await pressButton('Record', 'Record');
    await tab.until(`${output('Record')}.startsWith('Record failed: ')`);
    for (const [scheme, width] of [
      ['light', 1_280],
      ['dark', 390],
    ] as const) {
      await tab.prefer(scheme);
      await tab.resize(width, 800);
      expect(await faults(tab), scheme).toEqual([]);
      expect(
        await tab.read('document.documentElement.scrollWidth <= document.documentElement.clientWidth'),
        scheme,
      ).toBe(true);
    }
    await tab.resize(1_280, 800);

    await pressButton('Listen or hang up', 'Hang up');
    await tab.until(`document.getElementById('confirm').open`);
    await tab.press('Tab', 'Enter');
    await tab.until(`${text('#said')} === 'The call with +•••••••••11 was hung up.'`);
    await tab.until(`${text('#call-facts')}.includes('hung up by an operator')`);
    expect(await tab.read(`document.getElementById('call-controls').hidden`)).toBe(true);
    // Back leads to all calls, and to the one that has just ended.
    await tab.read('history.back()');
    await tab.until(`document.getElementById('call').hidden && !document.getElementById('watch').hidden`);
    await tab.until(`${text('#ended-rows .caller')} === '+•••••••••11'`);
    await tab.read('history.forward()');
    await tab.until(`${text('#call-facts')}.includes('hung up by an operator')`);
    // The browser itself logs rejected requests.
    expect(tab.complaints.filter((each) => !/status of 4\d\d/.test(each))).toEqual([]);
  });

  it.each([1, 500])(
    'is usable with %i calls: bounded, sortable, searchable, accessible in both themes, whole at every width',
    async (count) => {
      const { url } = await startGateway({ controlApiKey: KEY, maxCalls: count });
      for (let i = 0; i < count; i += 50) {
        const some = Array.from({ length: Math.min(50, count - i) }, (_, j) =>
          Caller.call(url, { From: `+1555000${1_000 + i + j}` }),
        );
        await Promise.all(some);
      }
      await enter(url);
      await tab.until(`${text('#calls-count')} === '${count}' && ${ROWS} === ${Math.min(count, 25)}`);
      expect(await tab.read(text('#admission'))).toBe('busy');
      expect(await tab.read(text('#alarms'))).toContain('busy because all places for calls are taken');
      for (const scheme of ['light', 'dark'] as const) {
        await tab.prefer(scheme);
        expect(await faults(tab), scheme).toEqual([]);
        if (PICTURES) writeFileSync(join(PICTURES, `${count}-${scheme}.png`), await tab.picture());
      }
      // Nothing is cut or scrolls sideways: rows where they fit, and cards where they do not.
      const buttons = `[...document.querySelectorAll('#rows .actions button')].every((button) => {
        const { left, right } = button.getBoundingClientRect();
        return 0 <= left && right <= document.documentElement.clientWidth;
      })`;
      const fits = `document.documentElement.scrollWidth <= document.documentElement.clientWidth && ${buttons}`;
      const isCard = `getComputedStyle(document.querySelector('#rows tr')).display === 'grid'`;
      for (const [width, cards] of [
        [1_920, false],
        [1_280, false],
        [700, true],
        [390, true],
      ] as const) {
        await tab.resize(width, 800);
        expect([await tab.read(fits), await tab.read(isCard)], `${width} px`).toEqual([true, cards]);
        expect(await faults(tab), `${width} px`).toEqual([]);
      }
      await tab.resize(1_280, 800);
      const elements = `document.querySelectorAll('*').length`;
      expect(await tab.read(elements)).toBeLessThan(1_100);
      if (count > 1) {
        await tab.tabTo(focused('#on'));
        await tab.press('Enter');
        await tab.until(`${text('#page')} === '26 to 50 of 500'`);
        await tab.tabTo(focused('#find'));
        await tab.type('42');
        await tab.until(`${ROWS} > 0 && [...document.querySelectorAll('#rows tr')].every((row) =>
        row.textContent.includes('42') || row.querySelector('.id').title.includes('42'))`);
        expect(await tab.read(elements)).toBeLessThan(1_100);
      }
      expect(tab.complaints).toEqual([]);
    },
  );
});
