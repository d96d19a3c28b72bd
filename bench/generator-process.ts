import { type LoadOptions, runLoad } from '../src/simulator/index.js';

// Twilio's side in its own process: options in the first argument; reports when all calls are up.
const options = JSON.parse(process.argv[2] ?? '{}') as LoadOptions;
let held = false;
const report = await runLoad({
  ...options,
  onProgress: ({ phase }) => {
    if (phase !== 'hold' || held) return;
    held = true;
    process.send?.('hold');
  },
});
process.send?.(report, () => process.disconnect());
