import { JitterBuffer, type PacketDecoder } from '../../src/rtc/jitter-buffer.js';

/** Bytes of a model packet: an Opus header (RFC 6716: SILK, wideband), flags, and where its sound begins in the source. */
const MODEL_BYTES = 10;
/** Opus configurations of SILK wideband at 10, 20, 40 and 60 ms. */
const CONFIGURATIONS: Record<number, number> = { 10: 8, 20: 9, 40: 10, 60: 11 };
const FRAMES: Record<number, number> = { 10: 1, 20: 1, 40: 2, 60: 3 };

/** A sound without end: a sample for each whole number. */
export type Source = (sample: number) => number;

export const tone =
  (hz: number, rate: number, level = 8_000): Source =>
  (n) =>
    Math.round(level * Math.sin((2 * Math.PI * hz * n) / rate)) | 0;

/** A voice of 100 to 180 Hz with ten harmonics, in syllables of 150 ms and words of a second; silence between words. */
export const speech =
  (rate: number, level = 6_000): Source =>
  (n) => {
    const t = n / rate;
    const inWord = t % 1.3;
    if (inWord > 1) return 0;
    const loud = Math.min(1, inWord * 20, (1 - inWord) * 20) * (0.65 + 0.35 * Math.cos(2 * Math.PI * t * 6));
    // The integral of a pitch that glides.
    const phase = 2 * Math.PI * (140 * t + (40 / (2 * Math.PI * 0.7)) * Math.sin(2 * Math.PI * 0.7 * t));
    let sum = 0;
    for (let k = 1; k <= 10; k++) sum += Math.sin(k * phase) / (1 + Math.abs(k - 4));
    return Math.round(level * loud * sum * 0.5) | 0;
  };

/** Numbers between 0 and 1 (mulberry32): the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Numbers of a normal distribution of mean 0 and deviation 1. */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A decoder of model packets: what it plays says exactly where it is. A guess goes on with the source, as if it knew. */
export class ModelDecoder implements PacketDecoder {
  /** Calls of each kind. */
  decodes = 0;
  fecs = 0;
  conceals = 0;
  private next = 0;

  constructor(
    private readonly source: Source,
    readonly rate: number,
  ) {}

  samplesOf(packet: Uint8Array): number {
    if (packet.length === 1 || packet.length === 2) return this.rate / 50;
    return packet.length === MODEL_BYTES ? (this.rate / 1_000) * (packet[2] as number) : 0;
  }

  decode(packet: Uint8Array, out: Int16Array): number {
    this.decodes += 1;
    if (packet.length <= 2) return this.write(out, this.rate / 50, () => 0);
    if (packet[3] !== 0) return -4;
    this.next = positionOf(packet);
    return this.go(out, this.samplesOf(packet));
  }

  decodeFec(packet: Uint8Array, out: Int16Array, samples: number): number {
    this.fecs += 1;
    this.next = positionOf(packet) - samples;
    return this.go(out, samples);
  }

  conceal(out: Int16Array, samples: number): number {
    this.conceals += 1;
    return this.go(out, samples);
  }

  private go(out: Int16Array, samples: number): number {
    this.write(out, samples, (i) => this.source(this.next + i));
    this.next += samples;
    return samples;
  }

  private write(out: Int16Array, samples: number, of: (i: number) => number): number {
    for (let i = 0; i < samples; i++) out[i] = of(i);
    return samples;
  }
}

function positionOf(packet: Uint8Array): number {
  return (
    new DataView(packet.buffer, packet.byteOffset, packet.byteLength).getFloat32(4) * 10 +
    (packet[8] as number)
  );
}

/** A packet on its way. */
export interface Sent {
  sequence: number;
  timestamp: number;
  payload: Uint8Array;
  /** When it arrives; `Infinity`: it is lost. */
  atMs: number;
  /** Whether a copy of an earlier packet, with that packet's timestamp. */
  isRedundant?: boolean;
}

/**
 * @param position of its first sample in the source
 * @param hasLbrr whether it carries the packet before it once more
 */
export function payloadOf(ms: number, position: number, hasLbrr = false, isBroken = false): Uint8Array {
  const payload = new Uint8Array(MODEL_BYTES);
  payload[0] = (CONFIGURATIONS[ms] as number) << 3;
  payload[1] = hasLbrr ? 0x80 >> (FRAMES[ms] as number) : 0;
  payload[2] = ms;
  payload[3] = isBroken ? 1 : 0;
  const tens = Math.floor(position / 10);
  new DataView(payload.buffer).setFloat32(4, tens);
  payload[8] = position - tens * 10;
  return payload;
}

export interface Talk {
  readonly rate: number;
  readonly ms?: number;
  readonly seconds: number;
  readonly firstSequence?: number;
  readonly firstTimestamp?: number;
  readonly hasLbrr?: boolean;
  /** Sender's clock against ours, in parts of a million: positive if it is faster. */
  readonly driftPpm?: number;
  readonly startMs?: number;
  /** Milliseconds of the way. */
  readonly delay?: (index: number, sentMs: number) => number;
}

/** A talker's packets in the order in which they were sent. */
export function talk({
  rate,
  ms = 20,
  seconds,
  firstSequence = 0,
  firstTimestamp = 0,
  hasLbrr = false,
  driftPpm = 0,
  startMs = 1_000,
  delay = () => 30,
}: Talk): Sent[] {
  const pace = 1 / (1 + driftPpm / 1_000_000);
  return Array.from({ length: Math.round((seconds * 1_000) / ms) }, (_, i) => {
    const sentMs = startMs + (i + 1) * ms * pace;
    return {
      sequence: (firstSequence + i) & 0xffff,
      timestamp: (firstTimestamp + i * ms * 48) >>> 0,
      payload: payloadOf(ms, (i * ms * rate) / 1_000, hasLbrr && i > 0),
      atMs: sentMs + delay(i, sentMs),
    };
  });
}

