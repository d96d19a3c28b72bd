import { z } from 'zod';
import type { ErrorCode } from '../error-catalogue.js';

/** Maximum length of a mark's name. */
const MAX_MARK_NAME = 128;

const LegCommand = z.discriminatedUnion('type', [
  z.object({ type: z.literal('clear') }),
  z.object({ type: z.literal('mark'), name: z.string().min(1).max(MAX_MARK_NAME) }),
  z.object({ type: z.literal('dtmf'), digits: z.string().regex(/^[0-9*#A-Da-dwW]{1,32}$/) }),
  /** Hang up after the audio sent before has been heard, or now. */
  z.object({
    type: z.literal('hangup'),
    phone: z.string().max(256).optional(),
    after: z.enum(['words', 'now']).optional(),
  }),
]);

/** A command from a program. */
export type LegCommand = z.infer<typeof LegCommand>;

/** An event for a program. */
export type LegEvent =
  | {
      readonly type: 'ready';
      readonly room: string;
      readonly rate: number;
      readonly frameMs: number;
      readonly bufferMs: number;
      readonly listen: boolean;
      readonly phones: readonly string[];
    }
  /** A phone was answered: `direction` of its call, `ringSeconds` from webhook or placement to answer. */
  | {
      readonly type: 'joined';
      readonly phone: string;
      readonly direction?: string | undefined;
      readonly ringSeconds?: number | undefined;
    }
  | { readonly type: 'left'; readonly phone: string }
  | { readonly type: 'dtmf'; readonly phone: string; readonly digit: string }
  | { readonly type: 'mark'; readonly name: string; readonly place: 'heard' | 'cleared' | 'sent' }
  | { readonly type: 'cleared'; readonly discardedMs: number }
  | { readonly type: 'dropped'; readonly of: 'sent' | 'heard'; readonly ms: number }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string };

/** Parses a program's text message; `undefined` if it is not a valid command. */
export function parseLegCommand(text: string): LegCommand | undefined {
  try {
    return LegCommand.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
