import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../support/installed.js';
import { needs } from '../support/needs.js';

const KNOWLEDGE = join(ROOT, 'src/agents/examples/phone-rag/knowledge');
const hasPython = needs(
  'Python 3',
  'apt-get install python3',
  () => spawnSync('python3', ['-c', '']).status === 0,
);

function python(file: string, ...args: string[]): unknown {
  const env = { PATH: process.env.PATH, AGENT_KNOWLEDGE: KNOWLEDGE, AGENT_TRANSFER_TO: '+15551234567' };
  const { stdout, stderr } = spawnSync('python3', ['-B', join(ROOT, file), ...args], {
    encoding: 'utf8',
    env,
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe.runIf(hasPython)('in Python', () => {
  it.each([
    ['When are you open on Saturdays?', 'opening hours', 'On Saturdays we are open from ten until four.'],
    ['How long does a repair take?', 'repairs', 'A standard repair takes two working days.'],
    [
      'How much does it cost to rent a bicycle?',
      'rental',
      'A city bicycle costs fifteen euros a day to rent.',
    ],
    [
      'Can I return something that I bought?',
      'returns',
      'You can return unused goods within thirty days with the receipt.',
    ],
  ])(
    'a search of the example finds the answer to "%s" in the page about %s',
    (question, source, sentence) => {
      const [best] = python('docs/examples/markdown_knowledge.py', KNOWLEDGE, question) as { text: string }[];
      expect(best).toMatchObject({ source });
      expect(best?.text.replace(/\s+/g, ' ')).toContain(sentence);
    },
  );

  it('a search of the example finds nothing where nothing fits', () => {
    expect(python('docs/examples/markdown_knowledge.py', KNOWLEDGE, 'Is it raining in Tokyo?')).toEqual([]);
  });

  it('the Vision Agents agent joins first, greets at phone.answered, searches, clears when interrupted, and obeys keys', () => {
    const did = python('test/support/vision_agents_double.py', join(ROOT, 'docs/examples/vision_agent.py'));
    const phone = 'phone-1';
    expect(did).toEqual([
      ['create_call', 'default', 'call-1'],
      ['join'],
      ['respond', 'Greet the caller.'],
      ['send', { type: 'phone.clear' }],
      ['send', { type: 'phone.transfer', to: '+15551234567', phone }],
      ['send', { type: 'phone.hangup', phone }],
      [
        'search',
        {
          passages: expect.arrayContaining([
            expect.objectContaining({ source: 'opening hours', file: 'opening-hours.md' }),
          ]),
        },
      ],
      ['leave'],
    ]);
  });
});
