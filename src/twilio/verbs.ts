import VoiceResponse from 'twilio/lib/twiml/VoiceResponse.js';
import { z } from 'zod';
import { GatewayError, mistakesOf } from '../errors.js';
import { isXmlText } from './xml-text.js';

/** Most verbs in a row. */
const MAX_VERBS = 20;
/** Twilio cuts a call after so many seconds unless told otherwise. Source: twilio.com/docs/voice/twiml/dial#timelimit. */
const LONGEST_DIAL_SECONDS = 14_400;

const text = z.string().min(1).max(4096).refine(isXmlText, 'characters that XML cannot carry');
const loop = z.int().min(1).max(10).optional();
const tag = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,64}$/, 'not a name as Twilio has them')
  .optional();
const url = z.url({ protocol: /^https?$/, error: 'not an http(s) URL' }).max(2048);

const Say = z.strictObject({ say: text, language: tag, voice: tag, loop });
const Play = z.strictObject({ play: url, loop });
const Pause = z.strictObject({ pause: z.int().min(1).max(600) });
const Dial = z.strictObject({
  dial: z
    .string()
    .regex(/^(\+[1-9]\d{1,14}|sips?:[^\s<>"]{1,250})$/, 'neither an E.164 number nor a SIP address')
    .refine(isXmlText, 'characters that XML cannot carry'),
  callerId: z.string().min(1).max(256).refine(isXmlText, 'characters that XML cannot carry').optional(),
  ringSeconds: z.int().min(5).max(600).optional(),
  limitSeconds: z.int().min(1).max(LONGEST_DIAL_SECONDS).optional(),
});

const KINDS = { say: Say, play: Play, pause: Pause, dial: Dial };

/** Words for the caller, spoken by Twilio. Source: twilio.com/docs/voice/twiml/say. */
export interface SayVerb {
  /** At most 4096 characters. */
  readonly say: string;
  readonly language?: string;
  readonly voice?: string;
  /** How often, 1…10; default 1. */
  readonly loop?: number;
}

/** One thing that Twilio does with a caller before or after the stream: `<Say>`, `<Play>`, `<Pause>` or `<Dial>`. */
export type CallVerb =
  | SayVerb
  /** An audio file's URL. */
  | { readonly play: string; readonly loop?: number }
  /** Seconds of silence, 1…600. */
  | { readonly pause: number }
  /** Connects the caller with an E.164 number or a SIP address until either hangs up. */
  | {
      readonly dial: string;
      readonly callerId?: string;
      /** How long it may ring, 5…600; Twilio's default is 30. */
      readonly ringSeconds?: number;
      /** How long they may talk, 1…14400. */
      readonly limitSeconds?: number;
    };

/** Checks a list of verbs; the first word tells which verb each is. */
export const CallVerbs = z
  .array(
    z.unknown().transform((verb, context): CallVerb => {
      const kinds = Object.keys(KINDS) as (keyof typeof KINDS)[];
      const kind = kinds.find((name) => typeof verb === 'object' && verb !== null && name in verb);
      if (kind === undefined) {
        context.addIssue({ code: 'custom', message: `none of ${kinds.join(', ')}` });
        return z.NEVER;
      }
      const checked = KINDS[kind].safeParse(verb);
      if (checked.success) return checked.data as CallVerb;
      for (const { path, message } of checked.error.issues)
        context.addIssue({ code: 'custom', path, message });
      return z.NEVER;
    }),
  )
  .max(MAX_VERBS);

/**
 * Adds verbs to TwiML that is being written.
 * @throws GatewayError `GW_TWIML_INVALID` for verbs that Twilio would not take
 */
export function addVerbs(response: VoiceResponse, verbs: readonly CallVerb[]): void {
  const checked = CallVerbs.safeParse(verbs);
  if (!checked.success) {
    throw new GatewayError(
      'GW_TWIML_INVALID',
      `Expected verbs that Twilio takes but received ${mistakesOf(checked.error)}`,
    );
  }
  for (const verb of verbs) {
    if ('say' in verb) {
      const { say, language, voice, loop } = verb;
      // The SDK types every language and voice Twilio lists; the lists grow, so any is passed on.
      response.say(given({ language, voice, loop }) as never, say);
    } else if ('play' in verb) response.play(given({ loop: verb.loop }), verb.play);
    else if ('pause' in verb) response.pause({ length: verb.pause });
    else {
      const { dial, callerId, ringSeconds, limitSeconds } = verb;
      const attributes = given({ callerId, timeout: ringSeconds, timeLimit: limitSeconds });
      if (dial.startsWith('sip')) response.dial(attributes).sip(dial);
      else response.dial(attributes, dial);
    }
  }
}

/** TwiML of verbs alone, behind which the call is over. */
export function createVerbsTwiml(verbs: readonly CallVerb[]): string {
  const response = new VoiceResponse();
  addVerbs(response, verbs);
  response.hangup();
  return response.toString();
}

/** An upper bound of how long Twilio is busy with them, in seconds; slow speech and long files are allowed for. */
export function longestSeconds(verbs: readonly CallVerb[]): number {
  let seconds = 0;
  for (const verb of verbs) {
    if ('say' in verb) seconds += (5 + verb.say.length * 0.2) * (verb.loop ?? 1);
    else if ('play' in verb) seconds += 600 * (verb.loop ?? 1);
    else if ('pause' in verb) seconds += verb.pause;
    else seconds += (verb.ringSeconds ?? 30) + (verb.limitSeconds ?? LONGEST_DIAL_SECONDS);
  }
  return seconds;
}

/** What was given of some attributes. */
function given<T extends Record<string, unknown>>(attributes: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
