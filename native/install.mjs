// The package's install script: compiles the addon with node-gyp. A machine without a compiler must still be able to install
// the package, so a failed build is a notice here, and a GW_NATIVE_MISSING error for whoever then needs the addon.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const started = Date.now();
const build = compile();
if (build.ok) {
  console.log(`trunkline: native core compiled in ${((Date.now() - started) / 1000).toFixed(1)} s`);
} else {
  console.log(notice(build.output));
}

function compile() {
  let nodeGyp;
  try {
    nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  } catch (error) {
    return { ok: false, output: String(error.message) };
  }
  const { status, error, stdout, stderr } = spawnSync(
    process.execPath,
    [nodeGyp, 'rebuild', '--release', ...nodeHeaders()],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      // binding.gyp asks `node` where node-addon-api is: let that be this Node.
      env: { ...process.env, PATH: dirname(process.execPath) + delimiter + (process.env.PATH ?? '') },
    },
  );
  return { ok: status === 0, output: `${stdout ?? ''}\n${stderr ?? ''}\n${error?.message ?? ''}` };
}

/** The headers that came with this Node, where they did, so that the build needs no download. */
function nodeHeaders() {
  const prefix = dirname(dirname(process.execPath));
  const shipped = existsSync(join(prefix, 'include', 'node', 'node_api.h'));
  return shipped && !process.env.npm_config_nodedir ? [`--nodedir=${prefix}`] : [];
}

function notice(output) {
  // node-gyp surrounds the compiler's words with its own state and stack.
  const chatter =
    /^gyp info|^gyp ERR! (stack +at |System|command|cwd|node |node-gyp |not ok|build error|find Python)/;
  const lines = output.split('\n').filter((line) => line.trim() !== '' && !chatter.test(line));
  return `
trunkline: the native core was not compiled: ${reason(output)}
  The installation goes on, but audio needs the native core. The last lines of the build:
${lines
  .slice(-12)
  .map((line) => `    ${line}`)
  .join('\n')}
  To compile it, install a C++17 compiler, make and Python 3, then run "npm rebuild trunkline",
  or in a checkout of Trunkline "npm run install":
    Debian, Ubuntu   apt-get install -y g++ make python3
    Alpine           apk add g++ make python3
    macOS            xcode-select --install
`;
}

function reason(output) {
  if (/Cannot find module 'node-gyp/.test(output)) return 'node-gyp is not installed.';
  if (/find any Python installation/i.test(output)) return 'Python 3 was not found.';
  if (/not found: make|spawn make ENOENT/.test(output)) return 'make was not found.';
  if (/(g\+\+|clang\+\+|c\+\+|cc): (command )?not found|(g\+\+|c\+\+): No such file/i.test(output)) {
    return 'no C++ compiler was found.';
  }
  if (/error: /.test(output)) return 'the compiler reported an error.';
  return 'node-gyp failed.';
}
