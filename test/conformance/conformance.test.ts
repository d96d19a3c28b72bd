import { afterEach, expect, it } from 'vitest';
import { serveAgent } from '../../src/agents/serve-agent.js';
import { AGENT_CHECKS, type AgentFinding, examineAgent } from '../../src/conformance/conformance.js';
import type { ExaminationOptions } from '../../src/conformance/examination.js';
import { type AgentFault, type AgentSettings, TestAgent } from '../support/faulty-agents.js';
import { clock, virtualTime } from '../support/time.js';

virtualTime();

const SECRET = 'a-secret-of-the-tests';

const agents: TestAgent[] = [];
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.close()));
});

async function examine(
  settings: AgentSettings,
  options: Partial<ExaminationOptions> = {},
  checks = AGENT_CHECKS,
): Promise<AgentFinding[]> {
  const agent = await TestAgent.start(settings);
  agents.push(agent);
  const all = { url: agent.url, secret: settings.secret, keys: '1', clock, ...options };
  return examineAgent({ rate: 16_000, timeoutMs: 5_000, limitMs: 60_000, ...all }, checks);
}

it.each<[string, AgentSettings, Partial<ExaminationOptions>]>([
  ['answers at once', {}, {}],
  ['answers in real time', { paced: true }, {}],
  ['echoes', { echoes: true }, {}],
  ['greets', { greets: true }, {}],
  ['thinks for three seconds', { thinksMs: 3_000 }, {}],
  ['sends silence between its answers', { hisses: true, paced: true }, {}],
  ['speaks in sentences with pauses', { sentences: 2, pauseMs: 600, paced: true }, {}],
  ['talks for ten seconds', { sentences: 3, pauseMs: 400 }, {}],
  ['hears 8 kHz', { paced: true, pauseMs: 300 }, { rate: 8_000 }],
  ['hears 24 kHz', { paced: true, greets: true }, { rate: 24_000 }],
  ['hears 48 kHz', { echoes: true }, { rate: 48_000 }],
])('passes an agent that %s', async (_, settings, options) => {
  const findings = await examine({ secret: SECRET, ...settings }, options);
  expect(findings.filter(({ result }) => result !== 'passed')).toEqual([]);
});

it.each<[AgentFault, string, AgentSettings?]>([
  ['odd pieces', 'samples'],
  ['big endian', 'samples'],
  ['no clear', 'barge-in'],
  ['late clear', 'barge-in'],
  ['audio after clear', 'stale-audio'],
  ['late marks', 'marks'],
  ['early marks', 'marks'],
  ['no marks', 'marks'],
  ['one name for all marks', 'marks'],
  ['flood', 'limits'],
  ['huge message', 'limits'],
  ['echo at another rate', 'rate', { echoes: true }],
  ['voice at another rate', 'rate'],
  ['voice at one rate', 'rate'],
  ['stream at another rate', 'rate'],
  ['no reconnect', 'reconnect'],
  ['deaf after reconnect', 'reconnect'],
  ['no pongs', 'pings'],
  ['accepts any signature', 'signature'],
  ['refuses with 500', 'signature'],
  ['mixes calls', 'two-calls'],
  ['gaps', 'pace'],
  ['minutes at once', 'backlog'],
  ['invalid JSON', 'commands'],
  ['never closes', 'ending'],
  ['never answers', 'answer'],
  ['subprotocol of its own', 'upgrade'],
  ['ignores keys', 'keys'],
])('finds "%s" by the check %s', async (fault, check, settings = {}) => {
  const checks = AGENT_CHECKS.filter(({ name }) => name === check);
  const findings = await examine({ secret: SECRET, fault, ...settings }, {}, checks);
  expect(findings).toMatchObject([{ check, result: 'failed' }]);
});

it('finds no fault with an agent that hangs up after its answer', async () => {
  const findings = await examine({ secret: SECRET, hangsUp: true });
  expect(findings.filter(({ result }) => result === 'failed')).toEqual([]);
  expect(findings.filter(({ result }) => result === 'passed').length).toBeGreaterThan(10);
});

it('passes an agent on the client for TypeScript', async () => {
  const server = await serveAgent({}, (call) => {
    let heard: Int16Array[] = [];
    let quiet = 0;
    let answers = 0;
    let isSpeaking = false;
    call.on('audio', (pcm) => {
      const isLoud = pcm.reduce((sum, sample) => sum + sample * sample, 0) > 1e6 * pcm.length;
      if (isLoud && isSpeaking) void call.clear();
      quiet = isLoud ? 0 : quiet + 1;
      if (isLoud || (heard.length > 0 && quiet < 25)) {
        isSpeaking = false;
        heard.push(pcm.slice());
      } else if (heard.length > 0) {
        for (const frame of heard) call.send(frame);
        heard = [];
        isSpeaking = true;
        answers += 1;
        void call.mark(`answer-${answers}`).then(() => {
          isSpeaking = false;
        });
      }
    });
    call.on('key', () => call.send(new Int16Array(call.sendRate).fill(3_000)));
  });
  try {
    const options = { rate: 16_000, timeoutMs: 5_000, limitMs: 60_000, keys: '1', clock } as const;
    const findings = await examineAgent({ ...options, url: server.url });
    expect(findings.filter(({ result }) => result !== 'passed')).toMatchObject([{ check: 'signature' }]);
  } finally {
    await server.close();
  }
});