/** A way on which no packet overtakes another. */
export function inOrder(packets: Sent[]): Sent[] {
  let lastMs = 0;
  for (const packet of packets) {
    if (packet.atMs === Number.POSITIVE_INFINITY) continue;
    lastMs = Math.max(lastMs, packet.atMs);
    packet.atMs = lastMs;
  }
  return packets;
}

export interface Listening {
  readonly rate: number;
  readonly decoder: PacketDecoder;
  readonly buffer?: JitterBuffer;
  /** Time of the first pull, and of the last. */
  readonly fromMs?: number;
  readonly untilMs: number;
  /** When the pull that is due at a time really happens. */
  readonly late?: (dueMs: number) => number;
  /** After each pull. */
  readonly each?: (nowMs: number, block: Int16Array, buffer: JitterBuffer) => void;
}

/** Pushes the packets at their times and pulls every 10 ms. */
export function listen(
  packets: readonly Sent[],
  options: Listening,
): { buffer: JitterBuffer; heard: Int16Array } {
  const { rate, decoder, fromMs = 1_003, untilMs, late = (dueMs) => dueMs, each } = options;
  const buffer = options.buffer ?? new JitterBuffer(decoder, rate);
  const arrivals = packets
    .filter(({ atMs }) => atMs < Number.POSITIVE_INFINITY)
    .sort((a, b) => a.atMs - b.atMs);
  const blockSamples = rate / 100;
  const block = new Int16Array(blockSamples);
  const heard = new Int16Array(Math.ceil((untilMs - fromMs) / 10) * blockSamples);
  let arrived = 0;
  let written = 0;
  let nowMs = 0;
  for (let dueMs = fromMs; dueMs < untilMs; dueMs += 10) {
    nowMs = Math.max(nowMs, late(dueMs));
    for (; arrived < arrivals.length && (arrivals[arrived] as Sent).atMs <= nowMs; arrived++) {
      const { sequence, timestamp, payload, atMs, isRedundant } = arrivals[arrived] as Sent;
      if (isRedundant === true) buffer.pushRedundant(timestamp, payload, atMs);
      else buffer.push(sequence, timestamp, payload, atMs);
    }
    buffer.pull(block, nowMs);
    heard.set(block, written);
    written += blockSamples;
    each?.(nowMs, block, buffer);
  }
  return { buffer, heard };
}

/** The first of `count` samples from `at` on that is not the source's from `first` on, counted from there; -1: all are. */
export function firstDifference(
  heard: Int16Array,
  at: number,
  source: Source,
  count: number,
  first = 0,
): number {
  for (let n = 0; n < count; n++) if (heard[at + n] !== source(first + n)) return n;
  return -1;
}

/** The largest jump between neighbouring samples. */
export function largestJump(sound: Int16Array): number {
  let largest = 0;
  for (let i = 1; i < sound.length; i++) {
    largest = Math.max(largest, Math.abs((sound[i] as number) - (sound[i - 1] as number)));
  }
  return largest;
}

/** The largest sample of what is left of a sound without one tone: of an unbroken one nothing but rounding. */
export function largestWithout(hz: number, sound: Int16Array, rate: number): number {
  const factor = 2 * Math.cos((2 * Math.PI * hz) / rate);
  let largest = 0;
  for (let i = 2; i < sound.length; i++) {
    const rest = (sound[i] as number) - factor * (sound[i - 1] as number) + (sound[i - 2] as number);
    largest = Math.max(largest, Math.abs(rest));
  }
  return largest;
}

/** The largest sample of what is left of a sound above a frequency: a click has all of them, a voice of ten harmonics none. */
export function largestAbove(hz: number, sound: Int16Array, rate: number): number {
  const half = Math.round(rate / 200);
  const cut = hz / rate;
  const filter = Array.from({ length: 2 * half + 1 }, (_, i) => {
    const n = i - half;
    const low = n === 0 ? 2 * cut : Math.sin(2 * Math.PI * cut * n) / (Math.PI * n);
    const window = 0.42 + 0.5 * Math.cos((Math.PI * n) / half) + 0.08 * Math.cos((2 * Math.PI * n) / half);
    return (n === 0 ? 1 : 0) - low * window;
  });
  let largest = 0;
  for (let i = 0; i + filter.length <= sound.length; i++) {
    let sum = 0;
    for (let k = 0; k < filter.length; k++) sum += (filter[k] as number) * (sound[i + k] as number);
    largest = Math.max(largest, Math.abs(sum));
  }
  return largest;
}

/** Mean delay in milliseconds in each second, see `jitterBufferDelay`: {@link listen} calls it after each pull. */
export class DelayLog {
  readonly ms: number[] = [];
  private pulls = 0;
  private delay = 0;
  private count = 0;

  readonly note = (_nowMs: number, _block: Int16Array, { stats }: JitterBuffer): void => {
    this.pulls += 1;
    if (this.pulls % 100 !== 0) return;
    this.ms.push(
      (1_000 * (stats.jitterBufferDelay - this.delay)) / (stats.jitterBufferEmittedCount - this.count),
    );
    this.delay = stats.jitterBufferDelay;
    this.count = stats.jitterBufferEmittedCount;
  };
}
