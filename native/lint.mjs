// Checks the C++ sources: their format, and what clang-tidy finds. --fix formats them.
//
// Debian 12: apt-get install -y clang-format-16 clang-tidy-16

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ROOT } from './compile.mjs';

const folders = ['native', 'native/kernels', 'native/portable', 'native/rtc', 'native/wasm', 'test/native'];
const sources = folders.flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => /\.(cc|h)$/.test(name))
    .map((name) => `${folder}/${name}`),
);
/** Kernels for other processors are empty here, and two files are for other compilers. */
const analysed = sources.filter(
  (name) => /^native\/.*\.cc$/.test(name) && !/neon|simd128|portable|wasm/.test(name),
);

const format = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '--Werror'];
run('clang-format-16', [...format, '--style=file:native/.clang-format', ...sources]);
const { include_dir: napi } = createRequire(import.meta.url)('node-addon-api');
const nodeHeaders = join(dirname(dirname(process.execPath)), 'include/node');
const headers = [nodeHeaders, napi.replaceAll('"', '')].flatMap((folder) => ['-isystem', folder]);
const defines = [
  'NAPI_VERSION=8',
  'NAPI_DISABLE_CPP_EXCEPTIONS',
  'NODE_ADDON_API_DISABLE_DEPRECATED',
  'OPENSSL_SUPPRESS_DEPRECATED',
];
if (existsSync(join(nodeHeaders, 'node_api.h'))) {
  const flags = ['-std=c++17', ...headers, ...defines.map((name) => `-D${name}`)];
  run('clang-tidy-16', ['--quiet', ...analysed, '--', ...flags]);
} else console.warn(`Skipped: clang-tidy, for ${nodeHeaders} has no headers of Node`);

function run(tool, args) {
  // clang-tidy counts on stderr what it suppresses in the headers of others.
  const { status, error, stderr } = spawnSync(tool, args, {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
  });
  if (error?.code === 'ENOENT') console.warn(`Skipped: ${tool} is not installed (apt-get install ${tool})`);
  else if (status !== 0) {
    console.error(stderr);
    process.exitCode = 1;
  }
}
