import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../errors.js';

/**
 * A file in `fixtures/`: beside the source, also when this module runs compiled from `dist/simulator/`, where tsc copies no
 * recordings.
 * @throws GatewayError `GW_SIM_FIXTURE` if it is missing
 */
export function fixturePath(name: string): string {
  for (const folder of ['./fixtures/', '../../src/simulator/fixtures/']) {
    const path = fileURLToPath(new URL(folder + name, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new GatewayError(
    'GW_SIM_FIXTURE',
    `Expected src/simulator/fixtures/${name} but received no such file`,
  );
}
