import { expected } from '../errors.js';
import { DelayTarget } from './delay-target.js';
import { likeness } from './likeness.js';
import type { OpusDecoder } from './native.js';
import { hasLbrr, TICKS_PER_MS } from './opus-packet.js';
import { MOST_PACKETS, PacketQueue } from './packet-queue.js';
import { MOST_PAYLOAD_BYTES, payloadView } from './payload-view.js';
import { SequenceCount } from './sequence-count.js';
import { SpeechTape } from './speech-tape.js';

const BLOCK_MS = 10;
const BLOCK_TICKS = BLOCK_MS * TICKS_PER_MS;
/** Lengths that a decoder can conceal are multiples of this: 2.5 ms. */
const CONCEAL_TICKS = 2.5 * TICKS_PER_MS;
/** Longest Opus packet. */
const MOST_DECODED_TICKS = 120 * TICKS_PER_MS;
/** Sound and packets kept: what is older is skipped. */
const MOST_WAITING_MS = 2_000;
/** By how much a hold-up may delay what it held up. */
const MOST_GROWTH_MS = 1_200;

/** Milliseconds that an expected packet has left when it is needed: at the start, and before the sound is made longer or shorter. */
const START_MARGIN_MS = 5;
const LEAST_MARGIN_MS = 2;
const MOST_MARGIN_MS = 22;
/** At this margin and the next the least alike pieces may become one. */
const URGENT_MS = 100;
const SHORT_URGENT_MS = 6;
const LEAST_LIKENESS = 0.8;
/** Blocks between two changes, unless this much is to go. */
const CHANGE_BLOCKS = 5;
const HASTY_MS = 60;
/** Pieces of a pause removed in one block, of 10 ms. */
const MOST_CHANGES = 20;
/** Sound that is decoded to find a period in it. */
const SEARCH_MS = 30;
/** The margin is the least of this many blocks, or of up to twice as many. */
const MARGIN_BLOCKS = 25;

/** How long a voice goes on by itself, and a comfort noise, before they fade. */
const VOICE_MS = 150;
const COMFORT_MS = 3_000;
const FADE_OUT_MS = 250;
const FADE_IN_TICKS = 2 * TICKS_PER_MS;
/** Where a packet does not continue what was made up for it, one fades into the other. */
const JOIN_TICKS = 5 * TICKS_PER_MS;
/** An Opus packet of this many bytes or fewer says that the talker is silent (DTX). */
const DTX_BYTES = 2;

/** A packet that much faster than all others, or slower, is of another timeline. */
const TOO_FAST_MS = 100;
const TOO_SLOW_MS = 2_000;
/** A late packet that is later than this will not be caught up with. */
const FAR_LATE_MS = 200;
/** So many packets in a row prove another timeline; so many that are only late. */
const PROOF = 2;
const LATE_PROOF = 4;

/** Loss above which it is worth to wait for redundancy, and below which no longer. */
const LOSSY = 0.02;
const LOSSLESS = 0.01;
const LOSS_WEIGHT = 1 / 128;
/** Packets without a copy after which none is expected. */
const COPY_PACKETS = 100;

/** What the buffer needs of an Opus decoder, of the buffer's rate. */
export type PacketDecoder = Omit<OpusDecoder, 'free'>;

/**
 * Counters since the stream began, by the names and meanings of "RTCInboundRtpStreamStats" of W3C's webrtc-stats. Samples are
 * of the buffer's rate, delays are in seconds.
 */
