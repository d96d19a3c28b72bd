import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { checkedCore, type RawCore } from './checked-core.js';
import type { Core } from './core.js';

/** What the addon exports. */
type Addon = Omit<RawCore, 'backend' | 'kernels' | 'origin'> & {
  /** The kernels that this processor can run, best first. */
  readonly usableKernels: readonly Core['kernels'][];
  useKernels(name: string): void;
};

/**
 * Loads an addon. The kernels belong to the thread: loading the same addon again with other kernels changes them for both.
 * @param path the `.node` file
 * @param kernels the kernels to use; default: the best
 * @throws Error in few words if the file does not load, or this processor cannot run the kernels
 */
export function loadAddon(path: string, kernels?: string): Core {
  const addon = openAddon(path) as Addon;
  const chosen = addon.usableKernels.find((name) => kernels === undefined || name === kernels);
  if (chosen === undefined) {
    throw new Error(`Expected ${addon.usableKernels.join(', ')} for the kernels but received ${kernels}`);
  }
  addon.useKernels(chosen);
  return checkedCore({ ...addon, backend: 'native', kernels: chosen, origin: path });
}

/**
 * What an addon exports.
 * @throws Error in few words if the file does not load
 */
export function openAddon(path: string): unknown {
  try {
    return createRequire(import.meta.url)(path);
  } catch (error) {
    // Node appends a "Require stack:", which does not help here.
    const [firstLine] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new Error(firstLine);
  }
}

/** The package lies two levels above both `src/media` and `dist/media`. */
const inPackage = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Where node-gyp leaves an addon of a checkout, by the name of its target. */
export const builtAddon = (name: string) => inPackage(`build/Release/${name}.node`);

/** That of the core, and the one for a debugger. */
export const BUILT_ADDON = builtAddon('trunkline');
export const DEBUG_ADDON = inPackage('build/Debug/trunkline.node');

/** The platform that an addon must be built for to load here: `linux-x64 glibc`, `linux-arm64 musl`, `darwin-arm64`. */
export function addonPlatform(): string {
  const { platform, arch, report } = process;
  const machine = `${platform}-${arch}`;
  if (platform !== 'linux') return machine;
  // By default the report resolves the names of all network addresses, which can be slow.
  Object.assign(report, { excludeNetwork: true });
  const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return `${machine} ${header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'}`;
}

/** The path of an addon that ships with the package, in prebuildify's layout; native/prebuild.mjs puts it there. */
export function prebuiltAddon(platform: string, name = 'trunkline'): string {
  const [machine, libc] = platform.split(' ');
  return inPackage(`prebuilds/${machine}/${name}${libc ? `.${libc}` : ''}.node`);
}
