import type { Clock } from '../clock.js';
import type { AgentTool } from './tool.js';

/** Instructions for a model, and its address. */
export interface ModelOptions {
  /** The vendor's name of the model: `gpt-realtime`. */
  readonly model: string;
  /** The vendor's API key. */
  readonly key: string;
  /** Origin in place of the vendor's own: `https://…`, or `http://…` for a proxy or a test double. */
  readonly baseUrl?: string | undefined;
  /** What it is to do. */
  readonly instructions?: string | undefined;
  /** Its voice, by the vendor's name. */
  readonly voice?: string | undefined;
  /** What it says when the call is answered: instructions for its first words. Empty: it waits for the caller. */
  readonly greeting?: string | undefined;
  readonly tools?: readonly AgentTool[] | undefined;
  /** Learns of tools that fail and messages that the model refuses; never of what was said. Default: nobody. */
  readonly onWarning?: ((message: string, error?: unknown) => void) | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
}

/** What models hear and say, in samples a second. OpenAI's may take 24,000 instead: a phone has no more than 8,000. */
export const RATES = {
  openai: { rate: 8_000, sendRate: 8_000 },
  gemini: { rate: 16_000, sendRate: 24_000 },
} as const;

/** Instructions of a model that was given none. */
export const DEFAULT_INSTRUCTIONS =
  'You answer the telephone. Speak in short, friendly sentences, without lists or markup. If you do not know something, say so.';
/** The first words of a model that was given none. */
export const DEFAULT_GREETING = 'Greet the caller in one short sentence and ask how you can help.';
