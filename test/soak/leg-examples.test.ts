import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { startWithCarrier } from '../support/carrier.js';
import { KEY, legUrl } from '../support/leg.js';
import { tone } from '../support/media.js';
import { needs } from '../support/needs.js';
import { eventually } from '../support/time.js';

const CONVERSATION_MS = 60_000;
/** A machine that is busy with other tests makes no holes this long. */
const LEAD_MS = 300;
const DEJITTER_MS = 200;

const EXAMPLES = {
  'agent.ts': [process.execPath, '--import', 'tsx'],
  'agent.py': ['/usr/bin/python3'],
} as const;
type Example = keyof typeof EXAMPLES;

const pathOf = (example: Example) =>
  fileURLToPath(new URL(`../../docs/examples/${example}`, import.meta.url));

const hasPython = needs(
  'websockets for Python',
  'apt-get install python3-websockets',
  () => spawnSync('/usr/bin/python3', ['-c', 'import websockets']).status === 0,
);

const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** The example as a process of its own, and what it printed: the events it was told. */
function startAgent(example: Example, url: string) {
  const [program, ...args] = EXAMPLES[example];
  const child = spawn(program as string, [...args, pathOf(example), url], {
    env: { PATH: process.env.PATH, CONTROL_API_KEY: KEY },
  });
  children.push(child);
  const agent = { child, printed: '', errors: '' };
  child.stdout.on('data', (text) => {
    agent.printed += text;
  });
  child.stderr.on('data', (text) => {
    agent.errors += text;
  });
  return agent;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const isHearing = (phone: SimulatedPhone) => phone.ear.soundUntil > performance.now();

/** Says something, hears it again, says something else and interrupts the answer; over and over. */
async function converse(phone: SimulatedPhone): Promise<{ answers: number; bargeIns: number[] }> {
  const question = new AudioSource('question', tone(600, 8_000, 8_000, 8_000));
  const objection = new AudioSource('objection', tone(900, 8_000, 3_200, 8_000));
  const bargeIns: number[] = [];
  let answers = 0;
  const end = performance.now() + CONVERSATION_MS;
  while (performance.now() < end) {
    await phone.say(question);
    await eventually('an answer', () => isHearing(phone), 10_000);
    answers += 1;
    if (answers % 2 === 0) {
      await sleep(300);
      const interrupted = performance.now();
      const cleared = once(phone, 'clear');
      const said = phone.say(objection);
      await cleared;
      bargeIns.push(performance.now() - interrupted);
      expect(isHearing(phone), 'nothing is heard after the clear').toBe(false);
      await said;
      await eventually('an answer to the objection', () => isHearing(phone), 10_000);
    }
    await eventually('silence', () => !isHearing(phone), 10_000);
    // The pause at the end of an answer is part of it.
    await sleep(900);
  }
  return { answers, bargeIns: bargeIns.sort((a, b) => a - b) };
}

it.each(['agent.ts', 'agent.py'] as const)('%s has at most 40 lines', (example) => {
  expect(readFileSync(pathOf(example), 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(40);
});

const examples = (['agent.ts', 'agent.py'] as const).filter((name) => name !== 'agent.py' || hasPython);

it('both hold a conversation for a minute, and can be interrupted at once', {
  timeout: 120_000,
}, async () => {
  const { url, twilio, gateway } = await startWithCarrier({}, { controlApiKey: KEY, leadMs: LEAD_MS });
  const calls = [];
  for (const example of examples) {
    const called = once(gateway, 'call');
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
      dejitterMs: DEJITTER_MS,
      listens: true,
    });
    const [{ callId }] = await called;
    const agent = startAgent(example, legUrl(url, `call:${callId}`));
    await eventually('the agent', () => agent.printed.includes('"ready"'), 15_000).catch((error) => {
      throw new Error(`${error.message}: ${agent.errors}`);
    });
    calls.push({ example, phone, agent });
  }
  await Promise.all(
    calls.map(async ({ example, phone, agent }) => {
      const { answers, bargeIns } = await converse(phone);
      const report = phone.report();
      const exited = once(agent.child, 'exit');
      await phone.hangUp();
      expect(await exited, agent.errors).toEqual([0, null]);
      const median = bargeIns[bargeIns.length >> 1] as number;
      console.log(
        `${example}: ${answers} answers, ${bargeIns.length} interruptions, silent after ${median.toFixed(0)} ms ` +
          `(median; worst ${bargeIns.at(-1)?.toFixed(0)}), lead at most ${report?.playout.maxLeadMs.toFixed(0)} ms, ` +
          `${report?.playout.underruns} underruns`,
      );
      expect(answers).toBeGreaterThan(8);
      const { underruns = 0, underrunMs = 0 } = report?.playout ?? {};
      const stalledMs = gateway.stats().latency.eventLoopDelay.maxUs / 1_000;
      // A hole no longer than this process stood still, phones included, is the machine's.
      if (stalledMs < DEJITTER_MS) expect(underruns, 'underruns').toBe(0);
      else
        expect(underrunMs, `holes, with a stall of ${stalledMs} ms`).toBeLessThanOrEqual(
          underruns * stalledMs,
        );
      expect(report?.playout.maxLeadMs, 'lead').toBeLessThanOrEqual(LEAD_MS + DEJITTER_MS + 20);
      expect(report?.playout.clears).toBe(bargeIns.length);
      expect(median, 'from the first word of an interruption to silence').toBeLessThanOrEqual(40 + LEAD_MS);
      expect(agent.printed).toContain('"cleared"');
    }),
  );
  expect(gateway.stats().traffic).toMatchObject({ droppedLead: 0, droppedBackpressure: 0 });
});
