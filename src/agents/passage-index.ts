import MiniSearch from 'minisearch';
import { stemmer } from 'stemmer';
import type { Section } from './section.js';

/** A section that a search found. */
export interface Passage extends Section {
  /** A mere number, the higher the better: it compares passages within one search only, not as a share or a factor. */
  readonly score: number;
}

/** Words of a question that are not what it is about: English function words, and what callers wrap a question in. */
const NOISE = new Set(
  `a about am an and any anybody anyone anything are as at be been bit but by can could did do does doing don for from
  get give go got had has have he hello help her hey hi him his how i if in into is it its just know let like lot
  ll many may me might more most much my need no not of on one or our ours out please re s say she should so some
  somebody someone something sorry such t tell than thank thanks that the their them then there these they thing
  things this those to too um us ve very want was we well were what when where which who whom whose why will with would
  yeah yes you your yours`.split(/\s+/),
);
/** Words of a question that are looked up; the rest is ignored. */
const MAX_WORDS = 32;
const MAX_WORD_CHARACTERS = 40;
/** Candidates of each ranking that are merged. */
const CANDIDATES = 20;
/** Dampens the advantage of first places when rankings are merged (reciprocal rank fusion). */
const RANK_DAMPING = 60;
/** What is searched between two turns of the event loop, which carries audio: 1 or 2 ms each. */
const SECTIONS_A_TURN = 1_000;
const VECTORS_A_TURN = 500;
/** Sections that are added to the index between two turns. */
const ADDED_A_TURN = 20;

/** Searches sections by their words, and by their vectors where they have some. */
export class PassageIndex {
  /** Each has every n-th section, so that words are as rare in one as in another. */
  private readonly shards: readonly MiniSearch<Section & { readonly id: number }>[];
  /** The words of all sections: one that occurs is no spelling mistake. */
  private readonly known = new Set<string>();

  private constructor(
    readonly sections: readonly Section[],
    private readonly vectors: readonly Float32Array[] | undefined,
  ) {
    this.shards = Array.from({ length: Math.ceil(sections.length / SECTIONS_A_TURN) }, () => this.newShard());
  }

  /** @param vectors one for each section, each of length 1 */
  static async of(sections: readonly Section[], vectors?: readonly Float32Array[]): Promise<PassageIndex> {
    const index = new PassageIndex(sections, vectors);
    for (const [id, section] of sections.entries()) {
      index.shards[id % index.shards.length]?.add({ ...section, id });
      if (id % ADDED_A_TURN === ADDED_A_TURN - 1) await new Promise(setImmediate);
    }
    return index;
  }

  private newShard(): MiniSearch<Section & { readonly id: number }> {
    return new MiniSearch({
      fields: ['title', 'heading', 'text'],
      processTerm: (term) => {
        const word = wordOf(term);
        if (word !== null) this.known.add(word);
        return word;
      },
      searchOptions: {
        processTerm: wordOf,
        boost: { title: 0.5 },
        prefix: (word) => word.length > 2,
        fuzzy: (word) => (word.length > 4 && !this.known.has(word) ? 0.2 : false),
        weights: { prefix: 0.5, fuzzy: 0.3 },
      },
    });
  }

  /** Length of the vectors; 0 without any. */
  get dimensions(): number {
    return this.vectors?.[0]?.length ?? 0;
  }

  /**
   * The sections that share words with the question, best first: word stems, beginnings of words and small spelling
   * mistakes count, words of no meaning do not.
   */
  async byWords(question: string, most: number): Promise<Passage[]> {
    return (await this.wordRanks(question)).slice(0, most).map(([id, score]) => this.passage(id, score));
  }

  /**
   * The sections that share words with the question or lie near its vector; those that do both come first.
   * @param vector of length 1
   * @param minSimilarity least cosine, -1 to 1
   */
  async byWordsAndVector(
    question: string,
    vector: Float32Array,
    most: number,
    minSimilarity: number,
  ): Promise<Passage[]> {
    const scores = new Map<number, number>();
    for (const ranks of [await this.wordRanks(question), await this.vectorRanks(vector, minSimilarity)]) {
      ranks.slice(0, CANDIDATES).forEach(([id], rank) => {
        scores.set(id, (scores.get(id) ?? 0) + 1 / (RANK_DAMPING + rank + 1));
      });
    }
    return [...scores]
      .sort(([, a], [, b]) => b - a)
      .slice(0, most)
      .map(([id, score]) => this.passage(id, score));
  }

  private async wordRanks(question: string): Promise<[id: number, score: number][]> {
    const words =
      question
        .match(/[\p{L}\p{N}]+/gu)
        ?.slice(0, MAX_WORDS)
        .join(' ') ?? '';
    const found: [number, number][] = [];
    for (const [i, shard] of this.shards.entries()) {
      if (i > 0) await new Promise(setImmediate);
      for (const { id, score } of shard.search(words).slice(0, CANDIDATES)) found.push([id, score]);
    }
    return found.sort(([, a], [, b]) => b - a);
  }

  private async vectorRanks(vector: Float32Array, min: number): Promise<[id: number, cosine: number][]> {
    const near: [number, number][] = [];
    for (const [id, each] of (this.vectors ?? []).entries()) {
      if (id % VECTORS_A_TURN === VECTORS_A_TURN - 1) await new Promise(setImmediate);
      const cosine = dot(each, vector);
      if (cosine >= min) near.push([id, cosine]);
    }
    return near.sort(([, a], [, b]) => b - a);
  }

  private passage(id: number, score: number): Passage {
    return { ...(this.sections[id] as Section), score };
  }
}

/** Makes `hours`, `Hour` and `hour's` one word, and leaves out noise. */
function wordOf(term: string): string | null {
  const word = term.toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '');
  if (NOISE.has(word) || word.length > MAX_WORD_CHARACTERS || word === '') return null;
  return stemmer(word);
}

/** Four sums at a time take half the time of one. */
function dot(a: Float32Array, b: Float32Array): number {
  let w = 0;
  let x = 0;
  let y = 0;
  let z = 0;
  let i = 0;
  for (const end = a.length - 3; i < end; i += 4) {
    w += (a[i] as number) * (b[i] as number);
    x += (a[i + 1] as number) * (b[i + 1] as number);
    y += (a[i + 2] as number) * (b[i + 2] as number);
    z += (a[i + 3] as number) * (b[i + 3] as number);
  }
  for (; i < a.length; i++) w += (a[i] as number) * (b[i] as number);
  return w + x + y + z;
}
