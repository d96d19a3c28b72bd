import { z } from 'zod';
import { mistakesOf } from '../errors.js';
import { createMediaStreamTwiml, MAX_TWIML_BYTES, StreamParameters } from '../twilio/twiml.js';
import { CallVerbs } from '../twilio/verbs.js';
import { isXmlText } from '../twilio/xml-text.js';
import { AgentName } from './agent-name.js';
import type { Admission, CallDecision } from './decision.js';
import type { PlaceCallRequest } from './place-call.js';

/** Stream's limits for call type and id. */
const part = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'not 1 to 64 of A-Z a-z 0-9 _ -');
const name = z.string().min(1).max(256);
const spoken = z.string().min(1).max(4096).refine(isXmlText, 'characters that XML cannot carry');
const language = z.string().min(1).max(64).refine(isXmlText, 'characters that XML cannot carry');

/** TwiML bytes reserved for the gateway's own URLs. */
const ADDRESS_BYTES = 4 * 1024;
/** Characters of an agent's parameters as ASCII JSON: they go into a header, which servers limit. */
const MAX_AGENT_PARAMETERS = 2_048;
const MOST_TWIML_BYTES = MAX_TWIML_BYTES - ADDRESS_BYTES;

const Refused = z.strictObject({
  refuse: z.union(
    [z.enum(['busy', 'rejected']), z.strictObject({ say: spoken, language: language.optional() })],
    'not "busy", "rejected" or { say }',
  ),
});

const words = z.string().max(16_384);

const Agent = z.union(
  [
    z.literal(false),
    AgentName,
    z.strictObject({
      to: AgentName,
      rate: z.union([z.literal(8_000), z.literal(16_000), z.literal(24_000), z.literal(48_000)]).optional(),
      ring: name.optional(),
      instructions: words.optional(),
      voice: name.optional(),
      greeting: words.optional(),
      parameters: z
        .record(z.string().min(1), z.string())
        .refine((all) => headerLength(all) <= MAX_AGENT_PARAMETERS, 'more than 2 KiB as ASCII JSON')
        .optional(),
    }),
  ],
  'not a ws:// or wss:// URL, a model like openai:gpt-realtime, a name, false, or { to, … } with those',
);

const Admitted = z
  .strictObject({
    bridge: z.boolean().optional(),
    room: name.optional(),
    streamCall: z.strictObject({ type: part.optional(), id: part }).optional(),
    agent: Agent.optional(),
    user: z
      .strictObject({
        id: z.string().min(1).max(255).optional(),
        name: name.optional(),
        custom: z.record(z.string(), z.unknown()).optional(),
      })
      .refine((user) => Object.keys(user).length > 0, 'neither id, name nor custom')
      .optional(),
    parameters: StreamParameters.optional(),
    before: CallVerbs.optional(),
    after: CallVerbs.optional(),
    dtmf: z.boolean().optional(),
    hold: z.union([z.boolean(), z.strictObject({ file: name })], 'not true, false or { file }').optional(),
    mute: z.enum(['caller', 'room', 'both']).optional(),
  })
  .refine(({ room, streamCall }) => room === undefined || streamCall === undefined, {
    path: ['streamCall'],
    message: 'beside a room',
  })
  .refine(({ agent, bridge }) => !agent || bridge !== false, {
    path: ['agent'],
    message: 'beside bridge: false',
  });

/**
 * Checks the decision of a hook or router; `undefined` means the defaults.
 * @throws TypeError naming every mistake: no call is better than one in the wrong room
 */
export function checkDecision(decision: unknown): CallDecision {
  if (decision === undefined || decision === null) return {};
  const checked = schemaOf(decision).safeParse(decision);
  if (!checked.success) throw undecided(mistakesOf(checked.error, 'the whole'));
  const decided = checked.data as CallDecision;
  const bytes = 'refuse' in decided ? 0 : twimlBytes(decided);
  if (bytes <= MOST_TWIML_BYTES) return decided;
  throw undecided(
    `parameters, before and after: ${bytes} bytes of TwiML together, more than ${MOST_TWIML_BYTES}`,
  );
}

/** Lists what is wrong with a decision, each mistake with its path; empty if it is valid. */
export function decisionMistakes(
  decision: unknown,
): readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] {
  if (decision === undefined || decision === null) return [];
  const checked = schemaOf(decision).safeParse(decision);
  if (!checked.success) return checked.error.issues;
  try {
    checkDecision(decision);
    return [];
  } catch (error) {
    return [{ path: [], message: (error as Error).message.replace(/^.*? but received /, '') }];
  }
}

/** Length as JSON in which `\\uXXXX` stands for what is not ASCII. */
function headerLength(parameters: object): number {
  return JSON.stringify(parameters).replace(/[\u007f-\uffff]/g, '\\u0000').length;
}

function schemaOf(decision: unknown): typeof Refused | typeof Admitted {
  return typeof decision === 'object' && decision !== null && 'refuse' in decision ? Refused : Admitted;
}

/** Bytes that the decision's own parts take in TwiML, after escaping. */
function twimlBytes({ parameters, before, after }: Admission): number {
  if (parameters === undefined && before === undefined && after === undefined) return 0;
  const words = { parameters: parameters ?? {}, before: before ?? [], after: after ?? [] };
  return Buffer.byteLength(createMediaStreamTwiml('wss://gateway.invalid', words));
}

function undecided(received: string): TypeError {
  return new TypeError(`Expected a decision for the call but received ${received}`);
}

/** Copies a decision with another room. */
export function inPlace(decision: Admission, place: Pick<Admission, 'room' | 'streamCall'>): Admission {
  const { room: _, streamCall: __, ...others } = decision;
  return { ...others, ...place };
}

/** Applies what a request to place a call says to the hook's decision; a refusal stays a refusal. */
export function withRequest(
  decision: CallDecision | undefined,
  { room, agent }: Pick<PlaceCallRequest, 'room' | 'agent'>,
): CallDecision {
  const decided = checkDecision(decision);
  if ('refuse' in decided) return decided;
  const placed = room === undefined ? decided : inPlace(decided, { room });
  return agent === undefined ? placed : { ...placed, agent };
}

/** The decided room, if any. */
export function roomOf({ room, streamCall }: Admission): string | undefined {
  return room ?? (streamCall && `${streamCall.type ?? 'default'}:${streamCall.id}`);
}
