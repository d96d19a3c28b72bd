const FIRST_BYTES = 1024;

/** A body that comes in pieces. It is kept as one: of pieces of a byte each, a list would take a hundred times as much. */
export class Body {
  /** Bytes that came. */
  length = 0;
  private bytes = Buffer.alloc(0);

  /** @param chunk lent */
  add(chunk: Uint8Array): void {
    const length = this.length + chunk.byteLength;
    if (length > this.bytes.length) {
      const bytes = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.bytes.length, FIRST_BYTES));
      bytes.set(this.whole);
      this.bytes = bytes;
    }
    this.bytes.set(chunk, this.length);
    this.length = length;
  }

  /** What came so far. */
  get whole(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}
