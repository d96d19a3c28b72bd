import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Embed, openaiEmbeddings } from '../../src/agents/embeddings.js';
import { type KnowledgeOptions, loadKnowledge } from '../../src/agents/knowledge.js';
import { OpenAiEmbeddings, refuse } from '../support/openai-embeddings.js';
import { clock, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'sk-of-the-double';
/** None of these words begins as another does, so that words alone do not find the answer. */
const MEANINGS = [
  ['mutt', 'dog', 'dogs', 'pooch'],
  ['lost', 'misplaced'],
  ['tram', 'directions'],
];

let folder = '';
let double: OpenAiEmbeddings;
let warnings: string[] = [];
const log = {
  warn: ({ err }: { err?: Error }, message: string) => {
    warnings.push(`${message}: ${err?.message}`);
  },
} as unknown as NonNullable<KnowledgeOptions['log']>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trunkline-embeddings-'));
  double = await OpenAiEmbeddings.start(KEY, MEANINGS);
  warnings = [];
  await writeFile(join(folder, 'pets.md'), 'Dogs are welcome in the shop.');
  await writeFile(join(folder, 'found.md'), 'Misplaced gloves wait at the counter.');
  await writeFile(join(folder, 'way.md'), 'Tram 4 stops in front of the door.');
});
afterEach(async () => {
  double.close();
  await rm(folder, { recursive: true });
});

const embeddings = (options: { key?: string; model?: string } = {}): Embed =>
  openaiEmbeddings({ key: KEY, baseUrl: new URL(double.url).origin, clock, ...options });
const load = (options: KnowledgeOptions = {}) =>
  loadKnowledge(folder, { embed: embeddings(), log, clock, ...options });
const busy = (status: number, headers: Record<string, string> = {}) => {
  return (response: Parameters<typeof refuse>[0]) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    refuse(response, status, 'server_error', null, 'busy');
  };
};