export interface JitterStats {
  packetsReceived: number;
  /** Expected less received: late ones count as received, and duplicates as well (RFC 3550 section 6.4.1). May fall. */
  packetsLost: number;
  /** Packets that came too late to be heard, too early to be kept, or malformed. */
  packetsDiscarded: number;
  /** Interarrival jitter (RFC 3550 section 6.4.1). */
  jitter: number;
  /** Redundant copies: packets that carry the one before (LBRR), and blocks of RED. */
  fecPacketsReceived: number;
  /** Those that were not needed. */
  fecPacketsDiscarded: number;
  /** Sum over all samples of the time from the packet's arrival until it was decoded; divide by {@link jitterBufferEmittedCount}. */
  jitterBufferDelay: number;
  jitterBufferTargetDelay: number;
  jitterBufferEmittedCount: number;
  /** Everything pulled since the first packet, concealed samples among it. */
  totalSamplesReceived: number;
  /** Samples made up for lost and late packets, not for pauses. */
  concealedSamples: number;
  silentConcealedSamples: number;
  concealmentEvents: number;
  insertedSamplesForDeceleration: number;
  removedSamplesForAcceleration: number;
}

/** Shared by all buffers of a thread, which are done with it when they return. Of the highest rate. */
const decoded = new Int16Array(MOST_DECODED_TICKS);
const madeUp = new Int16Array(BLOCK_TICKS);

/** Beginnings of {@link decoded} by their lengths, each made once. */
const beginnings = new Map<number, Int16Array>();

function firstDecoded(samples: number): Int16Array {
  let view = beginnings.get(samples);
  if (view === undefined) {
    view = decoded.subarray(0, samples);
    beginnings.set(samples, view);
  }
  return view;
}

/** Where the tape's sound comes from: nowhere yet, nowhere any more, or packets and what was made up between them. */
type State = 'empty' | 'silent' | 'playing';

/** How the next packet continues what is on the tape: by itself, out of a guess, or out of silence. */
type Joint = 'none' | 'overlap' | 'fade';

/**
 * Turns the packets of one Opus stream into even sound. Packets wait until those that are late have had the time that they
 * usually take (see {@link DelayTarget}), and no longer: delay grows and shrinks by periods of the voice and in pauses.
 *
 * - A packet that is missing when it is needed is replaced by the copy in a later one (LBRR, RED), or else by the decoder's
 *   guess. Where nothing follows yet the buffer waits, and what comes late is still heard, up to 1.2 s.
 * - Loss above 2 % on a stream with copies makes it wait for these too.
 * - A pause of the talker (DTX) is filled with comfort noise for up to 3 s, then silence, and sets the delay anew.
 * - Timestamps that jump begin another timeline, with the second packet of it at the earliest.
 *
 * At most 200 packets and 2 s are kept; the oldest go first. Allocates nothing once there is memory for the stream's packets.
 */
export class JitterBuffer {
  private readonly counters: JitterStats = {
    packetsReceived: 0,
    packetsLost: 0,
    packetsDiscarded: 0,
    jitter: 0,
    fecPacketsReceived: 0,
    fecPacketsDiscarded: 0,
    jitterBufferDelay: 0,
    jitterBufferTargetDelay: 0,
    jitterBufferEmittedCount: 0,
    totalSamplesReceived: 0,
    concealedSamples: 0,
    silentConcealedSamples: 0,
    concealmentEvents: 0,
    insertedSamplesForDeceleration: 0,
    removedSamplesForAcceleration: 0,
  };
  private readonly queue = new PacketQueue();
  private readonly target = new DelayTarget();
  private readonly count = new SequenceCount();
  private readonly tape: SpeechTape;
  /** Units of 48 kHz, ticks, that a sample lasts. */
  private readonly ticks: number;
  private readonly blockSamples: number;

  /** Extended timestamp of the last packet that was accepted, and its transit in ticks. */
  private lastTimestamp = 0;
  private lastTransit = Number.NaN;
  /** Extended timestamp of what comes next, and of the oldest that would still be heard; -Infinity before any was. */
  private position = Number.NEGATIVE_INFINITY;
  private oldest = Number.NEGATIVE_INFINITY;
  private state: State = 'empty';
  private joint: Joint = 'none';
  /** Whether the talker is known to be silent. */
  private isPause = true;
  private lastSequence = Number.NaN;
  private lastDuration = 0;
  /** Extended timestamp of the end of what was decoded last. */
  private lastEnd = Number.POSITIVE_INFINITY;
  /** Milliseconds since a packet was decoded. */
  private withoutMs = 0;
  /** Samples made up since then, and silence: concealment, unless it proves to be a pause. */
  private unproven = 0;
  private unprovenSilent = 0;

