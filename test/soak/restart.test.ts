import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { postForm, voiceParameters } from '../support/caller.js';
import { type Asked, HOSTILITIES, HostileReceiver } from '../support/hostile.js';
import { SECRET } from '../support/receiver.js';
import { Served } from '../support/served.js';
import { eventually } from '../support/time.js';

let folder: string;
let spool: string;
let deadLetterFile: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-restart-'));
  spool = join(folder, 'spool');
  deadLetterFile = join(folder, 'dead.jsonl');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** A gateway whose calls end with it. */
async function startTelling(receiver: HostileReceiver, env: Record<string, string>): Promise<Served> {
  const more = { DRAIN_SECONDS: '0', EVENTS_WEBHOOK_URL: receiver.url(), WEBHOOK_SECRET: SECRET };
  const served = Served.start({ env: { ...more, ...env } });
  await served.listening();
  return served;
}

/** Calls that ring: each is an event. */
async function ring(served: Served, calls: number): Promise<void> {
  const url = await served.listening();
  const answers = await Promise.all(
    Array.from({ length: calls }, () => postForm(url, '/twilio/voice', voiceParameters())),
  );
  for (const answer of answers) expect(await answer.text()).toContain('<Connect>');
}

async function stop(served: Served, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
  served.child.kill(signal);
  const [code] = await served.exited;
  return code;
}

const segments = () =>
  existsSync(spool) ? readdirSync(spool).filter((name) => name.endsWith('.events')) : [];
const spooled = () =>
  segments()
    .flatMap((name) => readFileSync(join(spool, name), 'utf8').split('\n'))
    .filter((line) => line.startsWith('{')).length;
const eventsIn = (taken: readonly Asked[]) => {
  const calls = new Map<string, Map<string, string>>();
  for (const { body } of taken) {
    const events = calls.get(body.call.callId) ?? new Map<string, string>();
    calls.set(body.call.callId, events.set(body.id, body.type));
  }
  return [...calls.values()].map((events) => [...events.values()].join());
};
const WHOLE = 'call.started,call.ended';

describe.each(['switches protocols', 'never answers', 'resets the connection'])(
  'while its receiver %s',
  (name) => {
    it('a gateway that is killed, stopped and restarted loses no event', async () => {
      const receiver = await HostileReceiver.start(() => HOSTILITIES[name]);
      const env = { EVENTS_SPOOL_DIR: spool, EVENTS_DEAD_LETTER_FILE: deadLetterFile };

      const first = await startTelling(receiver, env);
      await ring(first, 40);
      // Within 200 ms, were this machine not busy.
      await eventually('forty events on disk', () => spooled() === 40);
      await stop(first, 'SIGKILL');

      const second = await startTelling(receiver, env);
      await ring(second, 20);
      expect(await stop(second, 'SIGTERM')).toBe(0);
      // The calls that rang have ended with the gateway.
      expect(second.output).toContain('"events":80,"msg":"events stay in the spool until the next start"');
      expect(receiver.taken).toHaveLength(0);

      receiver.heal();
      const third = await startTelling(receiver, env);
      await eventually('all events', () => eventsIn(receiver.taken).join().split(',').length === 80, 20_000);
      expect(eventsIn(receiver.taken).toSorted()).toEqual(
        [...Array(20).fill(WHOLE), ...Array(40).fill('call.started')].toSorted(),
      );
      await stop(third, 'SIGTERM');
      expect(segments()).toEqual([]);
      expect(readFileSync(deadLetterFile, 'utf8')).toBe('');
    });

    it('a gateway without a spool writes undelivered events to the dead-letter file, or logs them', async () => {
      const receiver = await HostileReceiver.start(() => HOSTILITIES[name]);
      const first = await startTelling(receiver, { EVENTS_DEAD_LETTER_FILE: deadLetterFile });
      await ring(first, 30);
      expect(await stop(first, 'SIGTERM')).toBe(0);
      const letters = readFileSync(deadLetterFile, 'utf8').trimEnd().split('\n');
      const asked = letters.map((line) => ({ headers: '', body: JSON.parse(line).event }));
      expect(eventsIn(asked)).toEqual(Array(30).fill(WHOLE));

      const second = await startTelling(receiver, {});
      await ring(second, 30);
      await stop(second, 'SIGTERM');
      const lines = second.lines('events not delivered') as { level: number; events: number }[];
      expect(lines.every(({ level }) => level === 50)).toBe(true);
      expect(lines.reduce((sum, { events }) => sum + events, 0)).toBe(60);
    });
  },
);
