import { randomBytes, timingSafeEqual } from 'node:crypto';

/** A call's secret: 32 random bytes as base64url, 43 characters. */
export function createToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Compares in constant time; texts of different length are different at once (the length is public). */
export function sameToken(expected: string, received: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(received);
  return a.length === b.length && timingSafeEqual(a, b);
}
