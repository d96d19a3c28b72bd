import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Keeps a bench's figures as `bench/results/<name>.json`. */
export function writeResult(name: string, result: object): void {
  const folder = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`\nwritten to bench/results/${name}.json`);
}

/** What {@link writeResult} kept, if it did. */
export function readResult<T>(name: string): T | undefined {
  try {
    return JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url), 'utf8')) as T;
  } catch {
    return undefined;
  }
}
