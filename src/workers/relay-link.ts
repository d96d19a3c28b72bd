import type { Socket } from 'node:net';

/**
 * Kinds of records. The worker where a socket arrived is its relay; the one that serves it, its owner.
 * `word` is a number that belongs to the kind.
 */
export const RECORD = {
  /** Relay: takes a socket? JSON. */
  request: 1,
  /** Owner: yes. */
  accept: 2,
  /** Owner: no, and why. JSON. */
  refuse: 3,
  /** Relay: the socket is open. */
  open: 4,
  /** Either: a message. From the relay, `word` is when it arrived, on the machine's clock. */
  text: 5,
  binary: 6,
  /** Relay: `word` bytes wait for the client's network. */
  buffered: 7,
  /** Either: the socket was closed, or is to be closed, with the code `word` and a reason. */
  close: 8,
  /** Relay: it shuts down; close the socket. */
  leave: 9,
} as const;

export type RecordKind = (typeof RECORD)[keyof typeof RECORD];

/** Payload that a record carries. */
export type Payload = string | ArrayBuffer | Uint8Array | Int16Array;

/** Takes a record. The payload is only lent. */
export type RecordListener = (kind: number, channel: number, word: number, payload: Uint8Array) => void;

/** Length of the payload, channel and kind, word: 32 bits each in the machine's byte order. */
const HEADER_BYTES = 12;
const KIND_BITS = 4;
/** Channels a link can have. */
export const MAX_CHANNEL = 2 ** (32 - KIND_BITS) - 1;
/** Longer than any message of ours. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;
/** Size of a buffer at first, and after a burst. */
const USUAL_BYTES = 64 * 1024;
const NOTHING = new Uint8Array(0);

/**
 * Records of many sockets through one stream between two workers. All records of a turn of the event loop leave in one
 * write; while the other side does not read, they collect, and whoever writes watches how much of it is theirs.
 */
export class RelayLink {
  /** Number of the batch that is being filled, and of the latest that the other side's kernel has taken. */
  batch = 1;
  landed = 0;
  private filling = new Batch();
  private flying = new Batch();
  private isScheduled = false;
  private isFlying = false;
  private isOpen = true;
  /** The beginning of a record whose rest has not arrived. */
  private partial = Buffer.alloc(USUAL_BYTES);
  private partialBytes = 0;
  // Made once: a closure a write would be one a turn.
  private readonly flush = () => this.send();
  private readonly noteLanded = () => {
    this.isFlying = false;
    this.landed = this.batch - 1;
    this.flying.clear();
    if (this.filling.length > 0) this.send();
    this.onLanded();
  };

  constructor(
    private readonly stream: Socket,
    private readonly onRecord: RecordListener,
    /** What was queued has been written. */
    private readonly onLanded: () => void,
    /** The other side is gone, or was cut off for a fault in a record of it. Called once. */
    private readonly onClosed: (fault?: unknown) => void,
  ) {
    stream.on('data', (chunk: Buffer) => this.handleChunk(chunk));
    stream.on('error', () => this.close());
    stream.on('close', () => this.close());
    // Links alone are no reason for a process to stay.
    stream.unref();
  }

  /** Queues a copy of a record. @returns its bytes, 0 if the link is closed */
  write(kind: RecordKind, channel: number, word = 0, payload: Payload = NOTHING): number {
    if (!this.isOpen) return 0;
    const bytes = this.filling.push(kind, channel, word, payload);
    if (!this.isScheduled && !this.isFlying) {
      this.isScheduled = true;
      setImmediate(this.flush);
    }
    return bytes;
  }

  /** Writes what is queued, then ends. Idempotent. */
  close(fault?: unknown): void {
    if (!this.isOpen) return;
    if (!this.stream.destroyed && this.filling.length > 0)
      this.stream.write(Buffer.from(this.filling.bytes.subarray(0, this.filling.length)));
    this.isOpen = false;
    this.stream.destroySoon();
    this.onClosed(fault);
  }

  private send(): void {
    this.isScheduled = false;
    if (!this.isOpen || this.isFlying || this.filling.length === 0) return;
    const batch = this.filling;
    this.filling = this.flying;
    this.flying = batch;
    this.batch += 1;
    this.isFlying = true;
    this.stream.write(batch.bytes.subarray(0, batch.length), this.noteLanded);
  }

