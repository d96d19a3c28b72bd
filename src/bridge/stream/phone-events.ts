import { z } from 'zod';

/**
 * The language between a phone and whoever sits in its Stream call, in Stream's custom events: JSON objects with a
 * `type`. Fields not named here are ignored.
 */

const NAME = z.string().min(1).max(200);

const Command = z.discriminatedUnion('type', [
  /** Drops what the caller would still hear; answered by `phone.cleared`. */
  z.object({ type: z.literal('phone.clear') }),
  /** Asks to be told, by `phone.marked`, when the caller has heard everything so far. */
  z.object({ type: z.literal('phone.mark'), name: NAME }),
  /** Plays keys to the phone as tones; `w` is a pause of half a second, `W` of a whole one. */
  z.object({ type: z.literal('phone.dtmf'), digits: z.string().regex(/^[0-9*#A-Da-dwW]{1,32}$/) }),
  /** Silences the phone in the call; `phone.unmute` undoes that, and a moderator's mute, which only the phone itself can. */
  z.object({ type: z.literal('phone.mute') }),
  z.object({ type: z.literal('phone.unmute') }),
  /** Hangs up when what was said before has been heard; `now` cuts it. */
  z.object({ type: z.literal('phone.hangup'), after: z.enum(['words', 'now']).optional() }),
  /** Connects the caller with a number (E.164) or a SIP address and leaves the call. */
  z.object({ type: z.literal('phone.transfer'), to: z.string().min(1).max(255) }),
]);

/** What somebody in the call wants of a phone. */
export type PhoneCommand = z.infer<typeof Command>;

/** What a phone tells those in its call. */
export type PhoneEvent =
  /** Somebody is on the phone, who called or was called, and has rung so many seconds: the time to greet. */
  | { readonly type: 'phone.answered'; readonly direction?: string; readonly ring_seconds?: number }
  /** The caller pressed a key. */
  | { readonly type: 'phone.digit'; readonly digit: string }
  /** Answers `phone.clear`: milliseconds of audio heard since the call began, and dropped now. */
  | { readonly type: 'phone.cleared'; readonly played_ms: number; readonly discarded_ms: number }
  /** A mark was reached; `cleared` where a clear came first and the audio before it was not all heard. */
  | {
      readonly type: 'phone.marked';
      readonly name: string;
      readonly played_ms: number;
      readonly cleared: boolean;
    }
  /**
   * The phone is silent in the call, or is heard again: by a command, the caller's own keys, a moderator, or the permission to
   * speak that was revoked or came back; `user` where it is known who.
   */
  | {
      readonly type: 'phone.muted' | 'phone.unmuted';
      readonly by: 'command' | 'keypad' | 'moderator' | 'permission';
      readonly user?: string;
    }
  /** A command could not be done. */
  | {
      readonly type: 'phone.error';
      readonly command: string;
      readonly code: string;
      readonly message: string;
    };

/** A custom event read: a command, one that makes no sense, or nothing for this phone. */
export type ReadCommand =
  | { readonly command: PhoneCommand }
  | { readonly refused: string; readonly message: string }
  | undefined;

const COMMANDS = new Set(Command.options.map(({ shape }) => shape.type.value as string));

/** Whether a custom event is one of ours at all; others are none of a phone's business. */
export function isForPhones(custom: unknown): boolean {
  const { type } = (custom ?? {}) as { type?: unknown };
  return typeof type === 'string' && type.startsWith('phone.');
}

/**
 * Reads a custom event of the call.
 * @param userId of the phone: a command may name the phone it is for as `phone`, else it is for every phone
 */
export function readCommand(custom: unknown, userId: string): ReadCommand {
  if (typeof custom !== 'object' || custom === null) return undefined;
  const { type, phone } = custom as { type?: unknown; phone?: unknown };
  if (typeof type !== 'string' || !COMMANDS.has(type)) return undefined;
  if (phone !== undefined && phone !== userId) return undefined;
  const parsed = Command.safeParse(custom);
  if (parsed.success) return { command: parsed.data };
  const fields = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  return { refused: type, message: `Expected the fields of ${type} but received others: ${fields}` };
}
