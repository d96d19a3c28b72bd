import type { Duplex } from 'node:stream';
import { FRAME_SAMPLES } from '../../media/frame.js';
import {
  fromMachineIngressTime,
  type IngressTime,
  toMachineIngressTime,
} from '../../telemetry/ingress-time.js';

const HEADER_BYTES = 12;
const FRAME_BYTES = FRAME_SAMPLES * 2;
/**
 * Leg number, stamp and loudness, 32 bits each, then the samples; all in the machine's own byte order. A negative number says
 * that no more comes of that leg, and its samples mean nothing.
 */
const RECORD_BYTES = HEADER_BYTES + FRAME_BYTES;
/** Frames that may wait for the other side: 200 ms of each of a hundred legs. */
const CAPACITY = 1_000;

/** Takes a frame of a leg. The samples are only lent. */
export type FrameListener = (leg: number, frame: Int16Array, stamp: IngressTime, loudness: number) => void;

/**
 * Frames of many legs through one pipe between two processes, both ways. All frames of a turn of the event loop leave
 * in one write. When the other side does not read, the oldest frames make room and are counted.
 */
export class FramePipe {
  /** Frames that had to make room. */
  dropped = 0;
  private filling = new Batch();
  private flying = new Batch();
  private isFlying = false;
  private isScheduled = false;
  private isClosed = false;
  private readonly record = Buffer.alloc(RECORD_BYTES);
  private readonly words = new Int32Array(this.record.buffer, this.record.byteOffset, HEADER_BYTES / 4);
  private readonly frame = new Int16Array(
    this.record.buffer,
    this.record.byteOffset + HEADER_BYTES,
    FRAME_SAMPLES,
  );
  private recordBytes = 0;
  private readonly silence = new Int16Array(FRAME_SAMPLES);
  private readonly endedLegs = new Set<number>();
  private readonly awaited = new Map<number, () => void>();
  // Made once: a closure per write would be one per turn.
  private readonly flush = () => this.send();
  private readonly landed = () => {
    this.isFlying = false;
    if (this.filling.count > 0) this.send();
  };

  constructor(
    private readonly stream: Duplex,
    private readonly listener: FrameListener,
  ) {
    stream.on('data', (chunk: Buffer) => this.handleChunk(chunk));
    // The owner of the process learns of its exit; a broken pipe adds nothing.
    stream.on('error', () => this.close());
  }

  /** Takes a copy of a frame. @param loudness 32 bits about it that the listener gets as they are */
  write(leg: number, frame: Int16Array, stamp: IngressTime, loudness = 0): void {
    if (this.isClosed) return;
    if (this.filling.push(leg, frame, toMachineIngressTime(stamp), loudness)) this.dropped += 1;
    if (this.isScheduled || this.isFlying) return;
    this.isScheduled = true;
    setImmediate(this.flush);
  }

  /** No more comes of this leg: the other side's {@link ended} is fulfilled when all before it has arrived. */
  end(leg: number): void {
    this.write(-leg, this.silence, 0);
  }

  /** Resolves when all frames of a leg have arrived after the other side's {@link end}; one caller per leg. */
  async ended(leg: number): Promise<void> {
    if (this.isClosed || this.endedLegs.delete(leg)) return;
    await new Promise<void>((resolve) => {
      this.awaited.set(leg, resolve);
    });
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stream.destroy();
    for (const resolve of this.awaited.values()) resolve();
    this.awaited.clear();
  }

  private arrived(leg: number): void {
    const resolve = this.awaited.get(leg);
    this.awaited.delete(leg);
    if (resolve === undefined) this.endedLegs.add(leg);
    else resolve();
  }

  private send(): void {
    this.isScheduled = false;
    if (this.isClosed || this.isFlying) return;
    const batch = this.filling;
    this.filling = this.flying;
    this.flying = batch;
    this.isFlying = true;
    const [early, late] = batch.take();
    if (late.length === 0) {
      this.stream.write(early, this.landed);
      return;
    }
    this.stream.cork();
    this.stream.write(early);
    this.stream.write(late, this.landed);
    this.stream.uncork();
  }

  private handleChunk(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.isClosed; ) {
      const copied = chunk.copy(this.record, this.recordBytes, at);
      at += copied;
      this.recordBytes += copied;
      if (this.recordBytes < RECORD_BYTES) return;
      this.recordBytes = 0;
      const leg = this.words[0] as number;
      if (leg < 0) this.arrived(-leg);
      else {
        const stamp = fromMachineIngressTime(this.words[1] as number);
        this.listener(leg, this.frame, stamp, this.words[2] as number);
      }
    }
  }
}

/** Records in a ring. */
class Batch {
  count = 0;
  private first = 0;
  private readonly bytes = Buffer.alloc(CAPACITY * RECORD_BYTES);
  private readonly words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length / 4);
  private readonly samples = new Int16Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length / 2);

  /** Copies a frame to the end; answers whether the oldest had to go for it. */
  push(leg: number, frame: Int16Array, stamp: number, loudness: number): boolean {
    const full = this.count === CAPACITY;
    if (full) {
      this.first = (this.first + 1) % CAPACITY;
      this.count -= 1;
    }
    const begin = ((this.first + this.count) % CAPACITY) * RECORD_BYTES;
    this.words[begin / 4] = leg;
    this.words[begin / 4 + 1] = stamp;
    this.words[begin / 4 + 2] = loudness;
    this.samples.set(frame, (begin + HEADER_BYTES) / 2);
    this.count += 1;
    return full;
  }

  /** Everything in order, in two pieces where the ring wraps; the ring is then empty, its memory still the pieces'. */
  take(): readonly [Buffer, Buffer] {
    const end = this.first + this.count;
    const pieces = [
      this.bytes.subarray(this.first * RECORD_BYTES, Math.min(end, CAPACITY) * RECORD_BYTES),
      this.bytes.subarray(0, Math.max(0, end - CAPACITY) * RECORD_BYTES),
    ] as const;
    this.first = 0;
    this.count = 0;
    return pieces;
  }
}