  /** Least transit in milliseconds at which packets were needed, in the current blocks and in those before. */
  private transitNow = Number.POSITIVE_INFINITY;
  private transitBefore = Number.POSITIVE_INFINITY;
  private transitBlocks = 0;
  private restBlocks = 0;

  /** The share of packets that are missing before the next one, and whether that is worth to wait for copies. */
  private loss = 0;
  private isLossy = false;
  /** How much later than a packet its copy comes, 0 if none does. */
  private copyTicks = 0;
  private packetsWithoutCopy = 0;
  /** Whether the copy in the next packet has been heard. */
  private isCopyUsed = false;

  private strangeTimestamp = 0;
  private strangeRun = 0;

  /**
   * @param rate samples per second: 8000, 16000, 24000 or 48000
   * @throws TypeError for another rate
   */
  constructor(
    private readonly decoder: PacketDecoder,
    private readonly rate: number,
  ) {
    if (![8_000, 16_000, 24_000, 48_000].includes(rate)) {
      throw expected('8000, 16000, 24000 or 48000', 'the rate of a jitter buffer', rate);
    }
    this.ticks = (1_000 * TICKS_PER_MS) / rate;
    this.blockSamples = (BLOCK_MS * rate) / 1_000;
    this.tape = new SpeechTape(rate);
  }

  /** The counters: the same object each time. */
  get stats(): Readonly<JitterStats> {
    this.counters.packetsLost = this.count.lost;
    return this.counters;
  }

  /** Highest sequence number with its cycles, 32 bits, as receiver reports have it (RFC 3550 section 6.4.1). */
  get extendedSequence(): number {
    return this.count.highest >>> 0;
  }

  /**
   * Takes a packet; the payload is copied.
   * @param sequence 16 bits
   * @param timestamp 32 bits, 48 kHz
   * @param payload of Opus, 1 to 1,500 bytes: others are discarded
   * @param atMs when it arrived
   * @param start first byte of it, to save the caller a view
   * @param end byte after the last
   */
  push(
    sequence: number,
    timestamp: number,
    payload: Uint8Array,
    atMs: number,
    start = 0,
    end = payload.length,
  ): void {
    const { counters } = this;
    counters.packetsReceived += 1;
    const extended = this.count.receive(sequence);
    if (Number.isNaN(extended)) return;
    const at = this.extend(timestamp);
    const transitMs = atMs - at / TICKS_PER_MS;
    const view = viewOf(payload, start, end);
    const duration = view === undefined ? 0 : this.decoder.samplesOf(view) * this.ticks;
    const isMalformed = view === undefined || !(duration > 0 && duration <= MOST_DECODED_TICKS);
    if (isMalformed || (this.isStrange(at, transitMs) && !this.isProved(at, transitMs))) {
      counters.packetsDiscarded += 1;
      return;
    }
    this.measureJitter(atMs * TICKS_PER_MS - at);
    this.lastTimestamp = at;
    this.strangeRun = 0;
    this.target.arrived(transitMs, atMs);
    const isCopied = hasLbrr(view);
    this.packetsWithoutCopy += 1;
    if (isCopied) this.noteCopy(duration);
    else if (this.packetsWithoutCopy > COPY_PACKETS) this.copyTicks = 0;
    if (this.state === 'empty') this.state = 'silent';
    if (this.queue.insert(at, extended, atMs, duration, isCopied, view)) this.bound();
  }

