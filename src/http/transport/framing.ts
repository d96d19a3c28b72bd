import type { Head, Request } from './transport.js';

/** Whether an answer with this status has no body, whatever is given for one (RFC 9110 section 6.4.1). */
export const hasNoBody = (status: number): boolean => status === 204 || status === 304;

/**
 * Whether a request says where its body ends in exactly one way. Of two, a proxy in front may believe the other one, and take
 * the rest for another request (RFC 9112 sections 6.1 and 6.3).
 */
export function isWellFramed(request: Request): boolean {
  const [hasLength, isChunked] = [request.header('content-length'), request.header('transfer-encoding')];
  if (hasLength === '' && isChunked === '') return true;
  const lengths = request.lines('content-length');
  const encodings = request.lines('transfer-encoding');
  if (lengths.length + encodings.length !== 1) return false;
  return lengths.length === 1
    ? /^\d{1,15}$/.test(lengths[0] as string)
    : encodings[0]?.toLowerCase() === 'chunked';
}

/** The answer to a request that does not. */
export const BAD_FRAMING: Head = { status: 400, headers: [] };

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
