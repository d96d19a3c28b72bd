import type { Clock } from '../clock.js';
import type { AgentCall } from './agent-call.js';
import { isObject } from './model-socket.js';
import type { AgentTool } from './tool.js';

/** How long a tool may take. */
const TOOL_MS = 5_000;
/** Longest result, in characters. */
const MAX_RESULT = 16_384;

/**
 * Runs what a model asked for. Never rejects: the model gets the result.
 * @param args as the model gave them: an object, or JSON of one
 * @param onWarning learns why a tool failed; the model does not
 */
export async function runTool(
  tools: readonly AgentTool[],
  name: string,
  args: unknown,
  call: AgentCall,
  clock: Clock,
  onWarning: (message: string, error?: unknown) => void,
): Promise<string> {
  const tool = tools.find((each) => each.name === name);
  if (tool === undefined) return 'There is no such function.';
  const checked = typeof args === 'string' ? parsed(args) : args;
  if (!isObject(checked)) return 'The arguments must be a JSON object.';
  try {
    const run = async () => ({ result: await tool.run(checked, call) });
    const done = await clock.within(TOOL_MS, run());
    if (done !== undefined) return textOf(done.result);
    onWarning(`tool ${name} took too long`);
    return 'The function took too long.';
  } catch (error) {
    onWarning(`tool ${name} failed`, error);
    return 'The function failed.';
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json === '' ? '{}' : json);
  } catch {
    return undefined;
  }
}

function textOf(result: unknown): string {
  const text = typeof result === 'string' ? result : (JSON.stringify(result) ?? 'Done.');
  return text.length > MAX_RESULT ? `${text.slice(0, MAX_RESULT)}…` : text;
}