describe('a search with embeddings', () => {
  it('finds by meaning what shares no word with the question', async () => {
    const words = await loadKnowledge(folder);
    expect(await words.search('May my mutt come along?')).toEqual([]);
    const knowledge = await load();
    expect(await knowledge.search('May my mutt come along?')).toMatchObject([{ file: 'pets.md' }]);
    expect(await knowledge.search('I have lost something')).toMatchObject([{ file: 'found.md' }]);
  });

  it('puts first what both words and meaning find, and then what one of them finds', async () => {
    await writeFile(join(folder, 'pooch.md'), 'A pooch may stay at the counter.');
    const knowledge = await load();
    const files = (await knowledge.search('Does the counter take a pooch?', 5)).map(({ file }) => file);
    expect(files).toEqual([
      'pooch.md',
      expect.stringMatching(/pets|found/),
      expect.stringMatching(/pets|found/),
    ]);
  });

  it('finds nothing where neither words nor meaning fit', async () => {
    expect(await (await load()).search('What is the weather in Tokyo?')).toEqual([]);
  });

  it('answers by words when the service fails at run time, warns once an outage, and returns to meaning', async () => {
    const knowledge = await load();
    double.faults.push(...Array.from({ length: 8 }, () => busy(500)));
    for (let i = 0; i < 2; i++) {
      expect(await knowledge.search('Is there a tram?')).toMatchObject([{ file: 'way.md' }]);
    }
    expect(warnings).toEqual([expect.stringMatching(/^no embedding of a question: .*words alone/)]);
    double.faults.length = 0;
    expect(await knowledge.search('mutt')).toMatchObject([{ file: 'pets.md' }]);
    double.faults.push(busy(401));
    expect(await knowledge.search('mutt')).toEqual([]);
    expect(warnings.length).toBe(2);
  });

  it('answers by words within 1.5 s when the service hangs', async () => {
    const knowledge = await load();
    double.faults.push(() => {});
    const begun = clock.now();
    expect(await knowledge.search('Is there a tram?')).toMatchObject([{ file: 'way.md' }]);
    expect(clock.now() - begun).toBeLessThan(1_600);
    expect(warnings).toEqual([expect.stringContaining('no answer within 1500 ms')]);
  });

  it('starts with words alone when the service is out, and has the rest after a reload', async () => {
    double.faults.push(...Array.from({ length: 4 }, () => busy(503)));
    const knowledge = await load();
    expect(warnings).toEqual([expect.stringMatching(/^no embeddings: .*status 503$/)]);
    expect(await knowledge.search('mutt')).toEqual([]);
    expect(await knowledge.search('tram')).toMatchObject([{ file: 'way.md' }]);
    await knowledge.reload();
    expect(await knowledge.search('mutt')).toMatchObject([{ file: 'pets.md' }]);
  });

  it('does not start with a key or a model that the service rejects, and does not tell the key', async () => {
    for (const [options, reason] of [
      [{ key: 'sk-wrong' }, 'status 401, invalid_api_key'],
      [{ model: 'text-embedding-9' }, 'status 404, model_not_found'],
    ] as const) {
      const failed = await load({ embed: embeddings(options) }).catch((error) => error);
      expect(failed).toMatchObject({
        code: 'GW_EMBEDDINGS_REFUSED',
        message: `The embeddings service refused the request: ${reason}`,
      });
      expect(JSON.stringify(failed)).not.toContain('sk-wrong');
    }
    expect(double.requests).toBe(2);
    expect(() => openaiEmbeddings({ key: '' })).toThrow('Expected an API key');
  });

  it("takes any model behind a function, whatever its vectors' scale", async () => {
    const embed = async (texts: readonly string[]) =>
      texts.map((text) => (/dogs|mutt/i.test(text) ? [300, 1] : [1, -300]));
    const knowledge = await load({ embed });
    expect(await knowledge.search('mutt')).toMatchObject([{ file: 'pets.md' }]);
    const broken = await load({ embed: async () => [[0, 0]] });
    expect(await broken.search('tram')).toMatchObject([{ file: 'way.md' }]);
    expect(warnings).toEqual([expect.stringContaining('Expected a vector for every text')]);
  });
});

describe('vectors on disk', () => {
  it('are asked for once, and again only for passages that changed or for another model', async () => {
    const vectorFile = join(folder, 'vectors.jsonl');
    await load({ vectorFile });
    expect(double.asked.map(({ length }) => length)).toEqual([3]);
    const knowledge = await load({ vectorFile });
    expect(double.asked.length).toBe(1);
    expect(await knowledge.search('mutt')).toMatchObject([{ file: 'pets.md' }]);
    await writeFile(join(folder, 'pets.md'), 'No dogs, sorry.');
    await knowledge.reload();
    expect(double.asked.at(-1)).toEqual([expect.stringContaining('No dogs')]);
    expect((await readFile(vectorFile, 'utf8')).trim().split('\n').length).toBe(3);
    expect((await stat(vectorFile)).mode & 0o777).toBe(0o600);
    await load({ vectorFile, embed: Object.assign(embeddings(), { model: 'another' }) });
    expect(double.asked.at(-1)?.length).toBe(3);
  });

  it('never contain what callers ask', async () => {
    const vectorFile = join(folder, 'vectors.jsonl');
    const knowledge = await load({ vectorFile });
    const before = await readFile(vectorFile, 'utf8');
    await knowledge.search('my secret mutt');
    await knowledge.reload();
    expect(await readFile(vectorFile, 'utf8')).toBe(before);
  });

  it('that are damaged are made anew, and a file that cannot be written is a warning', async () => {
    const vectorFile = join(folder, 'vectors.jsonl');
    await load({ vectorFile });
    const [first = '', second = ''] = (await readFile(vectorFile, 'utf8')).split('\n');
    await writeFile(vectorFile, `${first.slice(0, -40)}\n${second}\n{"hash":1}\nnull\n`);
    await load({ vectorFile });
    expect(double.asked.at(-1)?.length).toBe(2);
    expect(warnings).toEqual([]);
    const knowledge = await load({ vectorFile: join(folder, 'nowhere/vectors.jsonl') });
    expect(await knowledge.search('mutt')).toMatchObject([{ file: 'pets.md' }]);
    expect(warnings).toEqual([expect.stringContaining('failed to write the file of embeddings')]);
  });
});

