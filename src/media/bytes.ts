/** The same memory as a Buffer. */
export function bytesOf(memory: ArrayBuffer | ArrayBufferView): Buffer {
  return ArrayBuffer.isView(memory)
    ? Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength)
    : Buffer.from(memory);
}
