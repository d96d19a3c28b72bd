import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { htmlReport } from '../../src/cli/html-report.js';
import { checksOf } from '../../src/cli/verdict.js';
import { runLoad } from '../../src/simulator/index.js';
import { findChromium } from '../support/browser/chromium.js';
import { Tab } from '../support/browser/devtools.js';
import { needs } from '../support/needs.js';
import { ReferenceGateway } from '../support/reference-gateway.js';

const CHROMIUM = findChromium();
const isThere = needs('Chromium', 'apt-get install chromium', () => CHROMIUM !== undefined);
/** A directory for screenshots of the report. */
const { PICTURES } = process.env;

describe.runIf(isThere)('the HTML report of a simulation in a browser', { timeout: 90_000 }, () => {
  let tab: Tab;
  let folder: string;
  let gateway: ReferenceGateway;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-report-'));
    tab = await Tab.open(CHROMIUM as string);
    gateway = await ReferenceGateway.listen();
  }, 60_000);
  afterAll(async () => {
    await tab?.close();
    await gateway.close();
    rmSync(folder, { recursive: true });
  });

  it('has a histogram of round trips, and fits into 390 pixels', async () => {
    const run = { webhookUrl: gateway.voiceUrl, authToken: '12345', calls: 4, durationMs: 4_000 };
    const report = await runLoad(run);
    const checks = checksOf(report, { echo: true, judgesGenerator: true, webhookMs: 0.001 });
    const target = `https://${'a-long-name.'.repeat(8)}example.com/twilio/voice`;
    const file = join(folder, 'report.html');
    writeFileSync(file, htmlReport(report, checks, { target, begunAt: new Date(0), seconds: 4 }));
    await tab.go(`file://${file}`);
    const bars = `[...document.querySelectorAll('svg[aria-label="Round trips of all frames"] rect title')]`;
    const counted = `${bars}.reduce((sum, { textContent }) => sum + Number.parseInt(textContent), 0)`;
    expect(await tab.read(counted)).toBe(report.roundTrip.count);
    for (const width of [390, 1_280]) {
      for (const scheme of ['light', 'dark'] as const) {
        await tab.resize(width, PICTURES ? 2_600 : 800);
        await tab.prefer(scheme);
        expect(
          await tab.read('document.documentElement.scrollWidth <= document.documentElement.clientWidth'),
          `${width} px`,
        ).toBe(true);
        if (PICTURES) writeFileSync(join(PICTURES, `report-${scheme}-${width}.png`), await tab.picture());
      }
    }
    expect(tab.complaints).toEqual([]);
  });
});
