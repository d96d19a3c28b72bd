import type { AgentHandler } from './agent-call.js';
import type { ModelOptions } from './model.js';

export function geminiAgent(options: ModelOptions): AgentHandler {
  return () => Promise.reject(new Error(`not built yet: ${options.model}`));
}
