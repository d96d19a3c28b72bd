import { GatewayError } from '../errors.js';
import type { HeaderReader } from '../twilio/public-url.js';

/** The subprotocol of raw legs; answered where a program offers it. */
export const LEG_PROTOCOL = 'trunkline.leg';
/** A browser can send no headers of its own with a WebSocket: its key comes as a subprotocol, base64url after this. */
const KEY_PREFIX = 'key.';

/** The same headers, with a key that was offered as a subprotocol in its usual place. Never logged, never answered. */
export function withOfferedKey(header: HeaderReader): HeaderReader {
  if (header('authorization') !== '') return header;
  const offered = protocolsOf(header).find((protocol) => protocol.startsWith(KEY_PREFIX));
  if (offered === undefined) return header;
  const key = Buffer.from(offered.slice(KEY_PREFIX.length), 'base64url').toString();
  return (name) => (name === 'authorization' ? `Bearer ${key}` : header(name));
}

/** The subprotocol to answer; empty text for none. */
export function answeredProtocol(header: HeaderReader): string {
  return protocolsOf(header).includes(LEG_PROTOCOL) ? LEG_PROTOCOL : '';
}

/**
 * A page may open a leg only on the server it came from.
 * @throws GatewayError `GW_ORIGIN_REFUSED` (403)
 */
export function checkSameOrigin(header: HeaderReader): void {
  const origin = header('origin');
  if (origin === '') return;
  const host = URL.canParse(origin) ? new URL(origin).host : '';
  // A proxy may tell the host that the page asked for; the page itself can set neither header.
  const own = [header('host'), header('x-forwarded-host')];
  if (host !== '' && own.some((name) => name.toLowerCase() === host)) return;
  throw new GatewayError(
    'GW_ORIGIN_REFUSED',
    "Expected no Origin for a raw leg, or this server's own, but received another",
  );
}

function protocolsOf(header: HeaderReader): string[] {
  return header('sec-websocket-protocol')
    .split(',')
    .map((protocol) => protocol.trim());
}
