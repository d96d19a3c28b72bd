import { BAD_FRAMING, isWellFramed } from './framing.js';
import type { Head, Request } from './transport.js';

/** 16 bytes in base64 (RFC 6455 section 4.1). */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** What a request for a WebSocket is refused with that no route could grant; `undefined` for one that is well formed. */
export function badHandshake(request: Request): Head | undefined {
  // Without a version, it comes from a client that leaves it out or a proxy that drops it, and all speak 13 by now.
  const version = request.header('sec-websocket-version') || '13';
  if (version !== '13') return { status: 426, headers: [['sec-websocket-version', '13']] };
  // What follows would be taken for frames.
  const hasBody = !['', '0'].includes(request.header('content-length'));
  if (hasBody || request.header('transfer-encoding') !== '' || !isWellFramed(request)) return BAD_FRAMING;
  return KEY.test(request.header('sec-websocket-key')) ? undefined : { status: 400, headers: [] };
}
