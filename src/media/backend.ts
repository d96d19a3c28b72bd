import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../errors.js';
import { addonPlatform, BUILT_ADDON, DEBUG_ADDON, loadAddon, prebuiltAddon } from './addon.js';
import { type Core, TRANSCODERS, type TranscoderChoice } from './core.js';
import { checkCore } from './self-test.js';
import { loadWasm, WASM_MODULES } from './wasm.js';

/** One way to load a core. */
export interface Backend {
  /** Absent if there is no file to load; `load` then throws an error that says so. */
  readonly file?: string;
  readonly load: () => Core;
}

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/**
 * The first core that loads and passes the self-test: the addon, WebAssembly with SIMD, WebAssembly without.
 * @param wanted `TRANSCODER`; unset or blank means `auto`, and surrounding blanks are ignored, as in the configuration
 * @throws GatewayError `GW_TRANSCODER_UNKNOWN` for another word; `GW_NATIVE_MISSING` or `GW_WASM_MISSING` if only that backend
 * is allowed and none of its files works: the message lists what was tried and what to do
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

/** The first of these that loads and passes the self-test. Its origin also says why the earlier ones were skipped. */
export function firstOf(backends: Iterable<Backend>, choice: TranscoderChoice = 'auto'): Core {
  const failures: string[] = [];
  for (const { file, load } of backends) {
    try {
      const core = load();
      checkCore(core);
      const origin = [core.origin, ...failures].join('; ');
      // /health shows it to anybody, so it must not reveal where the package lies.
      return { ...core, origin: origin.replaceAll(PACKAGE, '') };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      failures.push(file === undefined ? message : `not ${file}: ${message}`);
    }
  }
  if (choice.startsWith('wasm')) {
    throw new GatewayError('GW_WASM_MISSING', explainWasm(failures));
  }
  throw new GatewayError('GW_NATIVE_MISSING', explainNative(failures));
}

/** A generator, so that files are only looked up when they are needed. */
function* backendsOf(choice: TranscoderChoice): Generator<Backend> {
  const [kind, kernels] = choice.split('-');
  if (kind !== 'wasm') yield* addonsWith(kernels);
  if (kind === 'native') return;
  const wanted = kind === 'wasm' ? kernels : undefined;
  for (const [i, file] of WASM_MODULES.entries()) {
    if (wanted === undefined || i === (wanted === 'simd' ? 0 : 1)) yield { file, load: () => loadWasm(file) };
  }
}

/** A compiled addon comes first: somebody wanted it. */
function* addonsWith(kernels: string | undefined): Generator<Backend> {
  const addon = (file: string): Backend => ({ file, load: () => loadAddon(file, kernels) });
  if (kernels === 'debug') return yield { file: DEBUG_ADDON, load: () => loadAddon(DEBUG_ADDON) };
  if (existsSync(BUILT_ADDON)) yield addon(BUILT_ADDON);
  const platform = addonPlatform();
  const file = prebuiltAddon(platform);
  if (existsSync(file)) yield addon(file);
  else yield none(platform);
}

function none(platform: string): Backend {
  return {
    load() {
      throw new Error(`no native core for ${platform}`);
    },
  };
}

function explainNative(failures: readonly string[]): string {
  const { version, versions } = process;
  return [
    'The native core does not load.',
    '1. Tried:',
    ...failures.map((failure) => `     ${failure.replace(/^not /, '')}`),
    `2. This is ${addonPlatform()}, Node ${version} (ABI ${versions.modules}, Node-API ${versions.napi}).`,
    '3. The package holds cores for Linux with glibc 2.28 or later, x64 and arm64, which any Node from 20.17 on loads.',
    '4. In a checkout, "npm run prepare" compiles one. A C++17 compiler, make and Python 3 are needed:',
    '     Debian, Ubuntu   apt-get install -y g++ make python3',
    '     Alpine           apk add g++ make python3',
    '     macOS            xcode-select --install',
    '5. For another system, "npm pack" in a checkout on it makes a package that holds a core for it.',
    '6. Without one, TRANSCODER=auto (the default) or TRANSCODER=wasm runs on WebAssembly.',
  ].join('\n');
}

function explainWasm(failures: readonly string[]): string {
  return [
    'The WebAssembly core does not run.',
    '1. Tried:',
    ...failures.map((failure) => `     ${failure.replace(/^not /, '')}`),
    '2. The modules are files of the package: install it again.',
  ].join('\n');
}
