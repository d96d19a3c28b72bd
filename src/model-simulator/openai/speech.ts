import { PHONE_RATE } from '../../simulator/wav.js';
import { bytesPerMs, encodeAudio } from './audio-format.js';
import type { AudioFormat } from './client-event.js';

/** A sentence with its sound. */
export interface Utterance {
  readonly text: string;
  /** 8 kHz mono. */
  readonly pcm: Int16Array;
}

interface TimedWord {
  /** With the space before it. */
  readonly text: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Between two sentences. */
const PAUSE_MS = 250;
/** Silence at both ends of a recording. */
const MARGIN_MS = 60;

/** What the model says in one message: sound and words over time, and how much of it exists. */
export class Speech {
  /** All of it, in the format of the response. */
  bytes: Buffer;
  /** Bytes that were sent to the client. */
  sentBytes = 0;
  /** Milliseconds after which the client has cut it. */
  private cutMs = Number.POSITIVE_INFINITY;
  private readonly words: readonly TimedWord[];
  private readonly perMs: number;

  constructor(utterances: readonly Utterance[], format: AudioFormat) {
    const pause = new Int16Array((PAUSE_MS * PHONE_RATE) / 1000);
    const parts: Int16Array[] = [];
    const words: TimedWord[] = [];
    let ms = 0;
    for (const { text, pcm } of utterances) {
      if (parts.length > 0) {
        parts.push(pause);
        ms += PAUSE_MS;
      }
      const length = (pcm.length / PHONE_RATE) * 1000;
      words.push(...timed(text, ms + MARGIN_MS, length - 2 * MARGIN_MS, words.length === 0));
      parts.push(pcm);
      ms += length;
    }
    this.words = words;
    this.perMs = bytesPerMs(format);
    this.bytes = encodeAudio(joined(parts), format);
  }

  /** Milliseconds that were sent. */
  get sentMs(): number {
    return this.sentBytes / this.perMs;
  }

  /** Milliseconds that the model believes were heard: what was sent, up to where the client cut it. */
  get heardMs(): number {
    return Math.min(this.sentMs, this.cutMs);
  }

  get isCut(): boolean {
    return this.cutMs !== Number.POSITIVE_INFINITY;
  }

  /** The words that were sent: they come with the audio in which they begin. */
  get sentText(): string {
    return this.textBetween(Number.NEGATIVE_INFINITY, this.sentMs);
  }

  /** The words that the model believes were heard to their end. */
  get heardText(): string {
    const { heardMs } = this;
    return this.words
      .filter(({ toMs }) => toMs <= heardMs)
      .map(({ text }) => text)
      .join('');
  }

  /** The audio that the model believes was heard. */
  get heardBytes(): Buffer {
    return this.bytes.subarray(0, Math.floor(this.heardMs) * this.perMs);
  }

  /** Words that begin from `fromMs` to before `toMs`. */
  textBetween(fromMs: number, toMs: number): string {
    return this.words
      .filter((word) => word.fromMs >= fromMs && word.fromMs < toMs)
      .map(({ text }) => text)
      .join('');
  }

  /** Drops the audio; how much of it was sent and heard stays known. */
  release(): void {
    this.bytes = Buffer.alloc(0);
  }

  cut(ms: number): void {
    this.cutMs = Math.min(this.cutMs, ms);
  }
}

/** Words last as long as they have letters. */
function timed(text: string, fromMs: number, ms: number, isFirst: boolean): TimedWord[] {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const letters = words.reduce((sum, { length }) => sum + length, 0);
  let before = 0;
  return words.map((word, i) => {
    const begin = fromMs + (ms * before) / letters;
    before += word.length;
    return {
      text: isFirst && i === 0 ? word : ` ${word}`,
      fromMs: begin,
      toMs: fromMs + (ms * before) / letters,
    };
  });
}

function joined(parts: readonly Int16Array[]): Int16Array {
  const all = new Int16Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
