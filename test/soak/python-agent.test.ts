import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { examineAgent } from '../../src/conformance/conformance.js';
import { AudioSource } from '../../src/simulator/index.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { KEY, legUrl } from '../support/leg.js';
import { tone } from '../support/media.js';
import { needs } from '../support/needs.js';
import { eventually } from '../support/time.js';

const SECRET = 'a-secret-of-the-tests';
const DEJITTER_MS = 200;

const hasPython = needs(
  'websockets for Python',
  'apt-get install python3-websockets',
  () => spawnSync('/usr/bin/python3', ['-c', 'import websockets']).status === 0,
);

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

const PYTHON_ENVIRONMENT = { PYTHONPATH: path('src/agents/python'), PYTHONDONTWRITEBYTECODE: '1' };

const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** The example that stands on the client, as a process of its own. */
async function startAgent() {
  const child = spawn('/usr/bin/python3', [path('docs/examples/served_agent.py'), '0'], {
    env: { ...PYTHON_ENVIRONMENT, WEBHOOK_SECRET: SECRET },
  });
  children.push(child);
  const agent = { url: '', printed: '', errors: '' };
  child.stdout.on('data', (text) => {
    agent.printed += text;
  });
  child.stderr.on('data', (text) => {
    agent.errors += text;
  });
  await eventually('the agent', () => /listening on \d+/.test(agent.printed), 15_000);
  agent.url = `ws://127.0.0.1:${/listening on (\d+)/.exec(agent.printed)?.[1]}`;
  return agent;
}

describe.runIf(hasPython)('an agent on the client for Python', () => {
  it('answers a phone, is interrupted, learns what was heard, and of the end', async () => {
    const agent = await startAgent();
    const { twilio } = await startWithCarrier({}, { agent: agent.url, agents: { secret: SECRET } });
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
      dejitterMs: DEJITTER_MS,
      listens: true,
    });
    await phone.started;
    await eventually('joined', () => agent.printed.includes("'joined'"), 10_000);
    const isHearing = () => phone.ear.soundUntil > performance.now();
    await phone.say(new AudioSource('question', tone(600, 8_000, 8_000, 8_000)));
    await eventually('an answer', isHearing, 10_000);
    await eventually('the mark', () => /'name': 'answer-1', 'place': 'heard'/.test(agent.printed), 20_000);

    await phone.say(new AudioSource('long question', tone(600, 24_000, 8_000, 8_000)));
    await eventually('another answer', isHearing, 10_000);
    const cleared = once(phone, 'clear');
    await phone.say(new AudioSource('objection', tone(900, 8_000, 3_200, 8_000)));
    await cleared;
    await eventually('the answer to clear', () => agent.printed.includes('interrupted after'), 10_000);
    const [, playedMs] = /interrupted after ([\d.]+) ms/.exec(agent.printed) ?? [];
    const [, firstMs] = /'answer-1', 'place': 'heard', 'playedMs': ([\d.]+)/.exec(agent.printed) ?? [];
    // All of the first answer, and a part of the second.
    expect(Number(playedMs)).toBeGreaterThan(Number(firstMs));
    expect(Number(playedMs)).toBeLessThan(Number(firstMs) + 3_500);
    await eventually(
      'the second mark',
      () => /'name': 'answer-2', 'place': 'cleared'/.test(agent.printed),
      10_000,
    );

    await phone.hangUp();
    await eventually('left', () => agent.printed.includes("'left'"), 10_000);
    expect(agent.errors).toBe('');
  });

  it('joins a room, says something and hears what became of it', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const program = `
import asyncio, sys, trunkline_agent
async def main():
    async with trunkline_agent.join(sys.argv[1], sys.argv[2]) as call:
        print(call.room, call.rate, call.facts, call.is_resumed)
        await call.send(bytes(2 * call.send_rate))
        await call.mark("said")
        async for event in call:
            print(event["type"], event["place"])
            break
        print(call.sent_ms)
asyncio.run(main())`;
    const child = spawn('/usr/bin/python3', ['-c', program, legUrl(url, 'desk', '?rate=8000'), KEY], {
      env: PYTHON_ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const printed = await text(child.stdout);
    expect(printed.split('\n')).toEqual(['desk 8000 None False', 'mark sent', '1000.0', '']);
  });

  it('passes every check of conformance', async () => {
    const agent = await startAgent();
    const limits = { timeoutMs: 10_000, limitMs: 60_000 };
    const options = { url: agent.url, rate: 16_000, secret: SECRET, ...limits, clock: systemClock } as const;
    const findings = await examineAgent(options);
    const odd = findings.filter(({ check, result }) => result !== 'passed' && check !== 'keys');
    expect(odd, agent.errors).toEqual([]);
  });
});
