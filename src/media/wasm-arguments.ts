import { describe, expected } from '../errors.js';

// What the addon's arguments go through in native/addon.cc, with the same errors.

export function pcmOf(value: unknown, subject: string): Int16Array {
  if (!(value instanceof Int16Array)) throw expected('an Int16Array', subject, value);
  return value;
}

export function bytesOf(value: unknown, subject: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw expected('a Uint8Array', subject, value);
  return value;
}

export function stringOf(value: unknown, subject: string): string {
  if (typeof value !== 'string') throw expected('a string', subject, value);
  return value;
}

export function rangeError(what: string, subject: string, received: string): RangeError {
  return new RangeError(`Expected ${what} for ${subject} but received ${received}`);
}

export function checkWholeFrames(pcm: Int16Array): void {
  if (pcm.length % 6 !== 0) throw rangeError('a multiple of 6 samples', 'pcm', `${pcm.length} samples`);
}

export function checkRoom(needed: number, room: number, unit: string): void {
  if (room < needed) throw rangeError(`room for ${needed} ${unit}`, 'out', `${room} ${unit}`);
}

/** Whether `samples` are those of 1 to 65,535 members, as many of each. */
export function checkMembers(members: number, samples: number): void {
  if (members === 0 || members > 65_535) {
    throw rangeError('1 to 65535 members', 'active', `${members} members`);
  }
  if (samples % members !== 0) {
    throw rangeError(`a multiple of ${members} samples`, 'inputs', `${samples} samples`);
  }
}

export function checkLength(wanted: number, length: number, subject: string): void {
  if (length !== wanted) throw rangeError(`${wanted} samples`, subject, `${length} samples`);
}

export function checkSid(isTaken: boolean, streamSid: string): void {
  if (!isTaken) throw rangeError('1 to 64 characters of A-Z a-z 0-9 _ -', 'streamSid', describe(streamSid));
}
