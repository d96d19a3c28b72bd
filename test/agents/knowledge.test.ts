import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AgentCall } from '../../src/agents/agent-call.js';
import { knowledgeTool, loadKnowledge } from '../../src/agents/knowledge.js';
import { readPages } from '../../src/agents/knowledge-folder.js';
import { sectionsOf, sourceOf } from '../../src/agents/section.js';
import { startGateway } from '../support/gateway.js';

let folder = '';
let warnings: { readonly facts: Record<string, unknown>; readonly message: string }[] = [];
const log = {
  warn: (facts: object, message: string) => {
    warnings.push({ facts: facts as Record<string, unknown>, message });
  },
} as NonNullable<Parameters<typeof loadKnowledge>[1]>['log'] & object;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trunkline-knowledge-'));
  warnings = [];
});
afterEach(() => rm(folder, { recursive: true }));

async function write(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), text);
  }
}

describe('a page', () => {
  const sections = (text: string, file = 'page.md') =>
    sectionsOf({ file, text }).map(({ title, heading, text }) => ({ title, heading, text }));

  it('becomes sections that know their title, their headings and their text', () => {
    const page =
      '# Prices\n\nAll with tax.\n\n## Tyres\n\nA tyre.\n\n### Winter\n\nDearer.\n\nMuch dearer.\n\n## Bells\n\nFree.\n';
    expect(sections(page)).toEqual([
      { title: 'Prices', heading: '', text: 'All with tax.' },
      { title: 'Prices', heading: 'Tyres', text: 'A tyre.' },
      { title: 'Prices', heading: 'Tyres > Winter', text: 'Dearer.\nMuch dearer.' },
      { title: 'Prices', heading: 'Bells', text: 'Free.' },
    ]);
  });

  it('loses the marks of Markdown, its front matter and its comments', () => {
    const page = `---
draft: # no heading
---
Title
=====

<!-- to do: ask Anna -->
We mend **all** [makes](https://example.com/makes), ![a bicycle](b.png)
and \`BMX\` ones.

- one *first*
  - nested
- two

| work | price |
|---|---|
| chain | 35 euros |

\`\`\`
# not a heading
\`\`\`
`;
    expect(sections(page)).toEqual([
      {
        title: 'Title',
        heading: '',
        text: 'We mend all makes, a bicycle and BMX ones.\none first nested\ntwo\nwork: chain; price: 35 euros\n# not a heading',
      },
    ]);
  });

  it('without a heading is titled by its file', () => {
    expect(sections('Fifteen euros.', 'shop/rental_prices.md')).toEqual([
      { title: 'rental prices', heading: '', text: 'Fifteen euros.' },
    ]);
  });

  it('is cut between paragraphs, and a long paragraph between sentences', () => {
    const sentence = 'A bicycle that stands in the rain all winter needs a new chain in spring. ';
    const texts = sections(`${sentence.repeat(40)}\n\n${sentence.repeat(5)}\n\n${sentence.repeat(5)}`).map(
      ({ text }) => text,
    );
    expect(texts.length).toBeGreaterThan(4);
    for (const text of texts) {
      expect(text.length).toBeLessThanOrEqual(1_200);
      expect(text.startsWith('A bicycle')).toBe(true);
      expect(text.endsWith('spring.')).toBe(true);
    }
    expect(texts.join(' ').split('spring.').length - 1).toBe(50);
  });

  it('that is one endless word is cut all the same', () => {
    const texts = sections('x'.repeat(5_000)).map(({ text }) => text);
    expect(texts.join('')).toBe('x'.repeat(5_000));
    expect(Math.max(...texts.map(({ length }) => length))).toBeLessThanOrEqual(1_200);
  });

  it.each([
    ['opening-hours.md', 'opening hours'],
    ['shop/02_spare parts.markdown', 'spare parts'],
    ['shop/rental/README.md', 'rental'],
    ['README.md', 'README'],
    ['2025.md', '2025'],
  ])('%s is spoken of as "%s"', (file, source) => expect(sourceOf(file)).toBe(source));
});

