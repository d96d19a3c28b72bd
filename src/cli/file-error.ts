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
  // The system's own text goes on with the call that failed, and sometimes with the path.
  const [reason] = (cause as Error).message.split(', ');
  return new GatewayError(code, `Expected ${what} for ${option} but received ${path}: ${reason}`, { cause });
}
