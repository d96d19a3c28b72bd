import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GatewayError } from '../errors.js';

/** A knowledge base has at most this many Markdown files, … */
const MAX_FILES = 2_000;
/** … this many bytes in a file, … */
const MAX_FILE_BYTES = 512 * 1024;
/** … this many bytes in all files, … */
const MAX_BYTES = 16 * 1024 * 1024;
/** … and this many folders inside each other. */
const MAX_DEPTH = 8;

/** One Markdown file. */
export interface Page {
  /** Path within the folder, with `/` on every system. */
  readonly file: string;
  readonly text: string;
}

/**
 * Reads all Markdown files (`.md`, `.markdown`) of a folder and its subfolders, sorted by path. Skips hidden files and
 * folders (`.git`), and symbolic links that lead out of the folder.
 * @param skipped called with the path of each link that leads nowhere or out of the folder
 * @throws GatewayError `GW_KNOWLEDGE_FOLDER`, `GW_KNOWLEDGE_FILE`, `GW_KNOWLEDGE_EMPTY`, `GW_KNOWLEDGE_TOO_LARGE`
 */
export async function readPages(folder: string, skipped: (file: string) => void): Promise<Page[]> {
  const root = await rootOf(folder);
  const files = await findFiles(root, skipped);
  if (files.size === 0) {
    const message = `Expected Markdown files (.md) in the knowledge folder ${JSON.stringify(folder)} but received none`;
    throw new GatewayError('GW_KNOWLEDGE_EMPTY', message);
  }
  const pages: Page[] = [];
  let bytes = 0;
  for (const [path, name] of files) {
    const data = await readWhole(path, name);
    bytes += data.byteLength;
    if (bytes > MAX_BYTES) throw tooLarge(`${MAX_BYTES} bytes of Markdown`, 'more');
    pages.push({ file: name.split(sep).join('/'), text: decode(data, name) });
  }
  return pages.sort((a, b) => (a.file < b.file ? -1 : 1));
}

async function rootOf(folder: string): Promise<string> {
  try {
    const root = await realpath(folder);
    if ((await stat(root)).isDirectory()) return root;
  } catch (cause) {
    throw notAFolder(folder, cause);
  }
  throw notAFolder(folder);
}

/** Each file's real path, with its name within the folder. What several links name counts once. */
async function findFiles(root: string, skipped: (file: string) => void): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const folders = new Set<string>();
  const find = async (folder: string, name: string, depth: number) => {
    if (folders.has(folder)) return;
    folders.add(folder);
    if (depth > MAX_DEPTH) throw tooLarge(`${MAX_DEPTH} folders inside each other`, name);
    const entries = await readdir(folder, { withFileTypes: true }).catch((cause) => {
      throw notAFolder(folder, cause);
    });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith('.')) continue;
      const entryName = join(name, entry.name);
      let path = join(folder, entry.name);
      let kind: Pick<typeof entry, 'isDirectory' | 'isFile'> = entry;
      if (entry.isSymbolicLink()) {
        path = await realpath(path).catch(() => '');
        if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
          skipped(entryName);
          continue;
        }
        kind = await stat(path);
      }
      if (kind.isDirectory()) await find(path, entryName, depth + 1);
      else if (kind.isFile() && /\.(md|markdown)$/i.test(entry.name)) {
        if (!files.has(path)) files.set(path, entryName);
        if (files.size > MAX_FILES) throw tooLarge(`${MAX_FILES} Markdown files`, 'more');
      }
    }
  };
  await find(root, '', 0);
  return files;
}

async function readWhole(path: string, name: string): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    // The file may have become a link or a pipe meanwhile.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await file.stat();
    if (size > MAX_FILE_BYTES) throw tooLarge(`${MAX_FILE_BYTES} bytes in a file`, `${size} in ${name}`);
    return await file.readFile();
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    const message = `Expected a readable file in the knowledge folder but received ${JSON.stringify(name)}`;
    throw new GatewayError('GW_KNOWLEDGE_FILE', message, { cause });
  } finally {
    await file?.close();
  }
}

function decode(data: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch (cause) {
    const message = `Expected UTF-8 for the knowledge file ${JSON.stringify(name)} but received other bytes`;
    throw new GatewayError('GW_KNOWLEDGE_FILE', message, { cause });
  }
}

function notAFolder(folder: string, cause?: unknown): GatewayError {
  const message = `Expected a readable folder for the knowledge base but received ${JSON.stringify(folder)}`;
  return new GatewayError('GW_KNOWLEDGE_FOLDER', message, { cause });
}

function tooLarge(limit: string, received: string): GatewayError {
  const message = `Expected at most ${limit} for the knowledge base but received ${received}`;
  return new GatewayError('GW_KNOWLEDGE_TOO_LARGE', message);
}
