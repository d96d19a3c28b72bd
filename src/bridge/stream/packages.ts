import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { GatewayError } from '../../errors.js';

/** What the bridge is made of: optional dependencies. */
const NEEDED: readonly string[] = ['@stream-io/node-sdk', '@stream-io/video-client'];
/** libwebrtc is of use only where the lean stack is none. */
const PACKAGES = [...NEEDED, '@roamhq/wrtc'];

/**
 * Makes sure that the bridge's packages are installed; whether they load is another matter.
 * @throws GatewayError `GW_STREAM_MISSING` (503), which says how to install them
 */
export function requireStreamPackages(): void {
  const { resolve } = createRequire(import.meta.url);
  const missing = PACKAGES.filter((name) => {
    try {
      resolve(name);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    }
  });
  if (!missing.some((name) => NEEDED.includes(name))) return;
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const { optionalDependencies: versions } = JSON.parse(manifest) as {
    readonly optionalDependencies: Readonly<Record<string, string>>;
  };
  const wanted = PACKAGES.map((name) => `${name}@${versions[name]}`).join(' ');
  throw new GatewayError(
    'GW_STREAM_MISSING',
    `The Stream bridge needs ${missing.join(', ')}: npm i ${wanted}`,
  );
}
