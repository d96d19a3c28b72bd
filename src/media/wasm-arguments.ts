import { types } from 'node:util';

// What the addon's arguments go through in native/addon.cc, with the same errors. A value is known by what it is, not by its
// prototype: arrays of another realm, such as a test runner's, are arrays, and nothing of its owner's is run.

// The language's own, which an array's owner cannot replace.
const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const nameOf = Object.getOwnPropertyDescriptor(typedArray, Symbol.toStringTag)?.get as () => string;
const lengthOf = Object.getOwnPropertyDescriptor(typedArray, 'byteLength')?.get as () => number;

const viewLengthOf = Object.getOwnPropertyDescriptor(DataView.prototype, 'byteLength')?.get as () => number;

/** The longest text that is shown whole, in bytes. */
const LONGEST_TEXT = 60;

export function pcmOf(value: unknown, subject: string): Int16Array {
  if (!types.isInt16Array(value)) throw typeError('an Int16Array', subject, value);
  return value;
}

export function bytesOf(value: unknown, subject: string): Uint8Array {
  if (!types.isUint8Array(value)) throw typeError('a Uint8Array', subject, value);
  return value;
}

/** Any view, or all of a buffer that is not shared; a view that its buffer has left behind is of nothing. */
export function messageOf(value: unknown): ArrayBuffer | ArrayBufferView {
  // The only one of the views that throws when it is asked for its length.
  if (types.isDataView(value) && !hasLength(value)) return new Uint8Array();
  if (!ArrayBuffer.isView(value) && !types.isArrayBuffer(value)) {
    throw typeError('an ArrayBuffer or a view of one', 'message', value);
  }
  return value;
}

function hasLength(view: DataView): boolean {
  try {
    return viewLengthOf.call(view) >= 0;
  } catch {
    return false;
  }
}

export function numberOf(value: unknown, subject: string): number {
  if (typeof value !== 'number') throw typeError('a number', subject, value);
  return value;
}

export function stringOf(value: unknown, subject: string): string {
  if (typeof value !== 'string') throw typeError('a string', subject, value);
  return value;
}

/** Milliseconds of a tone, or of the pause after it, as samples at 48 kHz. */
export function timingOf(value: unknown, subject: string): number {
  if (value === undefined) return 4_800;
  const samples = Math.round(numberOf(value, subject) * 48);
  if (samples >= 1_920 && samples <= 96_000) return samples;
  throw rangeError('40 to 2000 milliseconds', subject, 'another number');
}

function typeError(what: string, subject: string, received: unknown): TypeError {
  return new TypeError(`Expected ${what} for ${subject} but received ${describe(received)}`);
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

/** Whether it can be shortened. */
export function checkPiece(pcm: Int16Array): void {
  if (pcm.length < 960 || pcm.length > 1_920)
    throw rangeError('960 to 1920 samples', 'pcm', `${pcm.length} samples`);
}

export function checkSid(isTaken: boolean, streamSid: string): void {
  if (!isTaken) throw rangeError('1 to 64 characters of A-Z a-z 0-9 _ -', 'streamSid', describe(streamSid));
}

/** A received value in few words, as the addon's `Describe` has them. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `"${shortened(value)}"`;
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (types.isExternal(value)) return 'an external value';
  if (types.isTypedArray(value)) return `${nameOf.call(value)} of ${lengthOf.call(value)} bytes`;
  if (types.isArrayBuffer(value)) return `ArrayBuffer of ${value.byteLength} bytes`;
  if (types.isDataView(value)) return 'DataView';
  return !types.isProxy(value) && Array.isArray(value) ? 'Array' : 'Object';
}

function shortened(text: string): string {
  const bytes = Buffer.from(text);
  return bytes.toString('utf8', 0, LONGEST_TEXT) + (bytes.length > LONGEST_TEXT ? '...' : '');
}
