// Compiles the addon with node-gyp, into build/Release.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where the addon is when it is compiled. */
export const BUILT = join(root, 'build', 'Release', 'trunkline.node');

/** Where one that was compiled elsewhere lies, laid out as prebuildify does: Linux has two C libraries. */
export const PREBUILT = join(
  root,
  'prebuilds',
  `${process.platform}-${process.arch}`,
  `trunkline${libc()}.node`,
);

function libc() {
  if (process.platform !== 'linux') return '';
  // Else the report asks for the names of all network addresses, which may take its time.
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime === undefined ? '.musl' : '.glibc';
}

/** Whether an addon loads; in a process of its own, since a wrong one may crash. */
export function loads(path) {
  const script = `const { Transcoder, usableKernels } = require(${JSON.stringify(path)}); new Transcoder(); usableKernels[0].at(0)`;
  return existsSync(path) && spawnSync(process.execPath, ['-e', script], { timeout: 20_000 }).status === 0;
}

/** Compiles. Says whether that worked, and what the compiler said. */
export function compile() {
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
