import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { EventLog } from '../../src/events/event-log.js';
import { EventWebhooks } from '../../src/events/event-webhooks.js';
import { Receiver, SECRET } from '../support/receiver.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const log = pino({ level: 'silent' });

async function machine() {
  const spoolDir = mkdtempSync(join(tmpdir(), 'trunkline-spool-'));
  onTestFinished(() => rmSync(spoolDir, { recursive: true }));
  let isSilent = true;
  const digits = new Set<string>();
  const receiver = await Receiver.start(({ body }) => {
    if (isSilent) return { silent: true };
    digits.add(body.data.digit);
    return { status: 204 };
  });
  const start = (worker?: { place: number; count: number }) => {
    const events = new EventLog(log, clock);
    const deadLetterFile = join(spoolDir, 'dead.jsonl');
    const options = {
      url: receiver.url,
      secret: SECRET,
      spoolDir,
      deadLetterFile,
      tries: 9,
      timeoutMs: 300,
      firstPauseMs: 20,
    };
    const webhooks = new EventWebhooks(options, events, log, clock, worker);
    webhooks.open();
    webhooks.start();
    const publish = (digit: string) =>
      events.publish('call.dtmf', { callId: `call-${digit}`, callSid: 'CA1' } as never, { digit });
    return { webhooks, publish };
  };
  const answer = () => {
    isSilent = false;
  };
  return { spoolDir, start, answer, digits };
}

it('a replacement delivers what its predecessor leaves in the spool of their place, and what came meanwhile', async () => {
  const { spoolDir, start, answer, digits } = await machine();
  const old = start({ place: 2, count: 2 });
  old.publish('1');
  await sleep(400);
  const next = start({ place: 2, count: 2 });
  next.publish('2');
  await old.webhooks.close(100);
  expect(readdirSync(join(spoolDir, 'w2')).length).toBeGreaterThan(0);
  answer();
  await eventually('both are delivered', () => digits.has('1') && digits.has('2'));
  await next.webhooks.close();
  expect(readdirSync(join(spoolDir, 'w2'))).toEqual([]);
});

it('the first worker delivers what is left of one process, and one process what is left of workers', async () => {
  const { spoolDir, start, answer, digits } = await machine();
  const alone = start();
  alone.publish('1');
  const third = start({ place: 3, count: 3 });
  third.publish('3');
  await sleep(400);
  await alone.webhooks.close(100);
  await third.webhooks.close(100);
  answer();
  const first = start({ place: 1, count: 2 });
  await eventually('both are delivered', () => digits.has('1') && digits.has('3'));
  await first.webhooks.close();
  expect(readdirSync(spoolDir).filter((name) => name.endsWith('.events'))).toEqual([]);
  expect(readdirSync(join(spoolDir, 'w3'))).toEqual([]);
});

it('one process delivers what workers have left', async () => {
  const { start, answer, digits } = await machine();
  const second = start({ place: 2, count: 2 });
  second.publish('2');
  await sleep(400);
  await second.webhooks.close(100);
  answer();
  const alone = start();
  await eventually('it is delivered', () => digits.has('2'));
  await alone.webhooks.close();
});

it('each worker has dead letters of its own', async () => {
  const { spoolDir, start } = await machine();
  const first = start({ place: 1, count: 2 });
  first.publish('1');
  const file = join(spoolDir, 'dead.jsonl-w1');
  await eventually('the letter is dead', () => readFileSync(file, 'utf8').includes('"digit":"1"'), 20_000);
  await first.webhooks.close();
});
