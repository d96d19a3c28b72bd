import type { LegRate } from '../legs/leg-rate.js';
import type { Examination } from './examination.js';

/** What happened in two calls at a time. */
export interface Pair {
  /** The sample rate of the caller who asked. */
  readonly rate: LegRate;
  /** What that caller heard; empty if nothing came. */
  readonly answer: Int16Array;
  /** What the other caller heard meanwhile, who said nothing. */
  readonly strays: Int16Array;
  readonly hasStrays: boolean;
}

/** How much of the answer is enough to know it again. */
const ENOUGH_MS = 3_000;
const END_MS = 1_000;
const OTHER_RATE = { 8000: 16_000, 16000: 24_000, 24000: 16_000, 48000: 24_000 } as const;

/**
 * One of two callers asks, at another rate where the agent has several.
 * @throws DialRefused, NotApplicable
 */
export async function pairOf(examination: Examination): Promise<Pair> {
  const { rate, hasOneRate } = examination.options;
  const pair = hasOneRate ? undefined : await askOneOfTwo(examination, OTHER_RATE[rate]);
  // Some agents end a call at a rate that they do not have.
  return pair ?? ((await askOneOfTwo(examination, rate)) as Pair);
}

/** @returns `undefined` if the agent ended the call of the one who asks, at another than the usual rate */
async function askOneOfTwo(examination: Examination, rate: LegRate): Promise<Pair | undefined> {
  const { options, speech } = examination;
  const silent = await examination.place('+15550002222');
  const asking = await examination.place('+15550001111', rate);
  try {
    await Promise.all([asking.calm(), silent.calm()]);
    const before = silent.line.pieces.length;
    const beginning = await asking.answerTo(speech.question, options.timeoutMs);
    if (beginning === undefined && !asking.isOpen && rate !== options.rate) return undefined;
    if (beginning !== undefined) await asking.until(() => !asking.line.isSpeaking, ENOUGH_MS);
    const answer = beginning === undefined ? [] : asking.line.pieces.slice(beginning.from);
    const strays = silent.line.pieces.slice(before);
    return {
      rate,
      answer: asking.line.audio(answer),
      strays: silent.line.audio(strays),
      hasStrays: strays.some(({ hasSound }) => hasSound),
    };
  } finally {
    await Promise.all([asking.end(END_MS), silent.end(END_MS)]);
  }
}
