import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** A file of the page, as it is served. */
export interface PageFile {
  readonly contentType: string;
  readonly body: Buffer;
  /** The same, gzipped. */
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
  '/alarms.js': 'alarms.js',
  '/api.js': 'api.js',
  '/app.js': 'app.js',
  '/call-page.js': 'call-page.js',
  '/call-table.js': 'call-table.js',
  '/calls.js': 'calls.js',
  '/controls.js': 'controls.js',
  '/dom.js': 'dom.js',
  '/ended-table.js': 'ended-table.js',
  '/feed.js': 'feed.js',
  '/figures.js': 'figures.js',
  '/gateway-view.js': 'gateway-view.js',
  '/listener.js': 'listener.js',
  '/player.js': 'player.js',
  '/plots.js': 'plots.js',
  '/theme.js': 'theme.js',
  '/words.js': 'words.js',
  '/icon.svg': 'icon.svg',
} as const;

/** Only our own files run, nothing is embedded or sent elsewhere, and the page has no permission that it does not need. */
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
  // Page and gateway must be of one version.
  ['cache-control', 'no-cache'],
  ['vary', 'accept-encoding'],
];

/** Reads the page's files from the source folder, also when this module runs compiled, because tsc does not copy them. */
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
