import { StreamDouble } from './double.js';

/**
 * The double as a process of its own: `node --import tsx test/support/stream/main.ts [port]`. One line on stdout says
 * where it is; it ends with its standard input.
 */
const double = await StreamDouble.start({ port: Number(process.argv[2] ?? 0) });
const { url, apiKey, apiSecret } = double;
console.log(JSON.stringify({ url, apiKey, apiSecret }));

let isClosing = false;
const close = async () => {
  if (isClosing) return;
  isClosing = true;
  await double.close();
  process.stdin.destroy();
};
process.on('SIGTERM', close);
process.on('SIGINT', close);
process.stdin.on('end', close).on('close', close).resume();