  /**
   * Takes a redundant copy of an earlier packet, such as a block of RED; the payload is copied. It is heard if that packet
   * does not come. Push the packet that carried it first.
   * @param timestamp of the earlier packet
   * @param payload as that of {@link push}
   */
  pushRedundant(timestamp: number, payload: Uint8Array, atMs: number, start = 0, end = payload.length): void {
    const at = this.extend(timestamp);
    const age = this.lastTimestamp - at;
    const isEarlier = this.state !== 'empty' && age > 0 && age <= MOST_DECODED_TICKS;
    if (isEarlier) this.noteCopy(age);
    const view = viewOf(payload, start, end);
    if (isEarlier && at >= this.oldest && view !== undefined) {
      const duration = this.decoder.samplesOf(view) * this.ticks;
      if (
        duration > 0 &&
        duration <= MOST_DECODED_TICKS &&
        this.queue.insert(at, Number.NaN, atMs, duration, false, view)
      ) {
        this.bound();
        return;
      }
    }
    this.counters.fecPacketsDiscarded += 1;
  }

  /**
   * Fills 10 ms. To be called every 10 ms, as evenly as the machine can; after a stall once for each block that is due, and
   * better after what arrived meanwhile has been pushed.
   * @param out a hundredth of the rate in samples
   * @throws TypeError for another length
   */
  pull(out: Int16Array, nowMs: number): void {
    const { tape, blockSamples } = this;
    if (out.length !== blockSamples) throw expected(`${blockSamples} samples`, 'a block', out);
    if (this.state === 'empty') {
      out.fill(0);
      return;
    }
    this.counters.totalSamplesReceived += blockSamples;
    this.transitBlocks += 1;
    if (this.transitBlocks >= MARGIN_BLOCKS) {
      this.transitBlocks = 0;
      this.transitBefore = this.transitNow;
      this.transitNow = Number.POSITIVE_INFINITY;
    }
    while (tape.length < blockSamples) this.fill(nowMs);
    if (this.state === 'playing' && this.withoutMs === 0) {
      this.adapt(nowMs);
      while (tape.length < blockSamples) this.fill(nowMs);
    }
    tape.take(out);
  }

  private extend(timestamp: number): number {
    return this.lastTimestamp + ((timestamp - this.lastTimestamp) | 0);
  }

  private measureJitter(transit: number): void {
    const change = Math.abs(transit - this.lastTransit);
    this.lastTransit = transit;
    if (Number.isNaN(change)) return;
    const seconds = change / (1_000 * TICKS_PER_MS);
    this.counters.jitter += (seconds - this.counters.jitter) / 16;
  }

  /** Whether a packet does not belong to the timeline of the others, or comes too late. */
  private isStrange(at: number, transitMs: number): boolean {
    const { target } = this;
    if (target.isEmpty) return false;
    const isFast = transitMs < target.lowMs - TOO_FAST_MS;
    return isFast || transitMs > target.highMs + TOO_SLOW_MS || at < this.oldest;
  }

  /** Whether a strange packet and those before it, one following the other, prove another timeline, which then begins. */
  private isProved(at: number, transitMs: number): boolean {
    const { target } = this;
    const step = at - this.strangeTimestamp;
    const follows = this.strangeRun > 0 && step > 0 && step <= 2 * MOST_DECODED_TICKS;
    this.strangeRun = follows ? this.strangeRun + 1 : 1;
    this.strangeTimestamp = at;
    const isFar = transitMs < target.lowMs - TOO_FAST_MS || transitMs > target.highMs + FAR_LATE_MS;
    if (this.state === 'playing' && this.strangeRun < (isFar ? PROOF : LATE_PROOF)) return false;
    while (this.queue.length > 0) this.discard();
    target.clear();
    this.isPause = true;
    this.lastSequence = Number.NaN;
    this.lastTransit = Number.NaN;
    this.position = Number.NEGATIVE_INFINITY;
    this.oldest = Number.NEGATIVE_INFINITY;
    if (this.joint === 'none') this.joint = 'overlap';
    return true;
  }

