// Compiles the core to the two WebAssembly modules that are checked in beside this file, with and without SIMD.
// --check compiles anew and compares byte for byte instead.
//
// Debian 12: apt-get install -y clang-16 lld-16 wasi-libc libc++-16-dev-wasm32 libclang-rt-16-dev-wasm32

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const native = dirname(here);
const MODULES = { 'trunkline-simd.wasm': ['-msimd128'], 'trunkline.wasm': [] };

const COMPILE = [
  '--target=wasm32-wasi',
  '-O3',
  '-std=c++17',
  '-mbulk-memory',
  '-fno-exceptions',
  '-fno-rtti',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  // Other versions of these headers and libraries may give other bytes.
  '-isystem',
  '/usr/lib/llvm-16/include/wasm32-wasi/c++/v1',
  '-isystem',
  '/usr/include/wasm32-wasi',
];
/** All memory there will ever be: it never grows, so that views of it stay good. Untouched pages cost nothing. */
const MEMORY = 64 * 1024 * 1024;
const LINK = [
  '--no-entry',
  '--strip-all',
  '--gc-sections',
  '--stack-first',
  '-z',
  'stack-size=131072',
  `--initial-memory=${MEMORY}`,
  `--max-memory=${MEMORY}`,
  '-L/usr/lib/wasm32-wasi',
];

const work = mkdtempSync(join(tmpdir(), 'trunkline-wasm-'));
let differs = false;
try {
  for (const [module, flags] of Object.entries(MODULES)) {
    const built = compile(module, flags);
    if (!process.argv.includes('--check')) {
      copyFileSync(built, join(here, module));
      console.log(`native/wasm/${module}: ${readFileSync(built).length} bytes`);
    } else if (!readFileSync(built).equals(readFileSync(join(here, module)))) {
      differs = true;
      console.error(`native/wasm/${module} is not what its sources compile to: run "npm run build:wasm"`);
    }
  }
} finally {
  rmSync(work, { recursive: true });
}
process.exit(differs ? 1 : 0);

/** Compiling and linking are two steps: as one, clang hands the module to wasm-opt wherever that is installed. */
function compile(module, flags) {
  const objects = sources().map((source) => {
    const object = join(work, `${source.replaceAll('/', '-')}.o`);
    // Relative names only: an absolute one could end up in the module.
    execFileSync('clang++-16', [...COMPILE, ...flags, '-c', source, '-o', object], {
      cwd: native,
      stdio: 'inherit',
    });
    return object;
  });
  const linked = join(work, module);
  execFileSync('wasm-ld-16', [...LINK, '-o', linked, ...objects, '-lc', '-lm'], { stdio: 'inherit' });
  return linked;
}

/** All of the core: kernels for other processors are empty here. */
function sources() {
  return ['.', 'kernels', 'wasm'].flatMap((folder) =>
    readdirSync(join(native, folder))
      .filter((name) => name.endsWith('.cc') && name !== 'addon.cc')
      .sort()
      .map((name) => (folder === '.' ? name : `${folder}/${name}`)),
  );
}
