import { GatewayError } from '../errors.js';
import { LEG_PROTOCOL } from '../legs/leg-messages.js';
import type { HeaderReader } from '../twilio/public-url.js';

/** Browsers cannot set headers on a WebSocket: they send the key as a subprotocol, in base64url after this prefix. */
const KEY_PREFIX = 'key.';

/** The same headers, with a key offered as a subprotocol in its usual place. It is never logged or answered. */
export function withOfferedKey(header: HeaderReader): HeaderReader {
  if (header('authorization') !== '') return header;
  const offered = protocolsOf(header).find((protocol) => protocol.startsWith(KEY_PREFIX));
  if (offered === undefined) return header;
  const key = Buffer.from(offered.slice(KEY_PREFIX.length), 'base64url').toString();
  return (name) => (name === 'authorization' ? `Bearer ${key}` : header(name));
}

/** The subprotocol to answer: accepted if a program offers it; empty for none. */
export function answeredProtocol(header: HeaderReader): string {
  return protocolsOf(header).includes(LEG_PROTOCOL) ? LEG_PROTOCOL : '';
}

/**
 * Checks that a page opens a leg only on its own server.
 * @throws GatewayError `GW_ORIGIN_REFUSED` (403)
 */
export function checkSameOrigin(header: HeaderReader): void {
  const origin = header('origin');
  if (origin === '') return;
  const host = URL.canParse(origin) ? new URL(origin).host : '';
  // A proxy may report the requested host; the page itself can set neither header.
  const own = [header('host'), header('x-forwarded-host')];
  if (host !== '' && own.some((name) => name.toLowerCase() === host)) return;
  throw new GatewayError(
    'GW_ORIGIN_REFUSED',
    "Expected no Origin header, or this server's own, for a raw leg but received another",
  );
}

function protocolsOf(header: HeaderReader): string[] {
  return header('sec-websocket-protocol')
    .split(',')
    .map((protocol) => protocol.trim());
}
