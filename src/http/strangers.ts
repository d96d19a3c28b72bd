import { BlockList, isIP, isIPv4 } from 'node:net';
import { TokenBucket } from '../phone/token-bucket.js';

/** Answers a second for one unauthenticated address; twice as many in a burst. */
const PER_SECOND = 50;
/** Addresses remembered; the least recent is dropped first. */
const MAX_ADDRESSES = 10_000;

/** Most proxies in a row, and most characters of `X-Forwarded-For`, that are believed. */
const MAX_HOPS = 16;
const MAX_FORWARDED = 1_000;

const LOOPBACK = '127.0.0.1';

/** Loopback and private networks, where a proxy may stand in front of the gateway. */
export const PRIVATE_NETWORKS: readonly string[] = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '::1',
  'fc00::/7',
  'fe80::/10',
];

/** Whether a text is an address or a network such as `10.0.0.0/8`. */
export function isNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** Shares of unauthenticated clients: each address gets its own, so that none can take everything. */
export class Strangers {
  private readonly buckets = new Map<string, TokenBucket>();
  private readonly proxies = new BlockList();

  /** @param proxies addresses and networks whose `X-Forwarded-For` is believed */
  constructor(
    proxies: readonly string[] = PRIVATE_NETWORKS,
    private readonly perSecond = PER_SECOND,
  ) {
    for (const proxy of proxies) {
      const [address = '', bits] = proxy.split('/');
      const family = familyOf(address);
      if (bits === undefined) this.proxies.addAddress(address, family);
      else this.proxies.addSubnet(address, Number(bits), family);
    }
  }

  /**
   * Whether a request may be answered at once.
   * @param peer the address of the connection; empty for a Unix socket, which comes from this host
   * @param forwarded what `X-Forwarded-For` says
   * @param now monotonic milliseconds
   */
  admit(peer: string, forwarded: string, now: number): boolean {
    const key = groupOf(this.clientOf(bareAddress(peer) || LOOPBACK, forwarded));
    const bucket = this.buckets.get(key) ?? new TokenBucket(this.perSecond, 2 * this.perSecond, now);
    this.buckets.delete(key);
    this.buckets.set(key, bucket);
    if (this.buckets.size > MAX_ADDRESSES) {
      for (const oldest of this.buckets.keys()) {
        this.buckets.delete(oldest);
        break;
      }
    }
    return bucket.take(1, now);
  }

  /** The last address that a trusted proxy reported. */
  private clientOf(peer: string, forwarded: string): string {
    if (forwarded === '') return peer;
    let client = peer;
    const hops = forwarded.slice(-MAX_FORWARDED).split(',').slice(-MAX_HOPS);
    for (const hop of hops.reverse()) {
      const address = bareAddress(hop.trim());
      if (!this.proxies.check(client, familyOf(client)) || isIP(address) === 0) break;
      client = address;
    }
    return client;
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}

/** Strips port, brackets, zone, and the IPv6 mapping of IPv4. */
function bareAddress(hop: string): string {
  return hop
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '');
}

/** Groups IPv6 addresses by their /64: everybody has that many to choose from. */
function groupOf(address: string): string {
  if (isIPv4(address)) return address;
  const [head = '', tail] = address.split('::');
  const words = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    while (words.length + after.length < 8) words.push('0');
    words.push(...after);
  }
  return words
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(':');
}
