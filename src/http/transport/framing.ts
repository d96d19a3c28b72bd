import type { Head, Request } from './transport.js';

/** Whether a response with this status never has a body (RFC 9110 section 6.4.1). */
export const hasNoBody = (status: number): boolean => status === 204 || status === 304;

/**
 * Whether a request gives the length of its body in exactly one way. With two, a proxy in front may use the other one, and
 * forward the rest as another request (RFC 9112 sections 6.1 and 6.3).
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

/** The response to a request that does not. */
export const BAD_FRAMING: Head = { status: 400, headers: [] };

/** 16 bytes in base64 (RFC 6455 section 4.1). */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** The response to a malformed WebSocket request; `undefined` if it is well formed. */
export function badHandshake(request: Request): Head | undefined {
  // A client left out the version or a proxy dropped it; all current ones use 13.
  const version = request.header('sec-websocket-version') || '13';
  if (version !== '13') return { status: 426, headers: [['sec-websocket-version', '13']] };
  // The body would be parsed as frames.
  const hasBody = !['', '0'].includes(request.header('content-length'));
  if (hasBody || request.header('transfer-encoding') !== '' || !isWellFramed(request)) return BAD_FRAMING;
  return KEY.test(request.header('sec-websocket-key')) ? undefined : { status: 400, headers: [] };
}
