import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** `npm run demo`: the shipped demo. In a checkout, `--bridge stream` without keys runs against the double of Stream. */
const flags = process.argv.slice(2);
const needsDouble = flags.join(' ').match(/--bridge[ =]stream/) && !process.env.STREAM_API_KEY;
const double = needsDouble ? await (await import('./process.js')).startStreamDouble() : undefined;
const cli = fileURLToPath(new URL('../../../dist/cli/trunkline.js', import.meta.url));
const demo = spawn(process.execPath, [cli, 'demo', ...flags], {
  stdio: 'inherit',
  env: {
    ...process.env,
    ...(double && {
      STREAM_API_KEY: double.keys.apiKey,
      STREAM_API_SECRET: double.keys.apiSecret,
      STREAM_BASE_URL: double.keys.baseUrl,
    }),
  },
});
const [code] = await once(demo, 'exit');
await double?.close();
process.exitCode = code ?? 1;
