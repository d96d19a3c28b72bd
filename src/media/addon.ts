import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { checkedCore, type RawCore } from './checked-core.js';
import type { Core } from './core.js';

/** What the addon exports. */
type Addon = Omit<RawCore, 'backend' | 'kernels' | 'origin'> & {
  /** What this processor can run, best first. */
  readonly usableKernels: readonly Core['kernels'][];
  useKernels(name: string): void;
};

/**
 * Loads an addon. Its kernels are those of the whole thread: who loads it again with others changes them for all.
 * @param path the `.node` file
 * @param kernels the kernels to use; the best if none are named
 * @throws Error in few words if the file does not load, or this processor cannot run the kernels
 */
export function loadAddon(path: string, kernels?: string): Core {
  const addon = open(path);
  const chosen = addon.usableKernels.find((name) => kernels === undefined || name === kernels);
  if (chosen === undefined) {
    throw new Error(`Expected ${addon.usableKernels.join(', ')} for the kernels but received ${kernels}`);
  }
  addon.useKernels(chosen);
  return checkedCore({ ...addon, backend: 'native', kernels: chosen, origin: path });
}

function open(path: string): Addon {
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    // Node appends a "Require stack:", which says nothing here.
    const [firstLine] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new Error(firstLine);
  }
}

/** The same two levels above `src/media` and `dist/media`. */
const inPackage = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Where node-gyp leaves the addon of a checkout. */
export const BUILT_ADDONS: readonly string[] = ['Release', 'Debug'].map((configuration) =>
  inPackage(`build/${configuration}/trunkline.node`),
);

/** What an addon must be made for to load here: `linux-x64 glibc`, `linux-arm64 musl`, `darwin-arm64`. */
export function addonPlatform(): string {
  const { platform, arch, report } = process;
  const machine = `${platform}-${arch}`;
  if (platform !== 'linux') return machine;
  // Else the report asks for the names of all network addresses, which may take its time.
  Object.assign(report, { excludeNetwork: true });
  const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return `${machine} ${header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'}`;
}

/** Where the one that came with the package lies, laid out as prebuildify does; native/prebuild.mjs puts it there. */
export function prebuiltAddon(platform: string): string {
  const [machine, libc] = platform.split(' ');
  return inPackage(`prebuilds/${machine}/trunkline${libc ? `.${libc}` : ''}.node`);
}
