import { benchGateway } from './gateway.js';
import { benchTranscode } from './transcode.js';

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  transcode: benchTranscode,
  gateway: benchGateway,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in BENCHES));
if (unknown !== undefined) {
  console.error(`Expected ${Object.keys(BENCHES).join(' or ')} for the bench but received "${unknown}"`);
  process.exit(1);
}
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length === 0 || wanted.includes(name)) await bench();
}
