import { createRequire } from 'node:module';

/**
 * Most bytes of a request's line and headers. uWebSockets.js takes 4 KiB unless told otherwise, by the environment and before
 * it is loaded: the cookies of a domain can be more. Beyond it answers 431 by itself.
 */
const MAX_HEADER_BYTES = 16 * 1024;

process.env.UWS_HTTP_MAX_HEADERS_SIZE ??= String(MAX_HEADER_BYTES);

/** uWebSockets.js, loaded here and nowhere else. */
export const uWS = createRequire(import.meta.url)('uWebSockets.js') as typeof import('uWebSockets.js');
