// The README's picture of the dashboard: npm run docs:picture. Simulated phones call a real gateway, and Chromium looks at it.

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AudioSource, SimulatedTwilio } from '../../src/simulator/index.js';
import { findChromium } from '../support/browser/chromium.js';
import { Tab } from '../support/browser/devtools.js';
import { freePort } from '../support/port.js';

const PICTURE = fileURLToPath(new URL('../../docs/images/dashboard.png', import.meta.url));
const PUBLIC_URL = 'https://voice.example.com';
const KEY = 'key-of-the-picture';
const AUTH_TOKEN = 'token-of-the-picture';

/** Who calls whom. Those who call the same number meet in its room; the others talk to the echo agent. */
const CALLS = [
  { from: '+15550102041', to: '+15550100', audio: () => AudioSource.speech() },
  { from: '+15550107732', to: '+15550100', audio: () => AudioSource.tone(220, -30) },
  { from: '+442079460018', to: '+15550101', audio: () => AudioSource.speech() },
  { from: '+15550104467', to: '+15550102', audio: () => AudioSource.speech() },
  { from: '+4915550123499', to: '+15550103', audio: () => AudioSource.speech() },
  { from: '+15550109253', to: '+15550104', audio: () => AudioSource.tone(440, -40) },
];
/** Between two calls, so that they are of different ages. */
const APART_MS = 2_500;
const TALK_MS = 8_000;

const chromium = findChromium();
if (chromium === undefined) throw new Error('Expected Chromium on the PATH, or CHROMIUM, but received none');

const ACCOUNT_SID = `AC${'0'.repeat(32)}`;
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
// In its own process, as users run it: the phones' work is not its delay.
const program = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
const gateway = spawn(process.execPath, [program, 'serve', '--port', String(port)], {
  env: {
    PATH: process.env.PATH,
    PUBLIC_URL,
    TWILIO_ACCOUNT_SID: ACCOUNT_SID,
    TWILIO_AUTH_TOKEN: AUTH_TOKEN,
    CONTROL_API_KEY: KEY,
    LOCAL_ROOM: 'to',
    NODE_ID: 'gateway-1',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
});
for await (const chunk of gateway.stdout) if (String(chunk).includes(url)) break;
const twilio = new SimulatedTwilio({
  accountSid: ACCOUNT_SID,
  authToken: AUTH_TOKEN,
  dial: { publicUrl: PUBLIC_URL, target: url },
});
const tab = await Tab.open(chromium, { width: 1_440, height: 860 });
try {
  await tab.prefer('light');
  await tab.go(`${url}/dashboard`);
  await tab.until(`document.activeElement.matches('#key')`);
  await tab.type(KEY);
  await tab.press('Enter');
  for (const { audio, ...numbers } of CALLS) {
    await twilio.placeCall({ ...numbers, webhookUrl: `${PUBLIC_URL}/twilio/voice`, audio: audio() }).started;
    await pause(APART_MS);
  }
  await pause(TALK_MS);
  mkdirSync(new URL('.', `file://${PICTURE}`), { recursive: true });
  writeFileSync(PICTURE, await tab.picture());
} finally {
  await tab.close();
  await twilio.close();
  gateway.kill('SIGKILL');
}
