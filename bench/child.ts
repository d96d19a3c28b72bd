import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/**
 * Starts a script of this folder in its own process, its options as the first argument; on one core if asked.
 * @param idle whether it runs only while the core is idle (Linux)
 * @param flags of Node
 */
export function startChild(
  script: string,
  options: object,
  core?: number,
  idle = false,
  flags: readonly string[] = [],
): ChildProcess {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const loader = script.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const pin = core === undefined ? [] : ['taskset', '-c', String(core)];
  const yielding = idle && process.platform === 'linux' ? ['chrt', '--idle', '0'] : [];
  const node = [process.execPath, ...flags, ...loader, path, JSON.stringify(options)];
  const [command = '', ...args] = [...pin, ...yielding, ...node];
  return spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** The process' next message; its end is an error. */
export async function answerOf<T>(child: ChildProcess): Promise<T> {
  const gone = new AbortController();
  const exit = once(child, 'exit', { signal: gone.signal }).then(([code]) => {
    throw new Error(`the process ended with ${code}`);
  });
  try {
    const [message] = (await Promise.race([once(child, 'message'), exit])) as [T];
    return message;
  } finally {
    gone.abort();
    exit.catch(() => {});
  }
}
