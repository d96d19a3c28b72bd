import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';

/** That a file which an option names could not be read. */
export function unreadable(option: string, path: string, cause: unknown): GatewayError {
  return fileError('GW_FILE_UNREADABLE', 'a file that can be read', option, path, cause);
}

/** That a file or folder which an option names could not be written. */
export function unwritable(
  what: 'a file' | 'a folder',
  option: string,
  path: string,
  cause: unknown,
): GatewayError {
  return fileError('GW_FILE_UNWRITABLE', `${what} that can be written`, option, path, cause);
}

function fileError(
  code: ErrorCode,
  what: string,
  option: string,
  path: string,
  cause: unknown,
): GatewayError {
  // The rest of the system's message is the failed call, and sometimes the path.
  const [reason] = (cause as Error).message.split(', ');
  return new GatewayError(code, `Expected ${what} for ${option} but received ${path}: ${reason}`, { cause });
}

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
