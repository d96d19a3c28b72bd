import type { AgentCall } from './agent-call.js';

/** Something that a model may do during a call. */
export interface AgentTool {
  /** 1 to 64 letters, digits, `_` and `-`. */
  readonly name: string;
  /** What it does and when to use it, for the model. */
  readonly description: string;
  /** JSON Schema of its arguments: an object. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /**
   * Does it. The model learns that it failed, without details.
   * @param args as the model gave them: check them
   * @returns what the model learns: text, or anything that JSON can carry
   */
  run(args: Readonly<Record<string, unknown>>, call: AgentCall): unknown | Promise<unknown>;
}
