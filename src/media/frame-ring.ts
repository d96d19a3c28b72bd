import { audioWaited } from '../telemetry/ingress-time.js';
import { FRAME_SAMPLES, type FrameSink } from './frame.js';

/** Bytes of rings that wait for their next queue: enough for a hundred calls that are behind at once. */
const MOST_SPARE_BYTES = 4 * 1024 * 1024;

const spare = new Map<number, FrameRing[]>();
let spareBytes = 0;

/** A bounded queue of frames in one piece of memory. A push to a full queue drops the oldest frame. */
export class FrameRing {
  private readonly frames: Int16Array[];
  private readonly stamps: Int32Array;
  private readonly times: Float64Array;
  private first = 0;
  private count = 0;

  /**
   * @param capacity frames, at least 1
   * @param samples samples of a frame
   */
  constructor(
    readonly capacity: number,
    samples = FRAME_SAMPLES,
  ) {
    const memory = new Int16Array(capacity * samples);
    // A view per push would be an allocation per frame.
    this.frames = Array.from({ length: capacity }, (_, i) => memory.subarray(i * samples, (i + 1) * samples));
    this.stamps = new Int32Array(capacity);
    this.times = new Float64Array(capacity);
  }

  /**
   * Lends an empty ring of frames of 20 ms to a queue that needs one only now and then.
   * @param capacity frames, at least 1
   */
  static borrow(capacity: number): FrameRing {
    const ring = spare.get(capacity)?.pop();
    if (ring === undefined) return new FrameRing(capacity);
    spareBytes -= ring.bytes;
    return ring;
  }

  /** Gives a borrowed ring back. Neither it nor its frames may be used afterwards. */
  static giveBack(ring: FrameRing): void {
    if (spareBytes + ring.bytes > MOST_SPARE_BYTES) return;
    ring.clear();
    const rings = spare.get(ring.capacity);
    if (rings === undefined) spare.set(ring.capacity, [ring]);
    else rings.push(ring);
    spareBytes += ring.bytes;
  }

  get length(): number {
    return this.count;
  }

  private get bytes(): number {
    return this.capacity * FRAME_SAMPLES * Int16Array.BYTES_PER_ELEMENT;
  }

  /**
   * Copies a frame to the end.
   * @param time a reading of the caller's clock, returned by {@link oldestTime}
   * @returns whether the oldest frame was dropped for it
   */
  push(frame: Int16Array, stamp: number, time = 0): boolean {
    const full = this.count === this.capacity;
    if (full) this.drop();
    const slot = (this.first + this.count) % this.capacity;
    (this.frames[slot] as Int16Array).set(frame);
    this.stamps[slot] = stamp;
    this.times[slot] = time;
    this.count += 1;
    return full;
  }

  /** The oldest frame, or `undefined`; its memory is overwritten `capacity` pushes later. */
  get oldest(): Int16Array | undefined {
    return this.count === 0 ? undefined : this.frames[this.first];
  }

  /** The oldest frame's stamp; meaningless while empty. */
  get oldestStamp(): number {
    return this.stamps[this.first] as number;
  }

  /** The time that the oldest frame was pushed with; meaningless while empty. */
  get oldestTime(): number {
    return this.times[this.first] as number;
  }

  /** The frame at an index, 0 being the oldest; meaningless from {@link length} on. */
  at(index: number): Int16Array {
    return this.frames[(this.first + index) % this.capacity] as Int16Array;
  }

  /** Drops the frame at an index, 0 being the oldest; the others keep their order, stamps and times. */
  remove(index: number): void {
    const { frames, stamps, times, capacity, first } = this;
    const removed = this.at(index);
    for (let i = index; i > 0; i--) {
      const to = (first + i) % capacity;
      const from = (first + i - 1) % capacity;
      frames[to] = frames[from] as Int16Array;
      stamps[to] = stamps[from] as number;
      times[to] = times[from] as number;
    }
    frames[first] = removed;
    this.drop();
  }

  /** Drops the oldest frame. */
  drop(): void {
    if (this.count === 0) return;
    this.first = (this.first + 1) % this.capacity;
    this.count -= 1;
  }

  clear(): void {
    this.count = 0;
  }

  /** Writes every frame to `sink`, oldest first, and empties the queue. */
  drainInto(sink: FrameSink): void {
    audioWaited();
    while (this.count > 0) {
      const frame = this.frames[this.first] as Int16Array;
      const stamp = this.oldestStamp;
      this.drop();
      sink.write(frame, stamp);
    }
  }
}
