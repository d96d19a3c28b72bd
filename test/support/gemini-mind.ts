import { createResampler } from '../../src/media/rate-converter.js';
import { HEARD_RATE, joined } from './gemini-activity.js';
import type { GeminiSession } from './gemini-session.js';

/** Samples per second of what the model says. */
export const SPOKEN_RATE = 24_000;
const WORD_MS = 400;

/** What the model does: it speaks, it calls a function, or it speaks and then calls one. */
export interface GeminiReply {
  /** 24 kHz, with a transcript whose words are spread evenly over it. */
  readonly audio?: Int16Array;
  readonly transcript?: string;
  readonly call?: { readonly name: string; readonly args: Readonly<Record<string, unknown>> };
}

/** Decides what the model says. */
export interface GeminiMind {
  /**
   * Answers `session.input`, the newest input; undefined ends the turn without a word.
   * @param heard what the user said, 16 kHz; empty unless the input is speech
   */
  reply(
    heard: Int16Array,
    session: GeminiSession,
  ): GeminiReply | undefined | Promise<GeminiReply | undefined>;
  /** The words of what was heard; one for 400 ms by default. */
  transcribe?(heard: Int16Array): string;
}

/** Repeats what it heard, and answers text and results of functions with a tone: a word of its own for each of theirs. */
export const echoMind: GeminiMind = {
  async reply(heard, { input }) {
    if (input.kind === 'speech') {
      const resampler = await createResampler(HEARD_RATE, SPOKEN_RATE);
      const delay = Math.round((resampler.delayMs * SPOKEN_RATE) / 1_000);
      const audio = joined([resampler.process(heard), resampler.flush()]).subarray(delay);
      resampler.close();
      return { audio, transcript: wordsOf(heard) };
    }
    const said =
      input.kind === 'text' ? input.text : input.responses.map(({ response }) => JSON.stringify(response));
    const count = Math.max(1, String(said).split(/\s+/).filter(Boolean).length);
    return { audio: tone(count * WORD_MS), transcript: words(count) };
  },
};

/** One word for each 400 ms of what was heard: `w1 w2 …`. */
export function wordsOf(heard: Int16Array): string {
  return words(Math.max(1, Math.round((heard.length * 1_000) / HEARD_RATE / WORD_MS)));
}

function words(count: number): string {
  return Array.from({ length: count }, (_, index) => `w${index + 1}`).join(' ');
}

/** A sine of 440 Hz at 24 kHz, 12 dB below full scale. */
function tone(ms: number): Int16Array {
  return Int16Array.from({ length: (ms * SPOKEN_RATE) / 1_000 }, (_, n) =>
    Math.round(8_192 * Math.sin((2 * Math.PI * 440 * n) / SPOKEN_RATE)),
  );
}
