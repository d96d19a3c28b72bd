// Events of many calls and their delivery, without the calls: options in the first argument, a run for every message.
// Started with --expose-gc. Of the built gateway: the loader for TypeScript has a thread of its own.

import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../dist/clock.js';
import { EventLog } from '../../dist/events/event-log.js';
import { EventWebhooks } from '../../dist/events/event-webhooks.js';

const { url, spoolDir } = JSON.parse(process.argv[2]);
const log = pino({ level: 'silent' });
const events = new EventLog(log, systemClock);
const secret = 's'.repeat(32);
const webhooks = new EventWebhooks({ url, secret, ...(spoolDir && { spoolDir }) }, events, log, systemClock);
webhooks.open();
webhooks.start();
const figure = (name) => webhooks.metrics.find((one) => one.name === name).read();
const pending = () => figure('event_webhooks_pending');

const TURN_MS = 20;
/** Most undelivered events, if deliveries keep pace. */
const MOST = 2_000;

process.on('message', async ({ count, perSecond, calls }) => {
  for (let i = 0; i < 4; i++) globalThis.gc();
  const before = process.cpuUsage();
  const deliveredBefore = figure('event_webhooks_total').get('delivered');
  const begun = performance.now();
  for (let told = 0; told < count; ) {
    const due = perSecond === undefined ? count : ((performance.now() - begun) / 1e3) * perSecond;
    for (; told < Math.min(count, due) && pending() < MOST; told++) {
      const callId = `00000000-0000-4000-8000-${String(told % calls).padStart(12, '0')}`;
      const callSid = `CA${String(told % calls).padStart(32, '0')}`;
      const call = { callId, callSid, direction: 'inbound', from: '+15550001111', to: '+15552223333' };
      events.publish('call.dtmf', call, { digit: '5' });
    }
    await pause(perSecond === undefined ? 0 : TURN_MS);
  }
  while (pending() > 0) await pause(TURN_MS);
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - begun) / 1e3;
  for (let i = 0; i < 4; i++) globalThis.gc();
  process.send({
    cpuMs: (user + system) / 1e3,
    seconds,
    delivered: figure('event_webhooks_total').get('delivered') - deliveredBefore,
    heapUsed: process.memoryUsage().heapUsed,
    rss: process.memoryUsage.rss(),
  });
});
process.on('disconnect', () => process.exit());
process.send({});
