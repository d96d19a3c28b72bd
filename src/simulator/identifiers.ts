import { randomBytes } from 'node:crypto';

/** A new id as Twilio makes them: `CA` (call), `MZ` (stream) or `AC` (account) and 32 hex digits. */
export function newSid(prefix: 'AC' | 'CA' | 'MZ'): string {
  return prefix + randomBytes(16).toString('hex');
}
