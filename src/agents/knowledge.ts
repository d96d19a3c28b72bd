import { type Clock, systemClock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { createLog, type Logger } from '../telemetry/log.js';
import type { Embed } from './embeddings.js';
import { readPages } from './knowledge-folder.js';
import { type Passage, PassageIndex } from './passage-index.js';
import { sectionsOf, sourceOf } from './section.js';
import type { AgentTool } from './tool.js';
import { VectorStore } from './vector-store.js';

export type { Passage };

/** How long a question's vector may take before the words alone answer: a caller is waiting. */
const QUESTION_MS = 1_500;
const MAX_QUESTION_CHARACTERS = 1_000;
const MAX_NAMES_CHARACTERS = 600;
const DEFAULT_MIN_SIMILARITY = 0.25;

/** Options of {@link loadKnowledge}. */
export interface KnowledgeOptions {
  /** Finds passages by meaning as well as by words: {@link openaiEmbeddings}, or any model of yours. */
  readonly embed?: Embed;
  /**
   * A file that keeps the vectors of passages, so that each is asked for once. Created if missing; readable by its owner
   * only. Each knowledge base needs its own.
   */
  readonly vectorFile?: string;
  /**
   * Least cosine between the vectors of a question and of a passage that answers it, -1 to 1; default 0.25, which suits
   * OpenAI's `text-embedding-3` models.
   */
  readonly minSimilarity?: number;
  readonly log?: Pick<Logger, 'warn'>;
  readonly clock?: Clock;
}

/**
 * Loads a folder of Markdown files as a knowledge base: at most 2,000 files, 512 KiB each and 16 MiB in all, in folders up to
 * eight deep. Hidden files, and symbolic links that lead out of the folder, are skipped.
 *
 * If the embeddings service fails, the knowledge base answers by words alone and logs a warning.
 * @throws GatewayError `GW_KNOWLEDGE_FOLDER`, `GW_KNOWLEDGE_FILE`, `GW_KNOWLEDGE_EMPTY`, `GW_KNOWLEDGE_TOO_LARGE`;
 * `GW_EMBEDDINGS_REFUSED` if the embeddings service rejects the key or the model
 */
export async function loadKnowledge(folder: string, options: KnowledgeOptions = {}): Promise<Knowledge> {
  const knowledge = new Knowledge(folder, options);
  await knowledge.reload();
  return knowledge;
}

/**
 * Lets a model search a knowledge base. What it finds names its sources in words that can be spoken:
 * `{ passages: [{ source: 'opening hours', file, text }] }`.
 */
export function knowledgeTool(knowledge: Knowledge): AgentTool {
  return {
    name: 'search_knowledge',
    get description() {
      return `Searches our own pages about: ${namesOf(knowledge.sources)}. Use it for every question that they may answer.`;
    },
    parameters: {
      type: 'object',
      properties: { query: { type: 'string', description: "The question, in the caller's words" } },
      required: ['query'],
      additionalProperties: false,
    },
    async run({ query }) {
      const found = typeof query === 'string' ? await knowledge.search(query) : [];
      const passages = found.map(({ file, heading, text }) => ({
        source: sourceOf(file),
        file,
        ...(heading !== '' && { heading }),
        text,
      }));
      return { passages };
    },
  };
}

/** A folder of Markdown files that can be searched, see {@link loadKnowledge}. */
export class Knowledge {
  private index: PassageIndex | undefined;
  private names: readonly string[] = [];
  private reloading: Promise<void> | undefined;
  private readonly store: VectorStore | undefined;
  private readonly minSimilarity: number;
  private readonly log: Pick<Logger, 'warn'>;
  private readonly clock: Clock;
  /** One warning an outage, not one a question. */
  private isOut = false;

  /** @internal */
  constructor(
    readonly folder: string,
    { embed, vectorFile, minSimilarity = DEFAULT_MIN_SIMILARITY, log, clock = systemClock }: KnowledgeOptions,
  ) {
    this.minSimilarity = minSimilarity;
    this.log = log ?? createLog('warn');
    this.clock = clock;
    const warn = (err: unknown, message: string) => this.log.warn({ err, file: vectorFile }, message);
    if (embed !== undefined) this.store = new VectorStore(embed, vectorFile, warn);
  }

  /** What its pages are called in speech, e.g. `opening hours`. */
  get sources(): readonly string[] {
    return this.names;
  }

  /** How many passages can be found. */
  get size(): number {
    return this.index?.sections.length ?? 0;
  }

  /**
   * The passages that answer a question best, the best first; none if nothing fits. Answers within 1.5 s, whatever the
   * embeddings service does.
   * @param question in the caller's own words
   * @param most number of passages, 1 or more
   */
  async search(question: string, most = 3): Promise<Passage[]> {
    const { index } = this;
    const asked = question.slice(0, MAX_QUESTION_CHARACTERS).trim();
    if (index === undefined || asked === '') return [];
    const vector = index.dimensions > 0 ? await this.vectorOf(asked) : undefined;
    if (vector?.length !== index.dimensions) return index.byWords(asked, most);
    return await index.byWordsAndVector(asked, vector, most, this.minSimilarity);
  }

  /**
   * Reads the folder anew; searches meanwhile are answered from what was there before. If it fails, that stays.
   * @throws as {@link loadKnowledge}
   */
  reload(): Promise<void> {
    this.reloading ??= this.load().finally(() => {
      this.reloading = undefined;
    });
    return this.reloading;
  }

  private async load(): Promise<void> {
    const skipped = (file: string) =>
      this.log.warn({ file }, 'skipped a link of the knowledge folder: it leads out of the folder');
    const sections = [];
    for (const page of await readPages(this.folder, skipped)) {
      sections.push(...sectionsOf(page));
      // Calls have their turn between two files.
      await new Promise(setImmediate);
    }
    if (sections.length === 0) {
      const message = `Expected text in the knowledge folder ${JSON.stringify(this.folder)} but received empty files`;
      throw new GatewayError('GW_KNOWLEDGE_EMPTY', message);
    }
    const texts = sections.map(({ title, heading, text }) =>
      [title, heading, text].filter(Boolean).join('\n'),
    );
    const vectors = await this.store?.vectorsOf(texts).catch((error) => {
      if (error instanceof GatewayError && error.code === 'GW_EMBEDDINGS_REFUSED') throw error;
      this.log.warn(
        { err: error },
        'no embeddings: the knowledge base answers by words alone until it is reloaded',
      );
      return undefined;
    });
    this.index = await PassageIndex.of(sections, vectors);
    this.names = [...new Set(sections.map(({ file }) => sourceOf(file)))];
  }

  private async vectorOf(question: string): Promise<Float32Array | undefined> {
    const late = new AbortController();
    try {
      const vector = await this.clock.within(
        QUESTION_MS,
        (this.store as VectorStore).vectorOf(question, late.signal),
      );
      if (vector === undefined) throw new Error(`no answer within ${QUESTION_MS} ms`);
      this.isOut = false;
      return vector;
    } catch (error) {
      if (!this.isOut)
        this.log.warn(
          { err: error },
          'no embedding of a question: the knowledge base answers by words alone',
        );
      this.isOut = true;
      return undefined;
    } finally {
      late.abort();
    }
  }
}

/** As many names as fit a tool's description. */
function namesOf(sources: readonly string[]): string {
  let names = '';
  for (const [i, source] of sources.entries()) {
    if (names.length + source.length > MAX_NAMES_CHARACTERS) return `${names} and ${sources.length - i} more`;
    names += i === 0 ? source : `, ${source}`;
  }
  return names;
}
