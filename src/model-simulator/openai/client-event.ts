import { z } from 'zod';
import { ApiError, apiErrorOf } from './api-error.js';

/** The longest id that a client may give to an item. */
const ID_LENGTH = 32;
const id = z.string().min(1).max(ID_LENGTH);
const eventId = { event_id: z.string().max(512).optional() };
/** What this double accepts but does not look into. */
const anything = z.unknown().optional();

// The published types call `rate` optional; the API rejects a PCM format without it.
const format = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('audio/pcm'), rate: z.literal(24_000) }),
  z.strictObject({ type: z.literal('audio/pcmu') }),
  z.strictObject({ type: z.literal('audio/pcma') }),
]);

const turnDetection = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('server_vad'),
    threshold: z.number().min(0).max(1).default(0.5),
    prefix_padding_ms: z.int().min(0).default(300),
    silence_duration_ms: z.int().min(0).default(500),
    idle_timeout_ms: z.int().min(5_000).max(30_000).nullable().default(null),
    create_response: z.boolean().default(true),
    interrupt_response: z.boolean().default(true),
  }),
  z.strictObject({
    type: z.literal('semantic_vad'),
    eagerness: z.enum(['low', 'medium', 'high', 'auto']).default('auto'),
    create_response: z.boolean().default(true),
    interrupt_response: z.boolean().default(true),
  }),
]);

const transcription = z.strictObject({
  model: z.string().optional(),
  language: z.string().optional(),
  languages: z.array(z.string()).optional(),
  prompt: z.string().optional(),
  keywords: z.array(z.string()).optional(),
  delay: z.enum(['minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
});

const voice = z.union([
  z.enum(['alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar']),
  z.strictObject({ id: z.string() }),
]);

const tool = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('function'),
    name: z.string().regex(/^[\w-]{1,64}$/, 'Expected a string that matches the pattern ^[a-zA-Z0-9_-]+$.'),
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
  }),
  z.looseObject({ type: z.literal('mcp'), server_label: z.string() }),
]);

const toolChoice = z.union([
  z.enum(['auto', 'none', 'required']),
  z.strictObject({ type: z.literal('function'), name: z.string() }),
  z.looseObject({ type: z.literal('mcp'), server_label: z.string() }),
]);

const modalities = z.array(z.enum(['text', 'audio'])).length(1);
const maxOutputTokens = z.union([z.int().min(1).max(4_096), z.literal('inf')]);

const session = z.strictObject({
  type: z.literal('realtime'),
  model: z.string().optional(),
  instructions: z.string().optional(),
  output_modalities: modalities.optional(),
  tools: z.array(tool).max(128).optional(),
  tool_choice: toolChoice.optional(),
  parallel_tool_calls: z.boolean().optional(),
  max_output_tokens: maxOutputTokens.optional(),
  audio: z
    .strictObject({
      input: z
        .strictObject({
          format: format.optional(),
          transcription: transcription.nullable().optional(),
          noise_reduction: z
            .strictObject({ type: z.enum(['near_field', 'far_field']) })
            .nullable()
            .optional(),
          turn_detection: turnDetection.nullable().optional(),
        })
        .optional(),
      output: z
        .strictObject({
          format: format.optional(),
          voice: voice.optional(),
          speed: z.number().min(0.25).max(1.5).optional(),
        })
        .optional(),
    })
    .optional(),
  include: z.array(z.literal('item.input_audio_transcription.logprobs')).nullable().optional(),
  prompt: anything,
  reasoning: anything,
  tracing: anything,
  truncation: anything,
});

const itemBase = {
  id: id.optional(),
  object: z.literal('realtime.item').optional(),
  status: z.enum(['completed', 'incomplete', 'in_progress']).optional(),
};
const text = z.strictObject({ type: z.literal('input_text'), text: z.string() });

