import { spawn } from 'node:child_process';

/** How a run of tests went. */
export interface Outcome {
  readonly isGreen: boolean;
  /** The first failed test, after its project and file, or why there is none. */
  readonly failure: string;
  /** Of that test. */
  readonly file: string | undefined;
  readonly seconds: number;
}

const COMMAND = ['node_modules/vitest/vitest.mjs', 'run', '--reporter=dot', '--bail=1', '--passWithNoTests'];

let running: number | undefined;

/** Kills the current run with all its children. */
export function stop(): void {
  if (running !== undefined) process.kill(-running, 'SIGKILL');
}

/**
 * Runs tests up to the first that fails.
 * @param what vitest's own arguments: projects, and parts of paths
 * @param limitSeconds what takes longer hangs, and is ended
 */
export async function vitest(root: string, what: readonly string[], limitSeconds = 3_600): Promise<Outcome> {
  const begun = performance.now();
  // Its own process group, so that it can be killed with all its children.
  const options = { cwd: root, detached: true, env: { ...process.env, NO_COLOR: '1' } };
  const child = spawn(process.execPath, [...COMMAND, ...what], options);
  running = child.pid;
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stop();
  }, limitSeconds * 1_000);
  const code = await new Promise<number | null>((resolve) => {
    child.on('close', resolve);
    // What it leaves behind may keep its output open.
    child.on('exit', (exitCode) => setTimeout(resolve, 2_000, exitCode));
  });
  clearTimeout(timer);
  running = undefined;
  const [, failed, file] = /^ *FAIL +(.*?(test\/\S+).*)$/m.exec(output) ?? [];
  const failure = failed ?? (isLate ? `no end within ${limitSeconds} s` : output.trim().slice(-400));
  return { isGreen: code === 0, failure, file, seconds: (performance.now() - begun) / 1_000 };
}
