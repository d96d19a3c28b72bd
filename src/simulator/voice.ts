import { AudioSource, FRAME_MS } from './audio.js';

/** Something said, once or in a loop. */
export interface Utterance {
  readonly audio: AudioSource;
  /** Monotonic milliseconds of its first frame. */
  readonly at: number;
  /** Monotonic milliseconds when something else was said. */
  readonly until?: number;
}

/** What is remembered of what was said before. */
const MOST_UTTERANCES = 1_000;

/** A caller's mouth: speech continues from one stream of the call to the next. */
export class Voice {
  private source: AudioSource;
  private position = 0;
  private spoken: (() => void) | undefined;
  private isNew = true;
  private readonly said: { audio: AudioSource; at: number; until?: number }[] = [];

  /** @param audio said in a loop; default silence */
  constructor(audio: AudioSource = AudioSource.silence()) {
    this.source = audio;
  }

  /** Something else from the next frame on, in a loop. */
  loop(audio: AudioSource): void {
    this.source = audio;
    this.position = 0;
    this.isNew = true;
    this.finish();
  }

  /** Something else once, then silence. Resolves with its last frame, or when it is cut short. */
  once(audio: AudioSource): Promise<void> {
    this.loop(audio);
    return new Promise((resolve) => {
      this.spoken = resolve;
    });
  }

  /** What was said so far, including silence, in order; gaps between streams are not included. */
  get utterances(): readonly Utterance[] {
    return this.said;
  }

  /** What is said next, and how many milliseconds of it were. */
  get current(): { readonly audio: AudioSource; readonly saidMs: number } {
    return { audio: this.source, saidMs: this.position * FRAME_MS };
  }

  /** The base64 payload of the next 20 ms. @param now monotonic milliseconds at which it is said */
  next(now: number): string {
    const { payloads } = this.source;
    if (this.isNew) {
      this.isNew = false;
      const before = this.said.at(-1);
      if (before !== undefined) before.until = now;
      if (this.said.length === MOST_UTTERANCES) this.said.shift();
      this.said.push({ audio: this.source, at: now });
    }
    const payload = payloads[this.position] as string;
    this.position += 1;
    if (this.position === payloads.length) {
      this.position = 0;
      if (this.spoken !== undefined) this.loop(AudioSource.silence());
    }
    return payload;
  }

  private finish(): void {
    const { spoken } = this;
    this.spoken = undefined;
    spoken?.();
  }
}
