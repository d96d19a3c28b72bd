/** Bounds of what is remembered: turns, and characters of all. The oldest are forgotten. */
const MAX_TURNS = 64;
const MAX_CHARACTERS = 16_384;
const MEMORY_KEY = 'conversation';

/** Who said something. */
export type Speaker = 'caller' | 'model';

interface Turn {
  readonly speaker: Speaker;
  readonly id: string;
  text: string;
}

/** What was said in a call so far, as text: it outlasts the connection to a model, and the next one gets it. */
export class Conversation {
  /** Whether the model has been asked for an answer that it has not finished. */
  isOwed = false;
  /** Connections lost since the model finished an answer. */
  losses = 0;
  /** What the vendor resumes its session by. */
  handle: string | undefined;
  private readonly turns: Turn[] = [];
  private ids = 0;

  /** The conversation of a call. @param memory see `AgentCall.memory` */
  static of(memory: Map<string, unknown>): Conversation {
    const known = memory.get(MEMORY_KEY);
    if (known instanceof Conversation) return known;
    const conversation = new Conversation();
    memory.set(MEMORY_KEY, conversation);
    return conversation;
  }

  /** Whether this process has followed the call before. */
  static isKnown(memory: ReadonlyMap<string, unknown>): boolean {
    return memory.has(MEMORY_KEY);
  }

  /** Turns with words in them, the oldest first. */
  get spoken(): readonly { readonly speaker: Speaker; readonly text: string }[] {
    return this.turns.filter(({ text }) => text.trim() !== '');
  }

  /** An id for a turn that the vendor gives none. */
  newId(): string {
    this.ids += 1;
    return `turn ${this.ids}`;
  }

  /** Adds to a turn, which is begun with its first piece, empty or not. */
  add(speaker: Speaker, id: string, text: string): void {
    const turn = this.turnOf(id);
    if (turn === undefined) this.turns.push({ speaker, id, text });
    else turn.text += text;
    let characters = this.turns.reduce((sum, { text: { length } }) => sum + length, 0);
    while (this.turns.length > 1 && (this.turns.length > MAX_TURNS || characters > MAX_CHARACTERS))
      characters -= this.turns.shift()?.text.length ?? 0;
    const last = this.turns.at(-1);
    if (last !== undefined) last.text = last.text.slice(0, MAX_CHARACTERS);
  }

  /** Only a share of a turn was heard, from 0 to 1. */
  cut(id: string, share: number): void {
    const turn = this.turnOf(id);
    if (turn !== undefined) turn.text = turn.text.slice(0, Math.ceil(turn.text.length * share));
  }

  private turnOf(id: string): Turn | undefined {
    return this.turns.findLast((turn) => turn.id === id);
  }
}