  /** Drops the oldest packets beyond the bound: the sound skips. */
  private bound(): void {
    const { queue } = this;
    while (queue.length === MOST_PACKETS || queue.newest - queue.timestamp > MOST_WAITING_MS * TICKS_PER_MS) {
      this.discard();
      this.position = queue.timestamp;
      this.oldest = queue.timestamp;
      if (this.joint === 'none') this.joint = 'overlap';
    }
  }

  private discard(): void {
    if (Number.isNaN(this.queue.sequence)) this.counters.fecPacketsDiscarded += 1;
    else this.counters.packetsDiscarded += 1;
    this.queue.drop();
  }

  /** Appends the next packet to the tape, or what stands for it. A malformed one goes without a sound. */
  private fill(nowMs: number): void {
    const { queue } = this;
    while (queue.length > 0 && queue.timestamp < this.oldest) this.discard();
    const gap = queue.timestamp - this.position;
    if (queue.length === 0) this.makeUp(BLOCK_TICKS);
    else if (this.state === 'silent' || ((gap > 0 || this.withoutMs > 0) && this.isTalkersPause())) {
      this.isPause ||= this.isTalkersPause();
      const dueMs = queue.timestamp / TICKS_PER_MS + this.target.highMs + START_MARGIN_MS + this.copyMs;
      if (nowMs < dueMs) this.makeUp(BLOCK_TICKS);
      else this.begin(nowMs);
    } else if (gap > 0) this.bridge(gap);
    else this.decode(nowMs);
  }

  /** Whether the talker was silent up to the next packet, rather than one was lost. */
  private isTalkersPause(): boolean {
    if (this.isPause) return true;
    const { sequence, timestamp } = this.queue;
    const missing = sequence - this.lastSequence - 1;
    return missing >= 0 && timestamp - this.lastEnd > missing * this.lastDuration;
  }

  /** Plays the next packet after a pause, or at the beginning. */
  private begin(nowMs: number): void {
    this.state = 'playing';
    this.position = this.queue.timestamp;
    this.transitNow = Number.POSITIVE_INFINITY;
    this.transitBefore = Number.POSITIVE_INFINITY;
    this.decode(nowMs);
  }

  /** Restores what is missing before the next packet from the copy that this carries, or makes it up. */
  private bridge(gap: number): void {
    const { queue } = this;
    const { duration, hasLbrr } = queue;
    if (hasLbrr && gap <= duration) {
      const { ticks } = this;
      const samples = duration / ticks;
      // The first part has been made up already.
      const past = Math.floor((duration - gap) / ticks);
      const guessed = past > 0 ? this.decoder.conceal(madeUp, this.blockSamples) : 0;
      if (this.decoder.decodeFec(queue.payload(), decoded, samples) === samples) {
        if (past > 0) decoded.copyWithin(0, past, samples);
        if (guessed === this.blockSamples) join(samples - past, JOIN_TICKS / ticks, 1, this.rate);
        this.tape.append(firstDecoded(samples - past));
        this.position = queue.timestamp;
        this.oldest = queue.timestamp;
        this.withoutMs = 0;
        this.isCopyUsed = true;
        this.prove();
        return;
      }
    }
    const before = hasLbrr && gap > duration ? gap - duration : gap;
    this.makeUp(before % CONCEAL_TICKS === 0 ? Math.min(before, BLOCK_TICKS) : BLOCK_TICKS);
  }

  /** Appends what the decoder guesses, fading with time, or silence. */
  private makeUp(ticks: number): void {
    const { tape } = this;
    const samples = ticks / this.ticks;
    this.position += ticks;
    this.oldest = Math.max(this.oldest, this.position - MOST_GROWTH_MS * TICKS_PER_MS);
    if (this.state === 'silent') {
      tape.appendSilence(samples);
      this.unprovenSilent += samples;
      return;
    }
    const fadesAtMs = this.isPause ? COMFORT_MS : VOICE_MS;
    const fromGain = gainAt(this.withoutMs - fadesAtMs);
    this.withoutMs += ticks / TICKS_PER_MS;
    const toGain = gainAt(this.withoutMs - fadesAtMs);
    if (this.decoder.conceal(decoded, samples) !== samples) tape.appendSilence(samples);
    else if (fromGain === 1 && toGain === 1) tape.append(firstDecoded(samples));
    else tape.appendFading(firstDecoded(samples), fromGain, toGain);
    this.unproven += samples;
    if (toGain > 0) return;
    this.state = 'silent';
    this.joint = 'fade';
  }

