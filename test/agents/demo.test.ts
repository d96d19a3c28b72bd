import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { runAgentDemo } from '../../src/cli/demo-agent.js';
import { Shell } from '../../src/cli/shell.js';
import { GREETING, UNKNOWN } from '../../src/model-simulator/index.js';
import { clock, virtualTime } from '../support/time.js';

virtualTime();

const FLAGS = { bridge: 'local', calls: 1, seconds: 8, agent: true } as const;

/** Runs the demo with a model that behaves like this. */
async function demoWith(
  simulated: Parameters<typeof runAgentDemo>[2],
  flags: Parameters<typeof runAgentDemo>[0] = FLAGS,
  env: Record<string, string> = {},
) {
  let out = '';
  const stdout = new Writable({
    write(chunk, _, done) {
      out += chunk;
      done();
    },
  });
  const ok = await runAgentDemo(flags, new Shell({ stdout, stderr: stdout, env }), {
    clock,
    ...simulated,
  });
  return { ok, out };
}

describe('trunkline demo --agent', () => {
  it('has two spoken questions answered from the knowledge base', async () => {
    const { ok, out } = await demoWith({});
    expect(out).toContain(
      'On Saturdays we are open from ten until four. That is in our page about opening hours.',
    );
    expect(out).toContain(
      'A city bicycle costs fifteen euros a day to rent. That is in our page about rental.',
    );
    expect(ok).toBe(true);
  });

  it('as JSON says what was heard, and how long the caller waited', async () => {
    const { ok, out } = await demoWith({}, { ...FLAGS, json: true });
    const { answers, faults } = JSON.parse(out);
    expect([ok, faults]).toEqual([true, []]);
    expect(answers.map(({ heard }: { heard: string[] }) => heard[0])).toEqual([
      GREETING,
      'On Saturdays we are open from ten until four.',
      'A city bicycle costs fifteen euros a day to rent.',
    ]);
    for (const { afterMs } of answers) expect(afterMs).toBeLessThan(5_000);
  });

  it('fails if the model cannot be reached, and takes no ringback for a greeting', async () => {
    const env = { OPENAI_API_KEY: 'sk-test', OPENAI_BASE_URL: 'http://127.0.0.1:1' };
    const { ok, out } = await demoWith({}, FLAGS, env);
    expect(ok).toBe(false);
    expect(out).toContain('no answer to "the greeting"');
    expect(out).toContain('FAILED: ');
  });

  it.each([
    ['says that it does not know', { reply: () => ({ say: [UNKNOWN] }) }],
    ['says nothing', { reply: () => ({}) }],
    [
      'answers another question',
      { reply: () => ({ say: ['A puncture is mended while you wait, for twelve euros.'] }) },
    ],
    ['refuses the key', { faults: { refusal: 401 } }],
  ])('fails if the model %s', async (_, simulated) => {
    const { ok, out } = await demoWith(simulated);
    expect(ok).toBe(false);
    expect(out).toContain('FAILED: ');
  });
});
