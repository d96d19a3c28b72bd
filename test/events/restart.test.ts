import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { postForm, voiceParameters } from '../support/caller.js';
import { type Asked, HOSTILITIES, HostileReceiver } from '../support/hostile.js';
import { SECRET } from '../support/receiver.js';
import { eventually } from '../support/time.js';

const TRUNKLINE = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));

let folder: string;
let spool: string;
let deadLetterFile: string;
const running: Served[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-restart-'));
  spool = join(folder, 'spool');
  deadLetterFile = join(folder, 'dead.jsonl');
});
afterEach(() => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** `trunkline serve`, from `dist`. */
class Served {
  private constructor(
    readonly child: ChildProcess,
    readonly url: string,
    private readonly log: () => string,
  ) {}

  static async start(receiver: HostileReceiver, env: Record<string, string>): Promise<Served> {
    const child = spawn(process.execPath, [TRUNKLINE, 'serve'], {
      env: {
        ...process.env,
        PORT: '0',
        TWILIO_VALIDATE: 'off',
        DRAIN_SECONDS: '0',
        MAX_LOOP_DELAY_MS: '0',
        MAX_CPU_PERCENT: '0',
        EVENTS_WEBHOOK_URL: receiver.url(),
        WEBHOOK_SECRET: SECRET,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    const urlOf = () => /"url":"([^"]+)"[^\n]*"listening"/.exec(text)?.[1];
    await eventually('listening', () => urlOf() !== undefined, 20_000);
    const served = new Served(child, urlOf() as string, () => text);
    running.push(served);
    return served;
  }

  /** Calls that ring: each is an event. */
  async ring(calls: number): Promise<void> {
    const answers = await Promise.all(
      Array.from({ length: calls }, () => postForm(this.url, '/twilio/voice', voiceParameters())),
    );
    for (const answer of answers) expect(await answer.text()).toContain('<Connect>');
  }

  /** Its log and its exit code. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<{ code: number | null; log: string }> {
    const exit = once(this.child, 'close');
    this.child.kill(signal);
    const [code] = await exit;
    return { code, log: this.log() };
  }
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
    it('a gateway that is killed, ended and started again loses no event', async () => {
      const receiver = await HostileReceiver.start(() => HOSTILITIES[name]);
      const env = { EVENTS_SPOOL_DIR: spool, EVENTS_DEAD_LETTER_FILE: deadLetterFile };

      const first = await Served.start(receiver, env);
      await first.ring(40);
      // Within 200 ms, were this machine not busy.
      await eventually('forty events on disk', () => spooled() === 40);
      await first.stop('SIGKILL');

      const second = await Served.start(receiver, env);
      await second.ring(20);
      const { code, log } = await second.stop('SIGTERM');
      expect(code).toBe(0);
      // The calls that rang have ended with the gateway.
      expect(log).toContain('"events":80,"msg":"events wait in the spool for the next start"');
      expect(receiver.taken).toHaveLength(0);

      receiver.heal();
      const third = await Served.start(receiver, env);
      await eventually('all events', () => eventsIn(receiver.taken).join().split(',').length === 80, 20_000);
      expect(eventsIn(receiver.taken).toSorted()).toEqual(
        [...Array(20).fill(WHOLE), ...Array(40).fill('call.started')].toSorted(),
      );
      await third.stop('SIGTERM');
      expect(segments()).toEqual([]);
      expect(readFileSync(deadLetterFile, 'utf8')).toBe('');
    });

    it('a gateway without a spool writes what it cannot deliver to the dead-letter file, or says so', async () => {
      const receiver = await HostileReceiver.start(() => HOSTILITIES[name]);
      const first = await Served.start(receiver, { EVENTS_DEAD_LETTER_FILE: deadLetterFile });
      await first.ring(30);
      expect((await first.stop('SIGTERM')).code).toBe(0);
      const letters = readFileSync(deadLetterFile, 'utf8').trimEnd().split('\n');
      const asked = letters.map((line) => ({ headers: '', body: JSON.parse(line).event }));
      expect(eventsIn(asked)).toEqual(Array(30).fill(WHOLE));

      const second = await Served.start(receiver, {});
      await second.ring(30);
      const { log } = await second.stop('SIGTERM');
      const told = log.split('\n').filter((line) => line.includes('events were not delivered'));
      const lines = told.map((line) => JSON.parse(line) as { level: number; events: number });
      expect(lines.every(({ level }) => level === 50)).toBe(true);
      expect(lines.reduce((sum, { events }) => sum + events, 0)).toBe(60);
    });
  },
);
