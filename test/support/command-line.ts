import { Writable } from 'node:stream';
import { runCommandLine } from '../../src/cli/command-line.js';
import type { ShellOptions } from '../../src/cli/shell.js';

/** What a command left behind. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in this process, in its own environment. */
export async function trunkline(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: ShellOptions = {},
): Promise<Ran> {
  const [stdout, stderr] = [new Captured(), new Captured()];
  const code = await runCommandLine(args, { stdout, stderr, env, ...options });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class Captured extends Writable {
  text = '';

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk;
    done();
  }
}
