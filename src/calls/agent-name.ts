import { z } from 'zod';
import { isAgent } from './agent-address.js';

/** The name of an agent in a decision or a request. */
export const AgentName = z
  .string()
  .max(2_048)
  .refine(isAgent, 'not a ws:// or wss:// URL, a model like openai:gpt-realtime, or a name');
