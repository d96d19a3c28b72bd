import { z } from 'zod';

/** Whether a text names an agent: a `ws(s)://` URL, a model as `vendor:model`, or the name of a handler. */
export function isAgent(text: string): boolean {
  if (/^wss?:/i.test(text)) return /^wss?:\/\/[^\s/]/i.test(text) && URL.canParse(text);
  return /^[a-z][a-z0-9_-]{0,63}(:\w[\w.:/-]{0,127})?$/i.test(text);
}

/** The name of an agent in a decision or a request. */
export const AgentName = z
  .string()
  .max(2_048)
  .refine(isAgent, 'not a ws:// or wss:// URL, a model like openai:gpt-realtime, or a name');
