// Compiles the addons with node-gyp: for a checkout into build/Release, or elsewhere as one that others can use.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Compiles the sources of `folder` into its build/Release; or without optimisation into
 * build/Debug, which leaves build/Release as it is. Says whether that worked, and what the compiler said. Where native/rtc does not
 * compile, `hasRtc` is false and the core is compiled alone.
 * @param settings node-gyp's own, and variables of binding.gyp
 */
export function compile(folder = ROOT, settings = [], env = {}, isDebug = false) {
  const { ok, output } = build(folder, settings, env, isDebug);
  if (ok || !output.includes('trunkline_rtc')) return { ok, output, hasRtc: ok };
  return { ok: build(folder, [...settings, '--rtc=0'], env, isDebug).ok, output, hasRtc: false };
}

function build(folder, settings, env, isDebug) {
  let nodeGyp;
  try {
    nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  } catch (error) {
    return { ok: false, output: String(error.message) };
  }
  const { status, error, stdout, stderr } = spawnSync(
    process.execPath,
    [
      nodeGyp,
      ...(isDebug ? ['configure', 'build', '--debug'] : ['rebuild', '--release']),
      ...settings,
      ...nodeHeaders(),
    ],
    {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      // binding.gyp asks `node` where node-addon-api is: let that be this Node.
      env: { ...process.env, ...env, PATH: dirname(process.execPath) + delimiter + (process.env.PATH ?? '') },
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
