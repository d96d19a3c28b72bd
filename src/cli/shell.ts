import { Console } from 'node:console';
import type { EventEmitter } from 'node:events';

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly fd?: number };

export interface ShellOptions {
  readonly stdout?: Output;
  readonly stderr?: Output;
  readonly env?: NodeJS.ProcessEnv;
  /** Where signals come from. */
  readonly signals?: EventEmitter;
  /** Ends the process at once. */
  readonly exit?: (code: number) => void;
}

/** All that a command sees of the process it runs in; a test gives it another. */
export class Shell {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly signals: EventEmitter;
  readonly exit: (code: number) => void;
  /** Writes results with `log`, everything else with `error`. */
  readonly console: Console;
  exitCode = 0;

  constructor(options: ShellOptions = {}) {
    this.stdout = options.stdout ?? process.stdout;
    this.stderr = options.stderr ?? process.stderr;
    this.env = options.env ?? process.env;
    this.signals = options.signals ?? process;
    this.exit = options.exit ?? process.exit;
    this.console = new Console(this.stdout, this.stderr);
  }
}
