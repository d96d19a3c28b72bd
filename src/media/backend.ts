import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../errors.js';
import { BUILT_ADDONS, loadAddon, PREBUILT_ADDONS } from './addon.js';
import type { Core } from './core.js';
import { checkCore } from './self-test.js';
import { TRANSCODERS, type TranscoderChoice } from './transcoders.js';
import { loadWasm, WASM_MODULES } from './wasm.js';

/** One way to get a core. */
export interface Backend {
  readonly file: string;
  readonly load: () => Core;
}

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/**
 * The first core that loads and passes the self-test: the addon, WebAssembly with SIMD, WebAssembly without.
 * @param wanted `TRANSCODER`; unset or blank is `auto`, and blanks around it do not count, as in the configuration
 * @throws GatewayError `GW_TRANSCODER_UNKNOWN` for another word; `GW_NATIVE_MISSING`, which says what was tried and what to
 * do, if only the addon may be used and none works; `GW_WASM_MISSING` likewise
 */
export function chooseCore(wanted: string | undefined): Core {
  const choice = (wanted?.trim() || 'auto') as TranscoderChoice;
  if (!TRANSCODERS.includes(choice)) {
    throw new GatewayError(
      'GW_TRANSCODER_UNKNOWN',
      `Expected auto, native or wasm for TRANSCODER but received "${String(wanted).slice(0, 60)}"`,
    );
  }
  return firstOf(backendsOf(choice), choice);
}

/** The first of these that loads and passes the self-test, with what was wrong with the others in its origin. */
export function firstOf(backends: readonly Backend[], choice: TranscoderChoice = 'auto'): Core {
  const failures: string[] = [];
  for (const { file, load } of backends) {
    try {
      const core = load();
      checkCore(core);
      const origin = [core.origin, ...failures.map((failure) => `not ${failure}`)].join('; ');
      // Anybody may ask for it at /health: where the package lies on this machine is nobody's business.
      return { ...core, origin: origin.replaceAll(PACKAGE, '') };
    } catch (error) {
      failures.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (choice.startsWith('wasm')) {
    throw new GatewayError('GW_WASM_MISSING', explainWasm(failures));
  }
  throw new GatewayError('GW_NATIVE_MISSING', explainNative(failures));
}

function backendsOf(choice: TranscoderChoice): Backend[] {
  const [kind, kernels] = choice.split('-');
  const addons = addonPaths().map((file) => ({ file, load: () => loadAddon(file, kernels) }));
  const modules = WASM_MODULES.map((file) => ({ file, load: () => loadWasm(file) }));
  if (kind === 'native') return addons;
  if (kind === 'auto') return [...addons, ...modules];
  return modules.filter((_, i) => kernels === undefined || i === (kernels === 'simd' ? 0 : 1));
}

/** The built one first: whoever compiled it wanted it. Of those that are not there only the usual one is worth a word. */
function addonPaths(): readonly string[] {
  const present = [...BUILT_ADDONS, ...PREBUILT_ADDONS].filter((path) => existsSync(path));
  return present.length > 0 ? present : BUILT_ADDONS;
}

function explainNative(failures: readonly string[]): string {
  const { platform, arch, version, versions } = process;
  return [
    'Expected the native core for audio but received no addon that loads.',
    '1. Tried:',
    ...failures.map((failure) => `     ${failure}`),
    `2. This is ${platform}-${arch}, Node ${version} (ABI ${versions.modules}, Node-API ${versions.napi}).`,
    '3. Install a C++17 compiler, make and Python 3:',
    '     Debian, Ubuntu   apt-get install -y g++ make python3',
    '     Alpine           apk add g++ make python3',
    '     macOS            xcode-select --install',
    '4. Compile: "npm rebuild trunkline" where it is a dependency, "npm run install" in a checkout of it.',
    '5. Node 20, 22 or 23 is needed. An addon from another machine or container image must be compiled again.',
    '6. Without an addon, TRANSCODER=auto (the default) or TRANSCODER=wasm runs on WebAssembly.',
  ].join('\n');
}

function explainWasm(failures: readonly string[]): string {
  return [
    'Expected the WebAssembly core for audio but received no module that runs.',
    '1. Tried:',
    ...failures.map((failure) => `     ${failure}`),
    '2. The modules are files of the package: install it again.',
  ].join('\n');
}
