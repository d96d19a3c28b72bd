import { readFileSync } from 'node:fs';
import { unreadable } from './file-error.js';

/**
 * The text of a file that an option names.
 * @param from where it is read, in place of the path that messages name
 * @throws GatewayError `GW_FILE_UNREADABLE`
 */
export function readInput(option: string, path: string, from: string | 0 = path): string {
  try {
    return readFileSync(from, 'utf8');
  } catch (cause) {
    throw unreadable(option, path, cause);
  }
}
