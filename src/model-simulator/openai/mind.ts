import { speak, wordsOf } from '../phrases.js';
import { GREETING, KEY_PRESSED, SENTENCES, type Sentence, SOURCES, UNKNOWN } from '../sentences.js';
import type { Tool, ToolChoice } from './client-event.js';
import { FunctionCall, FunctionCallOutput, type Item } from './item.js';
import type { Utterance } from './speech.js';

/** What a model knows when it has to respond. */
export interface Turn {
  /** The conversation so far, oldest first. */
  readonly items: readonly Item[];
  /** Those of `response.create`; empty without. */
  readonly instructions: string;
  /** Those of the session. */
  readonly sessionInstructions: string;
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice;
}

/** What a model does: says something, calls a tool, or both in this order. */
export interface Reply {
  /** Sentences that there is a recording of, or sounds with their words. */
  readonly say?: readonly (string | Utterance)[];
  readonly call?: { readonly name: string; readonly args: Readonly<Record<string, unknown>> };
}

const SEARCH = /search|knowledge/i;
const TRANSFER = /transfer/i;
/** Letters that two words must share at their start to count as one: "repairs" and "repair". */
const STEM = 5;

/**
 * The model's mind, which knows the sentences of {@link SENTENCES} and nothing else. It says what its instructions quote; looks up
 * questions with a tool whose name contains "search" or "knowledge", and answers with the sentence of the tool's output that fits
 * best, and where it stands; without such a tool it repeats what it has heard. If it does not know the answer it says so, and calls
 * a tool whose name contains "transfer", if there is one.
 */
export function replyTo(turn: Turn): Reply {
  const { items, instructions } = turn;
  const quoted = quotedIn(instructions);
  if (quoted !== undefined) return { say: [quoted.text] };
  const asked = questionIn(items);
  const last = items.at(-1);
  if (last instanceof FunctionCallOutput) {
    const call = items.find((item) => item instanceof FunctionCall && item.callId === last.callId);
    if (call instanceof FunctionCall && !SEARCH.test(call.name)) return {};
    return answerFrom(last.text, asked) ?? passOn(turn);
  }
  if (asked === undefined) return { say: [GREETING] };
  if (/\bpressed\b/i.test(asked)) return { say: [KEY_PRESSED] };
  const known = sentenceOf(asked);
  if (known === undefined) return passOn(turn);
  const search = toolNamed(SEARCH, turn);
  return search === undefined
    ? { say: [known.text] }
    : { call: { name: search.name, args: { query: known.text } } };
}

function passOn(turn: Turn): Reply {
  const transfer = toolNamed(TRANSFER, turn);
  return { say: [UNKNOWN], ...(transfer === undefined ? {} : { call: { name: transfer.name, args: {} } }) };
}

function toolNamed(name: RegExp, { tools, toolChoice }: Turn): (Tool & { type: 'function' }) | undefined {
  if (toolChoice === 'none') return undefined;
  return tools.filter((tool) => tool.type === 'function').find((tool) => name.test(tool.name));
}

/** What the user has said last, in words or in text; empty if it was not understood. */
function questionIn(items: readonly Item[]): string | undefined {
  return items.findLast((item) => item.type === 'message' && 'role' in item && item.role === 'user')?.text;
}

function sentenceOf(text: string): Sentence | undefined {
  const words = wordsOf(text);
  return SENTENCES.find((sentence) => wordsOf(sentence.text) === words);
}

/** The known sentence that stands last in a text: general instructions come before those of the moment. */
function quotedIn(text: string): Sentence | undefined {
  const words = ` ${wordsOf(text)} `;
  const places = SENTENCES.map((sentence) => words.lastIndexOf(` ${wordsOf(sentence.text)} `));
  const last = Math.max(...places);
  return last < 0 ? undefined : SENTENCES[places.indexOf(last)];
}

/** The sentence of a tool's output that shares most with the question, and the page that it stands in if the output names it. */
function answerFrom(output: string, question = ''): Reply | undefined {
  const words = ` ${wordsOf(unescaped(output))} `;
  const asked = wordsOf(question).split(' ');
  let [best, most] = [undefined as Sentence | undefined, 0];
  for (const sentence of SENTENCES) {
    const own = wordsOf(sentence.text);
    if (sentence.page === undefined || SOURCES[sentence.page] === sentence.text) continue;
    if (!words.includes(` ${own} `)) continue;
    const fit = sharedWeight(asked, own.split(' '));
    if (fit > most) [best, most] = [sentence, fit];
  }
  if (best?.page === undefined) return undefined;
  const isNamed = words.includes(` ${wordsOf(best.page)} `);
  return { say: isNamed ? [best.text, SOURCES[best.page]] : [best.text] };
}

/** JSON's escapes would glue letters to words. */
function unescaped(json: string): string {
  return json
    .replace(/\\[nrt]/g, ' ')
    .replace(/\\u([0-9a-f]{4})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** How much two sentences share: rare words count more than those that many sentences have. */
function sharedWeight(asked: readonly string[], words: readonly string[]): number {
  let weight = 0;
  for (const word of new Set(asked)) {
    if (words.some((each) => isSame(word, each))) weight += 1 / (1 + commonness(word));
  }
  return weight;
}

function commonness(word: string): number {
  return SENTENCES.filter(
    ({ text, page }) =>
      page !== undefined &&
      wordsOf(text)
        .split(' ')
        .some((each) => isSame(word, each)),
  ).length;
}

function isSame(a: string, b: string): boolean {
  if (a === b || `${a}s` === b || a === `${b}s`) return true;
  return a.length >= STEM && b.length >= STEM && a.slice(0, STEM) === b.slice(0, STEM);
}

/** The sounds of a reply; what cannot be spoken is left out. */
export function utterancesOf({ say = [] }: Reply): Utterance[] {
  return say.flatMap((each) => {
    if (typeof each !== 'string') return [each];
    const pcm = speak(each);
    return pcm === undefined ? [] : [{ text: each, pcm }];
  });
}
