import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';

/** Stream's double in a process of its own, for all tests of a file: one that speaks for many phones has no time for it. */
export function streamProcess(): () => { baseUrl: string; apiKey: string; apiSecret: string } {
  let double: ChildProcess;
  let keys: { url: string; apiKey: string; apiSecret: string };

  beforeAll(async () => {
    const program = fileURLToPath(new URL('./stream/main.ts', import.meta.url));
    double = spawn(process.execPath, ['--import', 'tsx', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface(double.stdout as NodeJS.ReadableStream), 'line');
    keys = JSON.parse(line as string);
  });

  afterAll(async () => {
    const exited = once(double, 'exit');
    double.stdin?.end();
    await exited;
  });

  return () => ({ baseUrl: keys.url, apiKey: keys.apiKey, apiSecret: keys.apiSecret });
}