describe('a folder', () => {
  const filesOf = async () => {
    const skipped: string[] = [];
    const pages = await readPages(folder, (file) => skipped.push(file));
    return { files: pages.map(({ file }) => file), skipped };
  };
  const code = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) });

  it('has its Markdown files read, in subfolders too, but no hidden and no other ones', async () => {
    await write({
      'b.md': 'b',
      'a/c.MARKDOWN': 'c',
      '.git/x.md': 'x',
      '.hidden.md': 'x',
      'notes.txt': 'x',
    });
    expect(await filesOf()).toEqual({ files: ['a/c.MARKDOWN', 'b.md'], skipped: [] });
  });

  it('follows links within it, each file once, and none that lead out or in circles', async () => {
    // As Kubernetes mounts a ConfigMap.
    await write({ 'shop/..2026/hours.md': 'nine to six', 'elsewhere/secret.md': 'secret' });
    const base = folder;
    folder = join(base, 'shop');
    await symlink('..2026', join(folder, '..data'));
    await symlink('..data/hours.md', join(folder, 'hours.md'));
    await symlink('hours.md', join(folder, 'same.md'));
    await symlink('../elsewhere', join(folder, 'out'));
    await symlink('../elsewhere/secret.md', join(folder, 'secret.md'));
    await symlink('nowhere.md', join(folder, 'dangling.md'));
    try {
      expect(await filesOf()).toEqual({ files: ['hours.md'], skipped: ['dangling.md', 'out', 'secret.md'] });
      await mkdir(join(folder, 'inner'));
      await symlink('.', join(folder, 'circle'));
      await symlink('.', join(folder, 'inner/circle'));
      expect((await filesOf()).files).toEqual(['hours.md']);
    } finally {
      folder = base;
    }
  });

  it('that is missing, or a file, is an error', async () => {
    await write({ 'a.md': 'a' });
    const wrong = code(
      'GW_KNOWLEDGE_FOLDER',
      /^Expected a readable folder for the knowledge base but received "/,
    );
    await expect(loadKnowledge(join(folder, 'nowhere'))).rejects.toEqual(wrong);
    await expect(loadKnowledge(join(folder, 'a.md'))).rejects.toEqual(wrong);
  });

  it('that is missing keeps a gateway from starting', async () => {
    const started = startGateway({ agents: { knowledge: join(folder, 'nowhere') } });
    await expect(started).rejects.toMatchObject({ code: 'GW_KNOWLEDGE_FOLDER' });
  });

  it('without Markdown, or without text in it, is an error', async () => {
    const empty = code('GW_KNOWLEDGE_EMPTY', /in the knowledge folder/);
    await expect(loadKnowledge(folder)).rejects.toEqual(empty);
    await write({ 'a.md': '# Only a heading\n' });
    await expect(loadKnowledge(folder)).rejects.toEqual(empty);
  });

  it('with a file that is not UTF-8 is an error that names the file', async () => {
    await write({ 'a.md': 'a', 'latin.md': Buffer.from('Öffnungszeiten', 'latin1') });
    await expect(loadKnowledge(folder)).rejects.toEqual(code('GW_KNOWLEDGE_FILE', /"latin\.md"/));
  });

  it.each([
    ['a large file', { 'large.md': 'x'.repeat(512 * 1024 + 1) }],
    ['deep folders', { [`${'d/'.repeat(9)}deep.md`]: 'x' }],
    [
      'many bytes',
      Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`${i}.md`, 'x'.repeat(512 * 1024)])),
    ],
    ['many files', Object.fromEntries(Array.from({ length: 2_001 }, (_, i) => [`${i}.md`, 'x']))],
  ])('with %s is refused', async (_, files) => {
    await write(files);
    await expect(loadKnowledge(folder)).rejects.toEqual(
      code('GW_KNOWLEDGE_TOO_LARGE', /^Expected at most \d+ /),
    );
  });
});

const SHOP = fileURLToPath(new URL('../../src/agents/examples/phone-rag/knowledge', import.meta.url));

