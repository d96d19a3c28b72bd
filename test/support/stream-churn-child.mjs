// Joins and leaves Stream calls over and over in its own process, and prints what is left of them.
// Arguments: URL, API key and secret of Stream's double, how many joins and how many of them at a time, and their WebRTC.
import { readdirSync, readFileSync } from 'node:fs';
import v8 from 'node:v8';
import { StreamBridge } from '../../dist/index.js';
import { createLog } from '../../dist/telemetry/log.js';

const [baseUrl, apiKey, apiSecret, joins, atATime, stack] = process.argv.slice(2);
const bridge = new StreamBridge({
  apiKey,
  apiSecret,
  baseUrl,
  media: 'inline',
  stack,
  log: createLog('silent', process.stderr),
});
await bridge.open();
const sdk = await import('@stream-io/video-client');

function line() {
  return {
    isLive: true,
    frames: 0,
    write() {
      this.frames += 1;
    },
    clear: () => ({ playedMs: 0, discardedMs: 0 }),
    mark() {},
    hangUp() {},
    transfer() {},
    fail() {},
  };
}

async function joinAndLeave(serial) {
  const leg = await bridge.join(
    {
      callId: `churn-${serial}`,
      room: `churn-${serial % 5}`,
      user: { id: `phone-${serial}`, name: 'Phone' },
      signal: new AbortController().signal,
    },
    line(),
  );
  const frame = new Int16Array(960).fill(1_000);
  for (let i = 0; i < 10; i++) {
    leg.write(frame, 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  leg.close();
}

function left() {
  // Collects garbage first, and more thoroughly than --expose-gc.
  const calls = v8.queryObjects(sdk.Call, { format: 'count' });
  const clients = v8.queryObjects(sdk.StreamVideoClient, { format: 'count' });
  const status = readFileSync('/proc/self/status', 'utf8');
  return {
    calls,
    clients,
    heapMb: process.memoryUsage().heapUsed / 1e6,
    rssMb: process.memoryUsage.rss() / 1e6,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)[1]),
    descriptors: readdirSync('/proc/self/fd').length,
  };
}

/** Connections to Stream's REST API are kept alive for at most 5 s: what remains after that has leaked. */
const KEPT_ALIVE_MS = 6_000;

/** Leaving takes a moment after `close`: the server is notified, connections end. The first time sets the idle baseline. */
async function settle(idle) {
  const deadline = performance.now() + 15_000;
  let now = left();
  let since = performance.now();
  while (performance.now() < deadline) {
    const gone = now.calls === 0 && now.clients === 0;
    if (gone && idle && now.threads <= idle.threads && now.descriptors <= idle.descriptors) break;
    if (gone && !idle && performance.now() - since > KEPT_ALIVE_MS) break;
    await new Promise((resolve) => setTimeout(resolve, 250));
    const next = left();
    if (next.threads !== now.threads || next.descriptors !== now.descriptors) since = performance.now();
    now = next;
  }
  return now;
}

const samples = [];
let serial = 0;
for (let round = 0; round < 4; round++) {
  while (serial < ((round + 1) * Number(joins)) / 4) {
    await Promise.all(Array.from({ length: Number(atATime) }, () => joinAndLeave(serial++)));
  }
  samples.push(await settle(samples[0]));
}
await bridge.close();
process.stdout.write(`${JSON.stringify({ joins: serial, samples })}\n`);
