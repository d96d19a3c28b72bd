import { types } from 'node:util';
import { expected } from '../errors.js';

// A value is recognised by what it is, not by its prototype: an array of another realm, such as a test runner's, is an array. Lengths
// are read by the language's own getter.

const lengthGetter = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'length')
  ?.get as () => number;

/** @throws TypeError unless `value` is an Int16Array */
export function pcmOf(value: unknown, subject: string): Int16Array {
  if (!types.isInt16Array(value)) throw expected('an Int16Array', subject, value);
  return value;
}

/** @throws TypeError unless `value` is a Uint8Array, such as a Buffer */
export function bytesOf(value: unknown, subject: string): Uint8Array {
  if (!types.isUint8Array(value)) throw expected('a Uint8Array', subject, value);
  return value;
}

/** Samples of an Int16Array. @throws TypeError unless `value` is one */
export function pcmLength(value: unknown, subject: string): number {
  return lengthGetter.call(pcmOf(value, subject));
}

/** Bytes of a Uint8Array. @throws TypeError unless `value` is one */
export function bytesLength(value: unknown, subject: string): number {
  return lengthGetter.call(bytesOf(value, subject));
}

/** @throws TypeError unless `value` is a number */
export function numberOf(value: unknown, subject: string): number {
  if (typeof value !== 'number') throw expected('a number', subject, value);
  return value;
}

/** @throws TypeError unless `value` is a string */
export function stringOf(value: unknown, subject: string): string {
  if (typeof value !== 'string') throw expected('a string', subject, value);
  return value;
}

/** The same memory as a Buffer. */
export function bufferOf(memory: ArrayBuffer | ArrayBufferView): Buffer {
  return ArrayBuffer.isView(memory)
    ? Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength)
    : Buffer.from(memory);
}
