import { accessSync, constants, mkdirSync } from 'node:fs';
import { unwritable } from './file-error.js';

/**
 * Makes the folder that an option names, if need be.
 * @throws GatewayError `GW_FILE_UNWRITABLE`
 */
export function prepareFolder(option: string, path: string): void {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw unwritable('a folder', option, path, cause);
  }
}
