import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ACCOUNT_SID, AUTH_TOKEN } from '../support/caller.js';
import { InstalledProject, manifest } from '../support/installed.js';

const { optionalDependencies } = manifest;
const isOptional = (name: string) => name in optionalDependencies;
/** What only one part or another needs. */
const LATE = ['ws', 'undici', '@redis/client'];

/** As after `npm i trunkline --omit=optional`, and without any other package that should be loaded on demand only. */
const bare = new InstalledProject((name) => !isOptional(name) && !LATE.includes(name));
/** As `npm i trunkline --omit=optional` leaves it. */
const lean = new InstalledProject((name) => !isOptional(name));
afterAll(() => {
  bare.remove();
  lean.remove();
});

const run = (project: InstalledProject, args: readonly string[], env: Record<string, string> = {}) =>
  spawnSync(process.execPath, args, {
    cwd: project.path,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
    timeout: 60_000,
  });

it('Stream is optional, and not installed', () => {
  expect(Object.keys(optionalDependencies)).toEqual(
    expect.arrayContaining(['@roamhq/wrtc', '@stream-io/node-sdk', '@stream-io/video-client']),
  );
  const found = run(bare, ['-e', "require.resolve('@stream-io/node-sdk')"]);
  expect(found.stderr).toContain('MODULE_NOT_FOUND');
});

it('the library works without packages that only parts of it need', () => {
  bare.write(
    'library.mjs',
    `import { createTranscoder, createMediaStreamTwiml, fromWs, CallWebhookInput, TwilioMediaStream, TwilioSignatureVerifier,
  verifyTwilioRequest, verifyTwilioSignature, StreamBridge } from 'trunkline';
process.env.TWILIO_AUTH_TOKEN = 'a';
createTranscoder().encode(new Int16Array(960), new Uint8Array(160));
const stream = new TwilioMediaStream();
stream.close();
new StreamBridge({ apiKey: 'a', apiSecret: 'b' });
const input = await CallWebhookInput.from({ CallSid: 'CA1' });
console.log(JSON.stringify([
  stream.isEnded, input.callSid, verifyTwilioSignature({ signature: 'a', urls: [] }),
  createMediaStreamTwiml('wss://a.example.com/media'),
]));
process.exit();
`,
  );
  const { stdout, stderr } = run(bare, ['library.mjs']);
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual([
    true,
    'CA1',
    false,
    '<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="wss://a.example.com/media"/></Connect></Response>',
  ]);
});

const STREAM = {
  BRIDGE: 'stream',
  STREAM_API_KEY: 'key',
  STREAM_API_SECRET: 'secret',
  TWILIO_ACCOUNT_SID: ACCOUNT_SID,
  TWILIO_AUTH_TOKEN: AUTH_TOKEN,
  PORT: '0',
};
const INSTALL = ['@stream-io/node-sdk', '@stream-io/video-client', '@roamhq/wrtc']
  .map((name) => `${name}@${optionalDependencies[name]}`)
  .join(' ');
const cli = join('node_modules', 'trunkline', 'dist', 'cli', 'trunkline.js');

it.each(['serve', 'demo --bridge stream'])(
  '%s for Stream says in one line what to install, and ends',
  (command) => {
    const { status, stderr } = run(lean, [cli, ...command.split(' ')], STREAM);
    expect(stderr).toBe(
      `The Stream bridge needs @stream-io/node-sdk, @stream-io/video-client, @roamhq/wrtc: npm i ${INSTALL}\n`,
    );
    expect(status).toBe(1);
  },
);

it('doctor reports it too', async () => {
  // Nothing is asked of anybody outside.
  const server = http.createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.close();
  const env = { ...STREAM, PUBLIC_URL: origin, TWILIO_API_URL: origin, STREAM_BASE_URL: origin };
  const { stdout } = run(lean, [cli, 'doctor'], env);
  expect(stdout).toContain(`npm i ${INSTALL}, or BRIDGE=local`);
});

it('the demo with local rooms passes without them', () => {
  const { status, stdout } = run(lean, [cli, 'demo', '--calls', '1', '--seconds', '2']);
  expect(stdout).toContain('The speech came back whole.');
  expect(status).toBe(0);
});
