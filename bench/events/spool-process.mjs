// A spool and nothing else: events come, and are settled after a while. Without a directory the same work is done but for the
// spool's own. Options in the first argument, a run for every message. Of the built gateway.

import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../dist/clock.js';
import { EventLog } from '../../dist/events/event-log.js';
import { Spool } from '../../dist/events/spool.js';

const { spoolDir } = JSON.parse(process.argv[2]);
const log = pino({ level: 'silent' });
const events = new EventLog(log, systemClock);
const spool = spoolDir && new Spool(spoolDir, log, systemClock);
spool?.open();
events.subscribe((_, { id, json }) => spool?.add(id, json));

const TURN_MS = 20;

process.on('message', async ({ count, perSecond, calls, takesMs }) => {
  const before = process.cpuUsage();
  const begun = performance.now();
  const waiting = [];
  for (let told = 0; told < count || waiting.length > 0; await pause(TURN_MS)) {
    const now = performance.now();
    for (; told < Math.min(count, ((now - begun) / 1e3) * perSecond); told++) {
      const callId = `00000000-0000-4000-8000-${String(told % calls).padStart(12, '0')}`;
      const callSid = `CA${String(told % calls).padStart(32, '0')}`;
      const call = { callId, callSid, direction: 'inbound', from: '+15550001111', to: '+15552223333' };
      waiting.push({ id: events.publish('call.dtmf', call, { digit: '5' }).id, at: now + takesMs });
    }
    while (waiting.length > 0 && waiting[0].at <= now) {
      const { id } = waiting.shift();
      spool?.settle(id);
    }
  }
  const { user, system } = process.cpuUsage(before);
  process.send({ cpuMs: (user + system) / 1e3, failures: spool?.failures ?? 0 });
});
process.on('disconnect', () => process.exit());
process.send({});
