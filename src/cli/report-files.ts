import { closeSync, constants, fstatSync, lstatSync, openSync, rmSync, writeFileSync } from 'node:fs';
import type { GatewayError } from '../errors.js';
import { unwritable } from './files.js';

interface ReportFile {
  readonly path: string;
  /** Descriptor of a file that can be opened only once, such as a pipe, whose reader would treat a close as the end. */
  readonly descriptor: number | undefined;
  /** Whether it is there only because it was tried. */
  isTrial: boolean;
}

/** Files for the reports of a run. They are opened before it starts, so that no finished run is lost. */
export class ReportFiles {
  private readonly files = new Map<string, ReportFile>();

  /**
   * Tries the file that an option names, if it names one; what it holds stays until something is written.
   * @throws GatewayError `GW_FILE_UNWRITABLE`
   */
  add(option: string, path: string | undefined): void {
    if (path === undefined) return;
    try {
      const isTrial = lstatSync(path, { throwIfNoEntry: false }) === undefined;
      const descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o666);
      const isPlain = fstatSync(descriptor).isFile();
      if (isPlain) closeSync(descriptor);
      this.files.set(option, { path, descriptor: isPlain ? undefined : descriptor, isTrial });
    } catch (cause) {
      throw unwritable('a file', option, path, cause);
    }
  }

  /** Writes to the file of an option, if there is one, and answers why it could not. */
  write(option: string, text: () => string): GatewayError | undefined {
    const file = this.files.get(option);
    if (file === undefined) return undefined;
    try {
      writeFileSync(file.descriptor ?? file.path, text());
      file.isTrial = false;
      return undefined;
    } catch (cause) {
      return unwritable('a file', option, file.path, cause);
    }
  }

  /** Lets go of all, and leaves no empty file behind where there was none. */
  close(): void {
    for (const { path, descriptor, isTrial } of this.files.values()) {
      if (descriptor !== undefined) closeSync(descriptor);
      if (isTrial) rmSync(path, { force: true });
    }
    this.files.clear();
  }
}