describe('a search by words', () => {
  it.each([
    ['When are you open on Saturdays?', 'opening-hours.md', 'On Saturdays we are open from ten until four.'],
    ['Are you closed on Sunday?', 'opening-hours.md', 'We are closed on Sundays and on public holidays.'],
    ['How long does a repair take?', 'repairs.md', 'A standard repair takes two working days.'],
    ['how long do repairs take', 'repairs.md', 'A standard repair takes two working days.'],
    [
      'what does it cost to mend a punctur',
      'repairs.md',
      'A puncture is mended while you wait, for twelve euros.',
    ],
    [
      'How much does it cost to rent a bicycle?',
      'rental.md',
      'A city bicycle costs fifteen euros a day to rent.',
    ],
    [
      'do i get a helmet with the rental',
      'rental.md',
      'A helmet and a lock are included in the rental price.',
    ],
    [
      'Can I return something that I bought?',
      'returns.md',
      'You can return unused goods within thirty days with the receipt.',
    ],
    [
      'when do i get my refund',
      'returns.md',
      'A refund goes back to the card that you paid with within five days.',
    ],
  ])('finds the answer to "%s" in %s', async (question, file, sentence) => {
    const knowledge = await loadKnowledge(SHOP);
    const [best] = await knowledge.search(question);
    expect(best).toMatchObject({ file, text: expect.stringContaining(sentence) });
  });

  it.each(['What is the weather in Tokyo?', 'hello, could you please help me?', '', '?!'])(
    'finds nothing for "%s"',
    async (question) => {
      const knowledge = await loadKnowledge(SHOP);
      expect(await knowledge.search(question)).toEqual([]);
    },
  );

  it.each([
    ['other endings of a word', 'repairing', 'We repaired hundreds.'],
    ['longer words that begin alike', 'rent', 'Rental bicycles are blue.'],
    ['words with a spelling mistake', 'hellmet', 'A helmet is included.'],
    ['words without their accents', 'Öl', 'The OL is by the brakes.'],
  ])('finds %s', async (_, question, text) => {
    await write({ 'a.md': text, 'b.md': 'Something else.' });
    expect(await (await loadKnowledge(folder)).search(question)).toMatchObject([{ text }]);
  });

  it('takes a word that occurs as it is spelt', async () => {
    await write({ 'a.md': 'Leather saddles.', 'b.md': 'Cycling in bad weather.' });
    const found = await (await loadKnowledge(folder)).search('leather');
    expect(found.map(({ file }) => file)).toEqual(['a.md']);
  });

  it('prefers a text with the answer to a title alone', async () => {
    await write({ 'a.md': '# Repair\n\nWe love bicycles.', 'b.md': '# Prices\n\nA repair costs ten euros.' });
    const found = await (await loadKnowledge(folder)).search('What does a repair cost?');
    expect(found.map(({ file }) => file)).toEqual(['b.md', 'a.md']);
  });

  it('finds the same in a large knowledge base, and lets other work in between', async () => {
    const filler = Array.from(
      { length: 2_500 },
      (_, i) => `## Part ${i}\n\nA part in drawer ${i % 50}.\n`,
    ).join('\n');
    await write({ 'parts.md': filler, 'hours.md': 'On Saturdays we open at ten.' });
    const knowledge = await loadKnowledge(folder);
    expect(knowledge.size).toBe(2_501);
    let turns = 0;
    const work = setImmediate(function again() {
      turns += 1;
      if (turns < 100) setImmediate(again);
    });
    const [best] = await knowledge.search('When do you open on Saturday?');
    clearImmediate(work);
    expect(best?.file).toBe('hours.md');
    expect(turns).toBeGreaterThan(0);
  });

  it('gives as many passages as asked for, the best first', async () => {
    const knowledge = await loadKnowledge(SHOP);
    const found = await knowledge.search('bicycle', 5);
    expect(found.length).toBe(5);
    const scores = found.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect((await knowledge.search('bicycle', 1))[0]).toEqual(found[0]);
  });

  it('is not held up by a question of any length', async () => {
    const knowledge = await loadKnowledge(SHOP);
    expect((await knowledge.search(`Saturday ${'y'.repeat(100_000)}`))[0]?.file).toBe('opening-hours.md');
    await knowledge.search('repair '.repeat(10_000));
  });

  it('answers from the new files after a reload, and from the old ones when that fails', async () => {
    await write({ 'a.md': 'We open at nine.' });
    const knowledge = await loadKnowledge(folder);
    await write({ 'a.md': 'We open at ten.' });
    await knowledge.reload();
    const answer = async () => (await knowledge.search('When do you open?')).map(({ text }) => text);
    expect(await answer()).toEqual(['We open at ten.']);
    await rename(join(folder, 'a.md'), join(folder, 'a.txt'));
    await expect(knowledge.reload()).rejects.toMatchObject({ code: 'GW_KNOWLEDGE_EMPTY' });
    expect(await answer()).toEqual(['We open at ten.']);
  });

  it('reads the folder once for reloads at the same time', async () => {
    await write({ 'a.md': 'We open at nine.' });
    let asked = 0;
    const embed = async (texts: readonly string[]) => {
      asked += 1;
      return texts.map(() => [1]);
    };
    const knowledge = await loadKnowledge(folder, { embed });
    await Promise.all([knowledge.reload(), knowledge.reload()]);
    expect(asked).toBe(2);
  });

  it('warns of a link that leads out of the folder', async () => {
    await write({ 'a.md': 'We open at nine.' });
    await symlink(SHOP, join(folder, 'shop'));
    await loadKnowledge(folder, { log });
    expect(warnings).toMatchObject([
      { facts: { file: 'shop' }, message: expect.stringContaining('out of the folder') },
    ]);
  });
});

describe('the tool of a model', () => {
  const call = {} as AgentCall;

  it('answers with passages that name their sources as they are spoken of', async () => {
    const tool = knowledgeTool(await loadKnowledge(SHOP));
    expect(tool).toMatchObject({ name: 'search_knowledge', parameters: { required: ['query'] } });
    const answer = await tool.run({ query: 'When are you open on Saturdays?' }, call);
    expect(answer).toMatchObject({
      passages: [
        {
          source: 'opening hours',
          file: 'opening-hours.md',
          heading: 'Shop and workshop',
          text: expect.stringContaining('On Saturdays we are open from ten until four.'),
        },
        {},
        {},
      ],
    });
  });

  it('answers with no passages if nothing fits, or if the model asks in another way', async () => {
    const tool = knowledgeTool(await loadKnowledge(SHOP));
    for (const args of [{ query: 'What is the weather in Tokyo?' }, { query: '' }, { query: 7 }, {}])
      expect(await tool.run(args, call)).toEqual({ passages: [] });
  });

  it('tells the model what the pages are about, after a reload too, and no more than fits', async () => {
    await write({ 'hours.md': 'We open at nine.' });
    const knowledge = await loadKnowledge(folder);
    const tool = knowledgeTool(knowledge);
    expect(tool.description).toContain('about: hours.');
    await write(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`page-${i}-of-many.md`, 'text'])));
    await knowledge.reload();
    expect(tool.description).toMatch(/about: hours, page 0 of many, .* and \d+ more\./);
    expect(tool.description.length).toBeLessThan(800);
  });
});