describe("OpenAI's embeddings", () => {
  it.each([true, false])(
    'are asked for in batches and returned in the order of the texts, base64: %s',
    async (hasBase64) => {
      double.hasBase64 = hasBase64;
      const texts = Array.from({ length: 450 }, (_, i) => (i % 2 === 0 ? `${i} dog` : `${i} tram`));
      const vectors = await embeddings()(texts);
      expect(double.asked.map(({ length }) => length)).toEqual([200, 200, 50]);
      expect(double.asked.flat()).toEqual(texts);
      expect(
        vectors.map((each) => Array.from(each)).map((vector) => vector.indexOf(Math.max(...vector))),
      ).toEqual(texts.map((_, i) => (i % 2) * 2));
    },
  );

  it('are retried after busy, broken and missing answers', async () => {
    double.faults.push(
      busy(429),
      (response) => response.end('{"data": [{"index": 0, "embedd'),
      (response) => response.destroy(),
    );
    const begun = clock.now();
    expect((await embeddings()(['dog'])).length).toBe(1);
    expect(double.requests).toBe(4);
    expect(clock.now() - begun).toBeGreaterThanOrEqual(3_500);
  });

  it('are retried as late as the service asks for, within bounds', async () => {
    double.faults.push(busy(429, { 'retry-after': '7' }), busy(503, { 'retry-after': '3600' }));
    const begun = clock.now();
    await embeddings()(['dog']);
    expect(clock.now() - begun).toBeGreaterThanOrEqual(27_000);
    expect(clock.now() - begun).toBeLessThan(40_000);
  });

  it.each([
    ['too few', { data: [] }],
    ['a vector without numbers', { data: [{ index: 0, embedding: ['a'] }] }],
    ['base64 that is cut', { data: [{ index: 0, embedding: 'AACA' }] }],
    ['another index', { data: [{ index: 1, embedding: [1] }] }],
    ['something else', []],
  ])('fail with %s in the answer, after four tries', async (_, body) => {
    double.faults.push(
      ...Array.from(
        { length: 4 },
        () => (response: Parameters<typeof refuse>[0]) => response.end(JSON.stringify(body)),
      ),
    );
    await expect(embeddings()(['dog'])).rejects.toMatchObject({ code: 'GW_EMBEDDINGS_FAILED' });
    expect(double.requests).toBe(4);
  });

  it('are asked for below a path that the base URL has', async () => {
    await openaiEmbeddings({ key: KEY, baseUrl: `${double.url}/`, clock })(['dog']);
    expect(double.asked).toEqual([['dog']]);
  });

  it('follow no redirect with the key', async () => {
    let elsewhere = 0;
    const other = await OpenAiEmbeddings.start(KEY, MEANINGS);
    try {
      double.faults.push(
        ...Array.from({ length: 4 }, () => (response: Parameters<typeof refuse>[0]) => {
          response.writeHead(307, { location: `${other.url}/embeddings` }).end();
        }),
      );
      await expect(embeddings()(['dog'])).rejects.toMatchObject({ code: 'GW_EMBEDDINGS_FAILED' });
      elsewhere = other.requests;
    } finally {
      other.close();
    }
    expect(elsewhere).toBe(0);
  });

  it('stop at once when their signal aborts', async () => {
    const late = new AbortController();
    double.faults.push(() => late.abort(new Error('too late')));
    await expect(embeddings()(['dog'], late.signal)).rejects.toThrow('too late');
    expect(double.requests).toBe(1);
  });
});
