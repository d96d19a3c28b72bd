import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** A file of the page, as it is served. */
export interface PageFile {
  readonly contentType: string;
  readonly body: Buffer;
  /** The same, in gzip. */
  readonly packed: Buffer;
}

const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
} as const;

/** Every file of the page by its path under `/dashboard`, the page itself first. */
const NAMES = {
  '': 'index.html',
  '/style.css': 'style.css',
  '/app.js': 'app.js',
  '/call-table.js': 'call-table.js',
  '/calls.js': 'calls.js',
  '/feed.js': 'feed.js',
  '/figures.js': 'figures.js',
  '/gateway-view.js': 'gateway-view.js',
  '/listener.js': 'listener.js',
  '/player.js': 'player.js',
  '/plots.js': 'plots.js',
  '/theme.js': 'theme.js',
  '/icon.svg': 'icon.svg',
} as const;

/** Nothing but our own files runs, nothing is embedded or sent elsewhere; the page can do no more than it must. */
export const PAGE_HEADERS: readonly (readonly [name: string, value: string])[] = [
  [
    'content-security-policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-opener-policy', 'same-origin'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['permissions-policy', 'camera=(), display-capture=(), geolocation=(), microphone=()'],
  // A page of another version than its gateway would be told what it does not know.
  ['cache-control', 'no-cache'],
  ['vary', 'accept-encoding'],
];

/** The page's files, read once. They lie beside the source, also where this module runs compiled: tsc copies none. */
export function readPage(): ReadonlyMap<string, PageFile> {
  const folder = new URL('../../src/dashboard/page/', import.meta.url);
  return new Map(
    Object.entries(NAMES).map(([path, name]) => {
      const extension = name.slice(name.lastIndexOf('.') + 1) as keyof typeof TYPES;
      const body = readFileSync(new URL(name, folder));
      return [path, { contentType: TYPES[extension], body, packed: gzipSync(body) }];
    }),
  );
}
