import { expected } from '../../errors.js';

/** A STUN or TURN server as a peer connection is given it (W3C WebRTC, RTCIceServer). */
export interface IceServer {
  /** "stun:host:port", "turn:host:port?transport=udp|tcp", "turns:host:port" (RFC 7064, RFC 7065). */
  readonly urls: string | readonly string[];
  /** Long-term credentials, of TURN only. */
  readonly username?: string | undefined;
  readonly credential?: string | undefined;
}

/** One address of a server. */
export interface ServerAddress {
  readonly kind: 'stun' | 'turn';
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp' | 'tls';
  readonly username: string;
  readonly credential: string;
}

/** Bytes of a username (RFC 8489, section 14.3). */
const MOST_USERNAME_BYTES = 508;
/** Others are ignored. */
const MOST_ADDRESSES = 8;
const GRAMMAR =
  /^(stuns?|turns?):(?:\/\/)?(\[[\da-f:.]+\]|[^\s:/?[\]]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i;

/**
 * The addresses of servers, in their order; those of transports that are not supported (STUN but over UDP, TURN over DTLS) are left out.
 * @throws TypeError if a URL is malformed, or a TURN server has no credentials or a username of more than 508 bytes
 */
export function serverAddresses(servers: readonly IceServer[]): readonly ServerAddress[] {
  const addresses = servers.flatMap((server) =>
    (typeof server.urls === 'string' ? [server.urls] : server.urls).map((url) => addressOf(url, server)),
  );
  return addresses.filter((address) => address !== undefined).slice(0, MOST_ADDRESSES);
}

function addressOf(url: string, { username, credential }: IceServer): ServerAddress | undefined {
  const [, scheme, host, port, transport] = GRAMMAR.exec(url) ?? [];
  if (scheme === undefined || host === undefined || Number(port) > 0xffff) {
    throw expected('a stun:, turn: or turns: URL', 'urls of an ICE server', url);
  }
  const isSecure = scheme.toLowerCase().endsWith('s');
  const over = (transport ?? (isSecure ? 'tcp' : 'udp')).toLowerCase();
  const kind = scheme.slice(0, 4).toLowerCase() as 'stun' | 'turn';
  if (isSecure ? over === 'udp' || kind === 'stun' : kind === 'stun' && over === 'tcp') return undefined;
  if (kind === 'turn' && (typeof username !== 'string' || typeof credential !== 'string')) {
    throw expected(
      'username and credential',
      `the TURN server ${url}`,
      typeof username === 'string' ? credential : username,
    );
  }
  if (Buffer.byteLength(username ?? '') > MOST_USERNAME_BYTES) {
    throw expected(`at most ${MOST_USERNAME_BYTES} bytes`, `the username for ${url}`, username);
  }
  return {
    kind,
    host: host.replace(/^\[|\]$/g, ''),
    port: port === undefined ? (isSecure ? 5349 : 3478) : Number(port),
    transport: isSecure ? 'tls' : (over as 'udp' | 'tcp'),
    username: username ?? '',
    credential: credential ?? '',
  };
}