  /** What was made up is concealment after all. */
  private prove(): void {
    const made = this.unproven + this.unprovenSilent;
    if (made > 0 && !this.isPause) {
      this.counters.concealedSamples += made;
      this.counters.silentConcealedSamples += this.unprovenSilent;
      this.counters.concealmentEvents += 1;
    }
    this.unproven = 0;
    this.unprovenSilent = 0;
  }

  private decode(nowMs: number): void {
    const { queue, tape, counters, target, ticks, blockSamples } = this;
    const { timestamp, sequence, arrival, duration, bytes, hasLbrr } = queue;
    const grown = this.position - timestamp;
    const joint = grown > 0 && this.joint === 'none' ? 'overlap' : this.joint;
    const guessed = joint === 'overlap' ? this.decoder.conceal(madeUp, blockSamples) : 0;
    const count = Math.min(this.decoder.decode(queue.payload(), decoded), MOST_DECODED_TICKS / ticks);
    queue.drop();
    if (!(count > 0)) {
      counters.packetsDiscarded += 1;
      this.oldest = timestamp + 1;
      return;
    }
    if (hasLbrr && !this.isCopyUsed) counters.fecPacketsDiscarded += 1;
    this.isCopyUsed = false;
    const waitedMs = nowMs - arrival + (tape.length * ticks) / TICKS_PER_MS;
    const targetMs = target.highMs - target.lowMs + START_MARGIN_MS + this.copyMs;
    counters.jitterBufferDelay += (count * waitedMs) / 1_000;
    counters.jitterBufferTargetDelay += (count * targetMs) / 1_000;
    counters.jitterBufferEmittedCount += count;
    this.prove();
    if (sequence > this.lastSequence) this.noteLoss(sequence > this.lastSequence + 1);

    if (joint === 'fade') fadeIn(count, FADE_IN_TICKS / ticks);
    const skipped = guessed === blockSamples ? join(count, JOIN_TICKS / ticks, blockSamples, this.rate) : 0;
    // What is decoded ahead of its time is not needed now.
    const aheadMs = Math.floor(tape.length / blockSamples) * BLOCK_MS;
    if (skipped > 0) decoded.copyWithin(0, skipped, count);
    tape.append(firstDecoded(count - skipped));
    this.shift((grown - skipped * ticks) / TICKS_PER_MS);
    this.transitNow = Math.min(this.transitNow, nowMs + aheadMs - timestamp / TICKS_PER_MS);

    this.position = timestamp + count * ticks;
    this.lastEnd = this.position;
    this.oldest = this.position;
    if (!Number.isNaN(sequence)) this.lastSequence = sequence;
    this.lastDuration = duration;
    this.joint = 'none';
    this.isPause = bytes <= DTX_BYTES;
    this.withoutMs = 0;
  }

  private noteCopy(ticks: number): void {
    this.counters.fecPacketsReceived += 1;
    this.copyTicks = ticks;
    this.packetsWithoutCopy = 0;
  }

  private noteLoss(isLost: boolean): void {
    this.loss += ((isLost ? 1 : 0) - this.loss) * LOSS_WEIGHT;
    this.isLossy = this.loss > (this.isLossy ? LOSSLESS : LOSSY);
  }

  /** How long packets are kept waiting for the copies of lost ones. */
  private get copyMs(): number {
    return this.isLossy ? this.copyTicks / TICKS_PER_MS : 0;
  }

  /** Sound was inserted before the next packet, or removed. */
  private shift(ms: number): void {
    this.transitNow += ms;
    this.transitBefore += ms;
  }

