import { payloadView } from './payload-view.js';

/** Packets kept. */
export const MOST_PACKETS = 200;
/** A slot's memory grows in steps of this many bytes, so that streams of small packets stay small. */
const SLOT_STEP_BYTES = 256;

/**
 * The packets of one stream that wait to be decoded, ordered by timestamp, at most 200. Payloads are copied into memory that
 * is used again. A redundant copy gives way to the packet itself.
 */
export class PacketQueue {
  /** Packets that wait. */
  length = 0;
  private readonly order = new Uint8Array(MOST_PACKETS);
  /** Slots that are free: the last that was used is used next. */
  private readonly free = new Uint8Array(MOST_PACKETS);
  private freeCount = MOST_PACKETS;
  private readonly timestamps = new Float64Array(MOST_PACKETS);
  private readonly sequences = new Float64Array(MOST_PACKETS);
  private readonly arrivals = new Float64Array(MOST_PACKETS);
  private readonly durations = new Uint32Array(MOST_PACKETS);
  private readonly lbrr = new Uint8Array(MOST_PACKETS);
  private readonly lengths = new Uint16Array(MOST_PACKETS);
  private readonly payloads: Uint8Array[] = [];

  constructor() {
    for (let i = 0; i < MOST_PACKETS; i++) this.free[i] = MOST_PACKETS - 1 - i;
  }

  /** The oldest packet's extended timestamp, 48 kHz; meaningless while empty, as all that follow. */
  get timestamp(): number {
    return this.timestamps[this.order[0] as number] as number;
  }

  /** Its extended sequence number; NaN for a redundant copy. */
  get sequence(): number {
    return this.sequences[this.order[0] as number] as number;
  }

  /** When it arrived, in milliseconds. */
  get arrival(): number {
    return this.arrivals[this.order[0] as number] as number;
  }

  /** Units of 48 kHz that it lasts. */
  get duration(): number {
    return this.durations[this.order[0] as number] as number;
  }

  /** Whether it carries the packet before it once more. */
  get hasLbrr(): boolean {
    return this.lbrr[this.order[0] as number] !== 0;
  }

  /** Bytes of its payload. */
  get bytes(): number {
    return this.lengths[this.order[0] as number] as number;
  }

  /** The newest packet's extended timestamp. */
  get newest(): number {
    return this.timestamps[this.order[this.length - 1] as number] as number;
  }

  /** A copy of the oldest payload, valid until the thread's next {@link payloadView}. */
  payload(): Uint8Array {
    const slot = this.order[0] as number;
    const view = payloadView(this.lengths[slot] as number);
    const payload = this.payloads[slot] as Uint8Array;
    for (let i = 0; i < view.length; i++) view[i] = payload[i] as number;
    return view;
  }

  /**
   * Keeps a copy of a packet. There must be room: {@link length} below {@link MOST_PACKETS}.
   * @param sequence NaN for a redundant copy
   * @returns false if this timestamp is there already
   */
  insert(
    timestamp: number,
    sequence: number,
    arrival: number,
    duration: number,
    hasLbrr: boolean,
    payload: Uint8Array,
  ): boolean {
    let at = this.length;
    while (at > 0 && (this.timestamps[this.order[at - 1] as number] as number) >= timestamp) at -= 1;
    let slot = this.order[at] as number;
    if (at < this.length && this.timestamps[slot] === timestamp) {
      const isBetter = Number.isNaN(this.sequences[slot] as number) && !Number.isNaN(sequence);
      if (!isBetter) return false;
    } else {
      for (let i = this.length; i > at; i--) this.order[i] = this.order[i - 1] as number;
      this.freeCount -= 1;
      slot = this.free[this.freeCount] as number;
      this.order[at] = slot;
      this.length += 1;
    }
    this.timestamps[slot] = timestamp;
    this.sequences[slot] = sequence;
    this.arrivals[slot] = arrival;
    this.durations[slot] = duration;
    this.lbrr[slot] = hasLbrr ? 1 : 0;
    this.lengths[slot] = payload.length;
    this.memoryOf(slot, payload.length).set(payload);
    return true;
  }

  /** Drops the oldest packet. */
  drop(): void {
    if (this.length === 0) return;
    this.free[this.freeCount] = this.order[0] as number;
    this.freeCount += 1;
    this.length -= 1;
    for (let i = 0; i < this.length; i++) this.order[i] = this.order[i + 1] as number;
  }

  private memoryOf(slot: number, bytes: number): Uint8Array {
    let memory = this.payloads[slot];
    if (memory === undefined || memory.length < bytes) {
      memory = new Uint8Array(Math.ceil(bytes / SLOT_STEP_BYTES) * SLOT_STEP_BYTES);
      this.payloads[slot] = memory;
    }
    return memory;
  }
}
