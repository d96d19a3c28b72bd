// Compiles the addon for this platform into prebuilds/, which goes into the npm package where it is present. The other
// platforms' addons come from machines of theirs; what has none is compiled when it is installed.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { BUILT, compile, loads, PREBUILT } from './compile.mjs';

const build = compile();
if (!build.ok) {
  console.error(build.output);
  process.exit(1);
}
mkdirSync(dirname(PREBUILT), { recursive: true });
copyFileSync(BUILT, PREBUILT);
// Symbols are a third of it, and nobody needs them.
if (process.platform === 'linux') spawnSync('strip', ['--strip-unneeded', PREBUILT]);
if (!loads(PREBUILT)) {
  rmSync(PREBUILT);
  console.error(`Expected an addon that loads for ${PREBUILT} but received one that does not`);
  process.exit(1);
}
console.log(`trunkline: ${relative(process.cwd(), PREBUILT)}`);