  /** Brings the delay nearer to its target, where the sound allows it. */
  private adapt(nowMs: number): void {
    if (this.restBlocks > 0) this.restBlocks -= 1;
    const transitMs = Math.min(this.transitNow, this.transitBefore);
    const marginMs = transitMs - this.target.highMs - this.copyMs;
    if (!Number.isFinite(marginMs)) return;
    if (marginMs > MOST_MARGIN_MS)
      this.shorten(Math.floor((marginMs - LEAST_MARGIN_MS) / BLOCK_MS) * BLOCK_MS, nowMs);
    else if (marginMs < LEAST_MARGIN_MS) this.lengthen(LEAST_MARGIN_MS - marginMs);
  }

  private shorten(excessMs: number, nowMs: number): void {
    const { tape, queue, rate } = this;
    if (this.restBlocks > 0 && excessMs < HASTY_MS) return;
    let leftMs = excessMs;
    for (let changes = 0; changes < MOST_CHANGES && leftMs >= BLOCK_MS; changes++) {
      while (
        tape.length < (SEARCH_MS * rate) / 1_000 &&
        queue.length > 0 &&
        queue.timestamp === this.position
      ) {
        this.decode(nowMs);
      }
      const isQuiet = tape.isQuiet();
      const likeness = LEAST_LIKENESS * Math.max(0, 1 - leftMs / URGENT_MS);
      const removed = tape.shorten(Math.floor((leftMs * rate) / 1_000), likeness);
      if (removed === 0) return;
      const removedMs = (removed * 1_000) / rate;
      this.counters.removedSamplesForAcceleration += removed;
      this.restBlocks = CHANGE_BLOCKS;
      this.shift(-removedMs);
      leftMs -= removedMs;
      if (!isQuiet) return;
    }
  }

  private lengthen(wantedMs: number): void {
    if (this.restBlocks > 0) return;
    const { tape, rate } = this;
    const likeness = tape.isQuiet() ? -1 : LEAST_LIKENESS * Math.max(0, 1 - wantedMs / SHORT_URGENT_MS);
    const inserted = tape.lengthen(rate, likeness);
    if (inserted === 0) return;
    this.counters.insertedSamplesForDeceleration += inserted;
    this.restBlocks = CHANGE_BLOCKS;
    this.shift((inserted * 1_000) / rate);
  }
}

/** A copy of a payload, see {@link payloadView}; `undefined` if it is empty or too long. */
function viewOf(payload: Uint8Array, start: number, end: number): Uint8Array | undefined {
  const length = end - start;
  if (!(length > 0 && length <= MOST_PAYLOAD_BYTES)) return undefined;
  const view = payloadView(length);
  for (let i = 0; i < length; i++) view[i] = payload[start + i] as number;
  return view;
}

function gainAt(fadingMs: number): number {
  return Math.min(1, Math.max(0, 1 - fadingMs / FADE_OUT_MS));
}

function fadeIn(count: number, samples: number): void {
  const length = Math.min(samples, count);
  for (let i = 0; i < length; i++) decoded[i] = Math.round(((decoded[i] as number) * i) / length);
}

/**
 * Has the decoder's guess fade into the packet, where that is most like it.
 * @returns samples to leave out at the packet's beginning: less than `most`
 */
function join(count: number, samples: number, most: number, rate: number): number {
  const length = Math.min(samples, count);
  const step = rate / 8_000;
  let skipped = 0;
  let best = -2;
  for (let tried = 0; tried < most && tried + length <= count; tried += step) {
    const value = likeness(madeUp, 0, decoded, tried, length, step);
    if (value > best) {
      best = value;
      skipped = tried;
    }
  }
  for (let i = 0; i < length; i++) {
    const guess = madeUp[i] as number;
    decoded[skipped + i] = Math.round(guess + (((decoded[skipped + i] as number) - guess) * i) / length);
  }
  return skipped;
}
