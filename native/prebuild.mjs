// Compiles the addons that go into the npm package, into prebuilds/<platform>-<arch>/: on Linux x64 that of Linux
// arm64 too, elsewhere the machine's own. Those of the other platforms come from machines of theirs, as the public CI's
// (.github/workflows).
//
//   node native/prebuild.mjs [linux-x64] [linux-arm64] …

import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { compile, ROOT } from './compile.mjs';

/** Compilers for other processors. Debian's package is g++-aarch64-linux-gnu. */
const CROSS = { 'linux-arm64': 'aarch64-linux-gnu-' };

/** What an addon that loads can do. */
const TRIALS = {
  trunkline: 'addon.openTranscoder(0); addon.usableKernels[0].at(0)',
  trunkline_rtc: 'if (addon.makeCertificate() < 0) process.exit(1)',
};

const own = `${process.platform}-${process.arch}`;
const targets = process.argv.slice(2);
if (targets.length === 0) targets.push(own, ...(own === 'linux-x64' ? Object.keys(CROSS) : []));
const stray = targets.find((target) => target !== own && !(own === 'linux-x64' && target in CROSS));
if (stray)
  end(`Expected ${own}${own === 'linux-x64' ? ` or ${Object.keys(CROSS)}` : ''} but received ${stray}`);

for (const target of targets) {
  const trouble = prebuild(target);
  if (trouble) end(`${trouble}\ntrunkline: no native core for ${target}`);
}

/** Says what went wrong, if anything did. */
function prebuild(target) {
  // A separate folder keeps the checkout's build; within node_modules, node-addon-api is found.
  mkdirSync(join(ROOT, 'node_modules/.cache'), { recursive: true });
  const work = mkdtempSync(join(ROOT, 'node_modules/.cache/trunkline-prebuild-'));
  try {
    for (const name of ['native', 'binding.gyp'])
      cpSync(join(ROOT, name), join(work, name), { recursive: true });
    const prefix = target === own ? undefined : CROSS[target];
    const tools = prefix && { CC: `${prefix}gcc`, CXX: `${prefix}g++`, AR: `${prefix}ar` };
    const build = compile(work, [`--arch=${target.split('-')[1]}`, '--portable=1'], tools);
    if (!build.ok || !build.hasRtc) return build.output;
    for (const [name, trial] of Object.entries(TRIALS)) {
      const built = join(work, `build/Release/${name}.node`);
      // Windows has the core alone.
      if (!existsSync(built) && process.platform === 'win32') continue;
      if (target === own && !loads(built, trial)) return `What was built does not load: ${name}`;
      const file = `prebuilds/${target}/${name}${libc(target)}.node`;
      mkdirSync(join(ROOT, dirname(file)), { recursive: true });
      copyFileSync(built, join(ROOT, file));
      console.log(`trunkline: ${file}`);
    }
    return undefined;
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The C library in prebuildify's file names: Linux has two. */
function libc(target) {
  if (!target.startsWith('linux')) return '';
  // By default the report resolves the names of all network addresses, which can be slow.
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime === undefined ? '.musl' : '.glibc';
}

/** In another process, since a wrong one may crash. */
function loads(path, trial) {
  const script = `const addon = require(${JSON.stringify(path)}); ${trial}`;
  return spawnSync(process.execPath, ['-e', script], { timeout: 20_000 }).status === 0;
}

function end(why) {
  console.error(why);
  process.exit(1);
}
