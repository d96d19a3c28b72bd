import type * as UWebSockets from 'uWebSockets.js';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { MAX_HEADER_BYTES } from '../transport.js';

/** The module as a whole. */
export type Uws = typeof UWebSockets;

/** The names of its packages, newest first: each has binaries for other versions of Node and glibc. */
export const UWS_PACKAGES = ['uWebSockets.js-20.69', 'uWebSockets.js'] as const;

/**
 * Loads uWebSockets.js, in this place only.
 * @throws Error with a short reason if that fails
 */
export function loadUws(name: string): { uws: Uws; version: string } {
  // Its default is 4 KiB. It reads this once, when loaded; beyond the limit it answers 431 by itself.
  process.env.UWS_HTTP_MAX_HEADERS_SIZE ??= String(MAX_HEADER_BYTES);
  const load = createRequire(import.meta.url);
  try {
    const manifest = manifestOf(load.resolve(name));
    checkBinary(load.resolve(name), manifest);
    return { uws: load(name) as Uws, version: manifest.version };
  } catch (error) {
    throw new Error(reasonOf(error));
  }
}

interface Manifest {
  readonly version: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Directory of a package whose main file is at its top level. */
function manifestOf(main: string): Manifest {
  return JSON.parse(readFileSync(join(dirname(main), 'package.json'), 'utf8'));
}

/** Its binaries are separate packages: if one is missing, Node may find that of another version in a parent folder. */
function checkBinary(main: string, { version, optionalDependencies }: Manifest): void {
  // The author's own package contains them.
  if (optionalDependencies === undefined) return;
  const { platform, arch, versions } = process;
  const binary = `@uwsjs/${platform}-${arch}-${versions.node.split('.')[0]}`;
  const isThere =
    optionalDependencies[binary] !== undefined &&
    manifestOf(createRequire(main).resolve(binary)).version === version;
  if (!isThere) throw new Error(`Cannot find package ${binary}`);
}

/** The real cause, briefly: uWebSockets.js reports every failure as an unsupported version of Node. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const glibc = /version [`'](GLIBC_[\d.]+)' not found/.exec(text)?.[1];
  if (glibc !== undefined) return `needs ${glibc.replace('_', ' ')}`;
  if (/Cannot find module '(?!\.\/)uWeb/.test(text)) return 'is not installed';
  if (/Cannot find (module|package)/.test(text)) {
    return `has no binary for Node ${process.versions.node.split('.')[0]} on ${process.platform}-${process.arch}`;
  }
  return (text.split('\n')[0] ?? '').slice(0, 200);
}
