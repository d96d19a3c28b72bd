import type { Setup } from './gemini-wire.js';

/** Samples per second of what the model hears. */
export const HEARD_RATE = 16_000;
const WINDOW_MS = 20;
const WINDOW = (HEARD_RATE / 1_000) * WINDOW_MS;
/** Kept before the first loud window and after the last one. */
const MARGIN_MS = 100;
/** The longest speech that is kept; of longer ones, the end. */
const MOST_SPEECH_MS = 60_000;

/** Levels from which a window is speech, root mean square in dB relative to full scale. */
const LOUD_DB = { high: -45, low: -35 } as const;
/**
 * The vendor documents that both sensitivities are high by default, and what they do, but no figures: these are ours, but for the
 * 20 ms of its example.
 */
const PREFIX_PADDING_MS = 20;
const SILENCE_MS = { high: 500, low: 800 } as const;

/**
 * Finds the user's activity in the audio, by its energy. It counts time in audio: while none comes, no silence passes either, and
 * speech does not end.
 */
export class ActivityDetector {
  readonly isAutomatic: boolean;
  private readonly loud: number;
  private readonly prefixWindows: number;
  private readonly silenceWindows: number;
  /** Up to a window. */
  private readonly partial = new Int16Array(WINDOW);
  private partialCount = 0;
  /** The activity so far, or what may become its beginning. */
  private windows: Int16Array[] = [];
  private loudRun = 0;
  private quietRun = 0;
  private activity = false;
  private offset = 0;

  /**
   * @param started called when activity begins
   * @param ended called when it has ended, with the speech
   */
  constructor(
    { realtimeInputConfig }: Setup,
    private readonly started: () => void,
    private readonly ended: (heard: Int16Array) => void,
  ) {
    const { automaticActivityDetection: detection = {} } = realtimeInputConfig ?? {};
    this.isAutomatic = detection.disabled !== true;
    const start = detection.startOfSpeechSensitivity === 'START_SENSITIVITY_LOW' ? 'low' : 'high';
    const end = detection.endOfSpeechSensitivity === 'END_SENSITIVITY_LOW' ? 'low' : 'high';
    this.loud = (32_768 * 10 ** (LOUD_DB[start] / 20)) ** 2 * WINDOW;
    this.prefixWindows = Math.max(1, Math.ceil((detection.prefixPaddingMs || PREFIX_PADDING_MS) / WINDOW_MS));
    this.silenceWindows = Math.max(
      1,
      Math.ceil((detection.silenceDurationMs || SILENCE_MS[end]) / WINDOW_MS),
    );
  }

  get isActive(): boolean {
    return this.activity;
  }

  /** Milliseconds of audio so far. */
  get offsetMs(): number {
    return this.offset;
  }

  /** @param pcm 16 kHz */
  push(pcm: Int16Array): void {
    for (let at = 0; at < pcm.length; ) {
      const some = pcm.subarray(at, at + WINDOW - this.partialCount);
      this.partial.set(some, this.partialCount);
      this.partialCount += some.length;
      at += some.length;
      if (this.partialCount === WINDOW) this.pushWindow(this.partial.slice());
    }
  }

  /** The client says that the user began. */
  start(): void {
    if (this.activity) return;
    this.windows = [];
    this.activity = true;
    this.started();
  }

  /** The client says that the user has ended, or that no more audio comes for now. */
  end(): void {
    if (this.partialCount > 0) this.pushWindow(this.partial.slice(0, this.partialCount));
    if (this.activity) this.finish(0);
    this.windows = [];
    this.loudRun = 0;
  }

  private pushWindow(window: Int16Array): void {
    this.partialCount = 0;
    this.offset += (window.length * 1_000) / HEARD_RATE;
    this.windows.push(window);
    const kept = this.activity ? MOST_SPEECH_MS / WINDOW_MS : MARGIN_MS / WINDOW_MS + this.prefixWindows;
    if (this.windows.length > kept) this.windows.shift();
    if (!this.isAutomatic) return;
    const isLoud = window.reduce((energy, sample) => energy + sample * sample, 0) > this.loud;
    this.loudRun = isLoud ? this.loudRun + 1 : 0;
    this.quietRun = isLoud ? 0 : this.quietRun + 1;
    if (!this.activity && this.loudRun >= this.prefixWindows) {
      this.activity = true;
      this.started();
    } else if (this.activity && this.quietRun >= this.silenceWindows) {
      this.finish(Math.max(0, this.quietRun - MARGIN_MS / WINDOW_MS));
    }
  }

  /** @param quiet windows at the end that are no part of the speech */
  private finish(quiet: number): void {
    const heard = joined(this.windows.slice(0, this.windows.length - quiet));
    this.activity = false;
    this.windows = [];
    this.ended(heard);
  }
}

/** Pieces of audio, one after the other. */
export function joined(pieces: readonly Int16Array[]): Int16Array {
  const all = new Int16Array(pieces.reduce((samples, piece) => samples + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