  private handleChunk(chunk: Buffer): void {
    let at = this.partialBytes === 0 ? 0 : this.complete(chunk);
    while (this.isOpen && chunk.length - at >= HEADER_BYTES) {
      const bytes = this.checkedBytes(chunk, at);
      if (chunk.length - at < bytes) break;
      this.deliver(chunk, at);
      at += bytes;
    }
    if (this.isOpen && at < chunk.length) this.keep(chunk, at, chunk.length);
  }

  /** Adds to the record that has begun, and delivers it when it is whole. @returns where the next one begins */
  private complete(chunk: Buffer): number {
    const { partial } = this;
    let at = 0;
    if (this.partialBytes < HEADER_BYTES) {
      at = Math.min(chunk.length, HEADER_BYTES - this.partialBytes);
      this.keep(chunk, 0, at);
      if (this.partialBytes < HEADER_BYTES) return at;
    }
    const bytes = this.checkedBytes(partial, 0);
    const until = Math.min(chunk.length, at + bytes - this.partialBytes);
    this.keep(chunk, at, until);
    if (this.partialBytes < bytes) return until;
    this.partialBytes = 0;
    this.deliver(this.partial, 0);
    if (this.partial.length > USUAL_BYTES) this.partial = Buffer.alloc(USUAL_BYTES);
    return until;
  }

  /** Bytes of a record. A longer one than any of ours cuts the link. */
  private checkedBytes(buffer: Buffer, at: number): number {
    const bytes = HEADER_BYTES + padded(buffer.readUInt32LE(at));
    if (bytes > MAX_RECORD_BYTES) this.close();
    return bytes;
  }

  private keep(chunk: Buffer, from: number, until: number): void {
    const bytes = this.partialBytes + until - from;
    if (bytes > this.partial.length) {
      const larger = Buffer.alloc(Math.max(bytes, 2 * this.partial.length));
      this.partial.copy(larger, 0, 0, this.partialBytes);
      this.partial = larger;
    }
    chunk.copy(this.partial, this.partialBytes, from, until);
    this.partialBytes = bytes;
  }

  private deliver(buffer: Buffer, at: number): void {
    const length = buffer.readUInt32LE(at);
    const subject = buffer.readUInt32LE(at + 4);
    const begin = at + HEADER_BYTES;
    try {
      this.onRecord(
        subject & (2 ** KIND_BITS - 1),
        subject >>> KIND_BITS,
        buffer.readInt32LE(at + 8),
        length === 0 ? NOTHING : buffer.subarray(begin, begin + length),
      );
    } catch (fault) {
      this.close(fault);
    }
  }
}

/** Every record begins at a multiple of four. */
function padded(bytes: number): number {
  return 4 * Math.ceil(bytes / 4);
}

/** Records in one piece of memory, which grows as needed. */
class Batch {
  bytes = Buffer.alloc(USUAL_BYTES);
  length = 0;

  push(kind: RecordKind, channel: number, word: number, payload: Payload): number {
    const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
    const bytes = HEADER_BYTES + padded(length);
    const at = this.length;
    this.reserve(at + bytes);
    const { bytes: buffer } = this;
    buffer.writeUInt32LE(length, at);
    buffer.writeUInt32LE(((channel << KIND_BITS) | kind) >>> 0, at + 4);
    buffer.writeInt32LE(word, at + 8);
    const begin = at + HEADER_BYTES;
    if (typeof payload === 'string') buffer.write(payload, begin);
    else if (payload instanceof Uint8Array) buffer.set(payload, begin);
    else if (payload instanceof ArrayBuffer) buffer.set(new Uint8Array(payload), begin);
    else buffer.set(new Uint8Array(payload.buffer, payload.byteOffset, length), begin);
    this.length = at + bytes;
    return bytes;
  }

  clear(): void {
    this.length = 0;
    if (this.bytes.length > 16 * USUAL_BYTES) this.bytes = Buffer.alloc(USUAL_BYTES);
  }

  private reserve(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    const larger = Buffer.alloc(Math.max(bytes, 2 * this.bytes.length));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}
