import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The double of Stream in its own process: where it is, and the keys of its app. */
export interface StreamProcess {
  readonly keys: { readonly baseUrl: string; readonly apiKey: string; readonly apiSecret: string };
  close(): Promise<void>;
}

/** Starts the double as its own process: forwarding the audio of many phones leaves no time for anything else. */
export async function startStreamDouble(): Promise<StreamProcess> {
  const program = fileURLToPath(new URL('./main.ts', import.meta.url));
  const double = spawn(process.execPath, ['--import', 'tsx', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(double, 'exit');
  const [line] = await Promise.race([
    once(createInterface(double.stdout), 'line'),
    exited.then(([code]) => {
      throw new Error(`The double of Stream ended with exit code ${code} before it listened`);
    }),
  ]);
  const { url, apiKey, apiSecret } = JSON.parse(String(line));
  return {
    keys: { baseUrl: url, apiKey, apiSecret },
    async close() {
      double.stdin.end();
      await exited;
    },
  };
}
