import { randomBytes, timingSafeEqual } from 'node:crypto';

/** Creates a call's secret: 32 random bytes as 43 characters of base64url. */
export function createToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Compares tokens in constant time. Tokens of different lengths differ immediately; the length is public. */
export function sameToken(expected: string, received: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(received);
  return a.length === b.length && timingSafeEqual(a, b);
}
