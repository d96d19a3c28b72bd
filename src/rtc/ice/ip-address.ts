import { isIPv4, isIPv6 } from 'node:net';

/** Version of the Internet Protocol. */
export type IpFamily = 4 | 6;

/** An address and a port. */
export interface Endpoint {
  /** An IP address as {@link formatIp} writes it. */
  readonly address: string;
  readonly port: number;
}

/** The 4 or 16 bytes of an address; `undefined` if the text is no address, or one with a zone (RFC 4007, section 11). */
export function parseIp(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    return parseIp(`${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`);
  }
  const [head = '', tail] = text.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const words = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Uint8Array.from(
    words.flatMap((word) => {
      const value = Number.parseInt(word, 16);
      return [value >> 8, value & 255];
    }),
  );
}

/** Writes the 4 or 16 bytes of an address as the operating system does (RFC 5952). */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number)).toString(16),
  );
  let [from, count] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let zeros = 0;
    while (words[i + zeros] === '0') zeros += 1;
    if (zeros > count) [from, count] = [i, zeros];
  }
  if (count < 2) return words.join(':');
  return `${words.slice(0, from).join(':')}::${words.slice(from + count).join(':')}`;
}

/** The family of an address in canonical form. */
export function familyOf(address: string): IpFamily {
  return address.includes(':') ? 6 : 4;
}

/**
 * The canonical form of an address that datagrams may be sent to; `undefined` for names, for groups (multicast, broadcast), for the
 * unspecified address, and for what needs a zone or belongs to the other family.
 */
export function unicastIp(text: string): string | undefined {
  const bytes = parseIp(text);
  if (bytes === undefined) return undefined;
  const first = bytes[0] as number;
  if (bytes.length === 4) return first === 0 || first >= 224 ? undefined : formatIp(bytes);
  const isLinkLocal = first === 0xfe && ((bytes[1] as number) & 0xc0) === 0x80;
  if (first === 0xff || isLinkLocal) return undefined;
  // "::", IPv4 within IPv6, and the like: only the loopback address begins with so many zeros.
  const address = formatIp(bytes);
  return bytes.subarray(0, 10).some((byte) => byte !== 0) || address === '::1' ? address : undefined;
}
