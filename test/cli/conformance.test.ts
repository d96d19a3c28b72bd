import { afterEach, expect, it } from 'vitest';
import { trunkline } from '../support/command-line.js';
import { type AgentSettings, TestAgent } from '../support/faulty-agents.js';

const SECRET = 'a-secret-of-the-tests';

const agents: TestAgent[] = [];
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.close()));
});

async function conformance(settings: AgentSettings, ...flags: string[]) {
  const agent = await TestAgent.start(settings);
  agents.push(agent);
  return trunkline(['conformance', agent.url, ...flags], { WEBHOOK_SECRET: SECRET });
}

it('explains itself', async () => {
  const { code, stdout } = await trunkline(['conformance', '--help']);
  expect(code).toBe(0);
  for (const flag of ['--secret', '--rate', '--keys', '--timeout', '--limit', '--checks', '--json']) {
    expect(stdout).toContain(flag);
  }
});

it('lists its checks', async () => {
  const { code, stdout } = await trunkline(['conformance', '--checks']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^barge-in +Sends clear within 300 ms when the caller interrupts it\.$/m);
});

it('prints a line a check and a total, and exits with 0', async () => {
  const { code, stdout } = await conformance({ secret: SECRET }, '--checks', 'upgrade,signature,keys');
  expect(stdout).toBe(
    [
      '✓ upgrade        It accepted the call with the subprotocol trunkline.leg',
      '✓ signature      It refused four calls with a wrong signature or none',
      '- keys           No --keys were given',
      '2 passed, 0 failed, 1 not applicable.',
      '',
    ].join('\n'),
  );
  expect(code).toBe(0);
});

it('says how to mend what failed, and exits with 1', async () => {
  const { code, stdout } = await conformance({ fault: 'accepts any signature' }, '--checks', 'signature');
  expect(stdout).toMatch(/^✗ signature +It accepted a call signed by another secret\n +Verify the header /);
  expect(stdout).toContain('0 passed, 1 failed, 0 not applicable.');
  expect(code).toBe(1);
});

it('prints JSON', async () => {
  const { code, stdout } = await conformance(
    { secret: 'of-somebody-else-entirely' },
    '--json',
    '--checks',
    'upgrade',
  );
  expect(JSON.parse(stdout)).toMatchObject({
    ok: false,
    rate: 16_000,
    findings: [{ check: 'upgrade', result: 'failed', saw: 'It answered 401' }],
  });
  expect(code).toBe(1);
});

it('reports an agent that is not there as one failure', async () => {
  const agent = await TestAgent.start();
  const { url } = agent;
  await agent.close();
  const { code, stdout } = await trunkline(['conformance', url]);
  expect(stdout).toMatch(/^✗ upgrade +connect ECONNREFUSED /m);
  expect(stdout).toMatch(/^0 passed, 1 failed, \d+ not applicable\.$/m);
  expect(code).toBe(1);
});

it.each([
  [['http://127.0.0.1/'], 'Expected a ws: or wss: URL for the agent but received "http://127.0.0.1/"'],
  [[], 'Expected a ws: or wss: URL for the agent but received undefined'],
  [['ws://127.0.0.1:1', '--checks', 'manners'], 'but received "manners"'],
  [['ws://127.0.0.1:1', '--rate', '44100'], 'Expected 8000, 16000, 24000, 48000.'],
  [['ws://127.0.0.1:1', '--keys', 'x'], 'Expected up to 16 of 0-9 * # A-D.'],
])('rejects %j in one line', async (args, text) => {
  const { code, stdout, stderr } = await trunkline(['conformance', ...args]);
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toContain(text);
  expect(stderr).not.toContain('    at ');
});
