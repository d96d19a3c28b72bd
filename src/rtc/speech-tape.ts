import { findPeriod, found, LONGEST_MS } from './likeness.js';

/** Sound that was taken and is still there to be repeated. */
const HISTORY_MS = 30;
/** Room for what {@link SpeechTape.lengthen} inserts before the tape is moved. */
const ROOM_MS = HISTORY_MS + 60;
const LENGTH_MS = 600;
/** What two pieces are compared by, and how long one fades into the other. */
const FADE_MS = 10;
/** A mean square below this is a pause: -50 dBFS. */
const QUIET_SQUARE = 100 * 100;
/** What {@link SpeechTape.isQuiet} looks at. */
const LOOK_MS = 20;

/**
 * Decoded sound on its way to the listener, at most 300 ms, and the last that went. It can be made shorter and longer where
 * it begins, by one period of the voice at a time, without a click. Of one rate, 16 bits, mono.
 */
export class SpeechTape {
  private readonly samples: Int16Array;
  private head: number;
  private tail: number;
  private readonly fadeSamples: number;
  private readonly historySamples: number;

  /** @param rate 8000, 16000, 24000 or 48000 */
  constructor(private readonly rate: number) {
    this.samples = new Int16Array((LENGTH_MS * rate) / 1_000);
    this.head = (ROOM_MS * rate) / 1_000;
    this.tail = this.head;
    this.fadeSamples = (FADE_MS * rate) / 1_000;
    this.historySamples = (HISTORY_MS * rate) / 1_000;
  }

  /** Samples that wait. */
  get length(): number {
    return this.tail - this.head;
  }

  /** Appends samples; at most 300 ms may wait. */
  append(sound: Int16Array): void {
    this.makeRoom(sound.length);
    this.samples.set(sound, this.tail);
    this.tail += sound.length;
  }

  /** Appends samples, from one gain to another in a straight line. */
  appendFading(sound: Int16Array, fromGain: number, toGain: number): void {
    const count = sound.length;
    this.makeRoom(count);
    const { samples, tail } = this;
    const step = (toGain - fromGain) / count;
    for (let i = 0; i < count; i++) {
      samples[tail + i] = Math.round((sound[i] as number) * (fromGain + step * i));
    }
    this.tail += count;
  }

  /** Appends silence. */
  appendSilence(count: number): void {
    this.makeRoom(count);
    this.samples.fill(0, this.tail, this.tail + count);
    this.tail += count;
  }

  /** Takes as many samples as `out` has, a multiple of 4; they must be there. */
  take(out: Int16Array): void {
    const { samples } = this;
    const count = out.length;
    let from = this.head;
    // Four at a time: twice as fast.
    for (let i = 0; i < count; i += 4, from += 4) {
      out[i] = samples[from] as number;
      out[i + 1] = samples[from + 1] as number;
      out[i + 2] = samples[from + 2] as number;
      out[i + 3] = samples[from + 3] as number;
    }
    this.head = from;
  }

  /** Whether what comes next is a pause. */
  isQuiet(): boolean {
    const count = Math.min(this.length, (LOOK_MS * this.rate) / 1_000);
    let sum = 0;
    for (let i = this.head; i < this.head + count; i++) sum += (this.samples[i] as number) ** 2;
    return sum < QUIET_SQUARE * count;
  }

  /**
   * Removes one period of the voice; or of a pause as much as there is.
   * @param most samples that may go
   * @param leastLikeness of the two pieces that become one, -1 to 1
   * @returns samples removed: 0 if nothing was alike, or less than 12.5 ms are there
   */
  shorten(most: number, leastLikeness: number): number {
    const { samples, head, fadeSamples, historySamples } = this;
    const room = Math.min(most, this.length - fadeSamples);
    let period = 0;
    if (this.isQuiet()) period = Math.max(0, Math.min(room, (LOOK_MS * this.rate) / 1_000 - fadeSamples));
    else {
      period = findPeriod(samples, head, fadeSamples, 1, room, this.rate);
      if (found.likeness < leastLikeness) return 0;
    }
    if (period <= 0) return 0;
    // Backwards: the later piece may begin within the one that fades.
    for (let i = fadeSamples - 1; i >= 0; i--) {
      const now = samples[head + i] as number;
      const later = samples[head + period + i] as number;
      samples[head + period + i] = Math.round(now + ((later - now) * i) / fadeSamples);
    }
    samples.copyWithin(head + period - historySamples, head - historySamples, head);
    this.head += period;
    return period;
  }

  /**
   * Repeats one period of the voice.
   * @param most samples that may be inserted
   * @param leastLikeness of the piece that comes next and the one that is repeated, -1 to 1
   * @returns samples inserted: 0 if nothing was alike, or less than 10 ms are there
   */
  lengthen(most: number, leastLikeness: number): number {
    if (this.length < this.fadeSamples) return 0;
    if (this.head < 2 * this.historySamples) this.rewind();
    const { samples, head, fadeSamples, historySamples } = this;
    const longest = Math.min(most, (LONGEST_MS * this.rate) / 1_000);
    const period = findPeriod(samples, head, fadeSamples, -1, longest, this.rate);
    if (period === 0 || found.likeness < leastLikeness) return 0;
    // Into the repetition, which ends where the sound goes on.
    const fade = Math.min(period, fadeSamples);
    samples.copyWithin(head - period - historySamples, head - historySamples, head);
    for (let i = 0; i < fade; i++) {
      const next = samples[head + i] as number;
      const earlier = samples[head - period + i] as number;
      samples[head - period + i] = Math.round(next + ((earlier - next) * i) / fade);
    }
    this.head -= period;
    return period;
  }

  private makeRoom(count: number): void {
    if (this.tail + count > this.samples.length) this.rewind();
  }

  /** Moves what is there to the beginning, with room for insertions. */
  private rewind(): void {
    const head = (ROOM_MS * this.rate) / 1_000;
    this.samples.copyWithin(head - this.historySamples, this.head - this.historySamples, this.tail);
    this.tail += head - this.head;
    this.head = head;
  }
}
