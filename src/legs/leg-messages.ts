import { z } from 'zod';

/** Version of the raw-leg protocol. Within a version, fields are added but never changed. */
export const LEG_VERSION = 1;

/** The WebSocket subprotocol of raw legs. */
export const LEG_PROTOCOL = 'trunkline.leg';

/** Maximum message sizes in bytes: audio (eleven seconds at 48 kHz) and text. */
export const MAX_AUDIO_BYTES = 1024 * 1024;
export const MAX_TEXT_BYTES = 16 * 1024;
/** A larger message closes the socket unread. It exceeds the leg's own limit, which answers with the code 1009. */
export const MAX_MESSAGE_BYTES = 2 * MAX_AUDIO_BYTES;

/** Maximum length of a mark's name. */
const MAX_MARK_NAME = 128;

const phone = z.string().max(256).describe('Call id of a phone');
const milliseconds = z.number().min(0).describe('Milliseconds');

/** A command from a program. */
export const LegCommand = z
  .discriminatedUnion('type', [
    z
      .object({ type: z.literal('clear') })
      .describe('Barge-in: drop waiting audio and what phones have buffered. Answered by `cleared`.'),
    z
      .object({
        type: z.literal('mark'),
        name: z.string().min(1).max(MAX_MARK_NAME).describe('Any; its event repeats it'),
      })
      .describe('Ask for the event `mark` once all audio before it was heard.'),
    z
      .object({
        type: z.literal('dtmf'),
        digits: z
          .string()
          .regex(/^[0-9*#A-Da-dwW]{1,32}$/)
          .describe('0-9 * # A-D, w and W'),
      })
      .describe('Play keys in-band, with pauses `w` (0.5 s) and `W` (1 s).'),
    z
      .object({
        type: z.literal('hangup'),
        phone: phone.optional(),
        after: z.enum(['words', 'now']).optional().describe('Default `words`'),
      })
      .describe('Hang up one phone, or all, after the audio sent before has been heard (`words`), or now.'),
    z
      .object({
        type: z.literal('transfer'),
        to: z.string().min(1).max(256).describe('`+1555…` or `sip:…`'),
        phone: phone.optional(),
      })
      .describe(
        'Hand a caller over to another number (E.164) or SIP address after the audio sent before has been heard.',
      ),
  ])
  .describe('What a program sends as text.');
export type LegCommand = z.infer<typeof LegCommand>;

/** What an agent learns of the call that it is dialled for. */
export const CallFacts = z
  .object({
    callId: z.string().describe('The id of the call at the gateway'),
    callSid: z.string().optional().describe("Twilio's id; absent until an outbound call is placed"),
    accountSid: z.string().optional().describe("Twilio's account"),
    direction: z
      .string()
      .optional()
      .describe('`inbound`, or `outbound-api` for a call that the gateway placed'),
    from: z.string().optional().describe('Who calls: E.164, `sip:…` or `client:…`'),
    to: z.string().optional().describe('Who is called'),
    callerName: z.string().optional().describe('As the carrier looked it up'),
    room: z.string().describe('Where the call is: a local room, or a Stream call as `type:id`'),
    startedAt: z.string().describe('ISO 8601'),
    connection: z
      .number()
      .int()
      .min(1)
      .describe('1 for the first connection of the call, one more after each loss'),
    parameters: z
      .record(z.string(), z.string())
      .optional()
      .describe('Parameters of your decision for the agent'),
  })
  .describe('The call that an agent is dialled for: the header `trunkline-call`, and `call` of `ready`.');
/** The call that an agent is dialled for. */
export type CallFacts = z.infer<typeof CallFacts>;

/** An event for a program. */
export const LegEvent = z
  .discriminatedUnion('type', [
    z
      .object({
        type: z.literal('ready'),
        version: z.literal(LEG_VERSION),
        room: z.string().describe('The room of the leg'),
        rate: z.number().int().describe('Samples a second of the audio that the program receives'),
        sendRate: z.number().int().describe('Samples a second of the audio that the program sends'),
        frameMs: z.number().describe('Milliseconds of a frame that the program receives'),
        bufferMs: z.number().describe("How much of the program's audio may wait to be played"),
        listen: z.boolean().describe('Whether the program only listens'),
        phones: z.array(z.string()).describe('Phones that have been answered'),
        playedMs: milliseconds.describe(
          "Milliseconds of the program's audio that the caller has heard in this call",
        ),
        resumed: z.boolean().describe('Whether an earlier connection of this call was lost'),
        call: CallFacts.optional(),
      })
      .describe('First on every connection.'),
    z
      .object({
        type: z.literal('joined'),
        phone,
        direction: z.string().optional().describe('As in the facts of a call'),
        ringSeconds: z.number().optional().describe('From webhook or placement to answer'),
      })
      .describe('A phone was answered.'),
    z.object({ type: z.literal('left'), phone }).describe('A phone hung up or went elsewhere.'),
    z
      .object({ type: z.literal('dtmf'), phone, digit: z.string().describe('One of 0-9 * # A-D') })
      .describe('A caller pressed a key.'),
    z
      .object({
        type: z.literal('mark'),
        name: z.string().describe('As in the command'),
        place: z.enum(['heard', 'cleared', 'sent']).describe('What became of the audio before the mark'),
        playedMs: milliseconds,
      })
      .describe(
        'A mark was heard, part of the audio before it was cleared, or it was sent and more cannot be known.',
      ),
    z
      .object({ type: z.literal('cleared'), discardedMs: milliseconds, playedMs: milliseconds })
      .describe('Answers `clear`: how much the caller did not hear, and has heard so far.'),
    z
      .object({
        type: z.literal('dropped'),
        of: z.enum(['sent', 'heard']).describe('By the program, or for it'),
        ms: milliseconds,
      })
      .describe('Audio was lost: `sent` did not fit the buffer, `heard` was not read in time.'),
    z
      .object({
        type: z.literal('error'),
        code: z.string().describe('One of the codes of docs/errors.md'),
        message: z.string().describe('In English, for people'),
      })
      .describe('A message of the program failed.'),
  ])
  .describe('What a program receives as text.');
export type LegEvent = z.infer<typeof LegEvent>;

/** Parses a program's text message; `undefined` if it is not a valid command. */
export function parseLegCommand(text: string): LegCommand | undefined {
  return parsed(LegCommand, text);
}

/** Parses a gateway's text message; `undefined` if it is not a valid event. */
export function parseLegEvent(text: string): LegEvent | undefined {
  return parsed(LegEvent, text);
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
