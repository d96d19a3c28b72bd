import MiniSearch from 'minisearch';
import { stemmer } from 'stemmer';
import type { Section } from './section.js';

/** A section that a search found. */
export interface Passage extends Section {
  /** The higher the better. Comparable within one search only. */
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
/** Comparisons of vectors between two turns of the event loop, which carries audio: about 1 ms. */
const VECTORS_A_TURN = 500;

/** Searches sections by their words, and by their vectors where they have some. */
export class PassageIndex {
  private readonly words = new MiniSearch<Section & { readonly id: number }>({
    fields: ['title', 'heading', 'text'],
    processTerm,
    searchOptions: {
      boost: { title: 0.5 },
      prefix: (word) => word.length > 2,
      fuzzy: (word) => (word.length > 4 ? 0.2 : false),
      weights: { prefix: 0.5, fuzzy: 0.3 },
    },
  });

  private constructor(
    readonly sections: readonly Section[],
    private readonly vectors: readonly Float32Array[] | undefined,
  ) {}

  /** @param vectors one for each section, each of length 1 */
  static async of(sections: readonly Section[], vectors?: readonly Float32Array[]): Promise<PassageIndex> {
    const index = new PassageIndex(sections, vectors);
    await index.words.addAllAsync(
      sections.map((section, id) => ({ ...section, id })),
      { chunkSize: 50 },
    );
    return index;
  }

  /** Length of the vectors; 0 without any. */
  get dimensions(): number {
    return this.vectors?.[0]?.length ?? 0;
  }

  /**
   * The sections that share words with the question, best first: word stems, beginnings of words and small spelling
   * mistakes count, words of no meaning do not.
   */
  byWords(question: string, most: number): Passage[] {
    return this.wordRanks(question)
      .slice(0, most)
      .map(([id, score]) => this.passage(id, score));
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
    for (const ranks of [this.wordRanks(question), await this.vectorRanks(vector, minSimilarity)]) {
      ranks.slice(0, CANDIDATES).forEach(([id], rank) => {
        scores.set(id, (scores.get(id) ?? 0) + 1 / (RANK_DAMPING + rank + 1));
      });
    }
    return [...scores]
      .sort(([, a], [, b]) => b - a)
      .slice(0, most)
      .map(([id, score]) => this.passage(id, score));
  }

  private wordRanks(question: string): [id: number, score: number][] {
    const words = question.match(/[\p{L}\p{N}]+/gu)?.slice(0, MAX_WORDS) ?? [];
    return this.words.search(words.join(' ')).map(({ id, score }) => [id, score]);
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
function processTerm(term: string): string | null {
  const word = term.toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '');
  if (NOISE.has(word) || word.length > MAX_WORD_CHARACTERS || word === '') return null;
  return stemmer(word);
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