const item = z.discriminatedUnion('type', [
  z.discriminatedUnion('role', [
    z.strictObject({
      ...itemBase,
      type: z.literal('message'),
      role: z.literal('user'),
      content: z.array(
        z.discriminatedUnion('type', [
          text,
          z.strictObject({
            type: z.literal('input_audio'),
            audio: z.string(),
            transcript: z.string().optional(),
          }),
          z.strictObject({
            type: z.literal('input_image'),
            image_url: z.string(),
            detail: z.enum(['auto', 'low', 'high']).optional(),
          }),
        ]),
      ),
    }),
    z.strictObject({
      ...itemBase,
      type: z.literal('message'),
      role: z.literal('system'),
      content: z.array(text),
    }),
    z.strictObject({
      ...itemBase,
      type: z.literal('message'),
      role: z.literal('assistant'),
      // Documented: a client cannot add assistant messages with audio.
      content: z.array(z.strictObject({ type: z.literal('output_text'), text: z.string() })),
    }),
  ]),
  z.strictObject({
    ...itemBase,
    type: z.literal('function_call'),
    name: z.string(),
    call_id: id.optional(),
    arguments: z.string(),
  }),
  z.strictObject({
    ...itemBase,
    type: z.literal('function_call_output'),
    call_id: id,
    output: z.string(),
  }),
]);

const response = z.strictObject({
  instructions: z.string().optional(),
  output_modalities: modalities.optional(),
  conversation: z.enum(['auto', 'none']).optional(),
  input: z
    .array(z.union([z.strictObject({ type: z.literal('item_reference'), id: z.string() }), item]))
    .optional(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullable().optional(),
  max_output_tokens: maxOutputTokens.optional(),
  tools: z.array(tool).max(128).optional(),
  tool_choice: toolChoice.optional(),
  parallel_tool_calls: z.boolean().optional(),
  audio: z
    .strictObject({
      output: z.strictObject({ format: format.optional(), voice: voice.optional() }).optional(),
    })
    .optional(),
  prompt: anything,
  reasoning: anything,
});

const clientEvent = z.discriminatedUnion('type', [
  z.strictObject({ ...eventId, type: z.literal('session.update'), session }),
  z.strictObject({ ...eventId, type: z.literal('input_audio_buffer.append'), audio: z.string() }),
  z.strictObject({ ...eventId, type: z.literal('input_audio_buffer.commit') }),
  z.strictObject({ ...eventId, type: z.literal('input_audio_buffer.clear') }),
  z.strictObject({
    ...eventId,
    type: z.literal('conversation.item.create'),
    previous_item_id: z.string().nullable().optional(),
    item,
  }),
  z.strictObject({ ...eventId, type: z.literal('conversation.item.retrieve'), item_id: z.string() }),
  z.strictObject({ ...eventId, type: z.literal('conversation.item.delete'), item_id: z.string() }),
  z.strictObject({
    ...eventId,
    type: z.literal('conversation.item.truncate'),
    item_id: z.string(),
    content_index: z.int().min(0),
    audio_end_ms: z.int().min(0),
  }),
  z.strictObject({ ...eventId, type: z.literal('response.create'), response: response.optional() }),
  z.strictObject({ ...eventId, type: z.literal('response.cancel'), response_id: z.string().optional() }),
]);

/** What a client sends. */
export type ClientEvent = z.output<typeof clientEvent>;
export type AudioFormat = z.output<typeof format>;
export type TurnDetection = z.output<typeof turnDetection>;
export type SessionUpdate = z.output<typeof session>;
export type ItemRequest = z.output<typeof item>;
export type ResponseRequest = z.output<typeof response>;
export type Tool = z.output<typeof tool>;
export type ToolChoice = z.output<typeof toolChoice>;
export type Voice = z.output<typeof voice>;

/**
 * Validates an event as strictly as the API: no unknown fields.
 * @throws ApiError
 */
export function clientEventOf(event: unknown): ClientEvent {
  const { success, data, error } = clientEvent.safeParse(event);
  if (!success) throw apiErrorOf(error, event);
  return data;
}

/** @throws ApiError for a text that is no JSON object */
export function jsonObjectOf(message: string): Record<string, unknown> {
  let event: unknown;
  try {
    event = JSON.parse(message);
  } catch {
    throw new ApiError('invalid_json', 'The message is not valid JSON.');
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    throw new ApiError('invalid_type', 'The message is not a JSON object.');
  return event as Record<string, unknown>;
}
