import { AudioSource } from './audio.js';

/** A caller's mouth: what it says goes on from one stream of the call to the next. */
export class Voice {
  private source: AudioSource;
  private position = 0;
  private spoken: (() => void) | undefined;

  /** @param audio said in a loop; default silence */
  constructor(audio: AudioSource = AudioSource.silence()) {
    this.source = audio;
  }

  /** Something else from the next frame on, in a loop. */
  loop(audio: AudioSource): void {
    this.source = audio;
    this.position = 0;
    this.finish();
  }

  /** Something else once, then silence. Resolves with its last frame, or when it is cut short. */
  once(audio: AudioSource): Promise<void> {
    this.loop(audio);
    return new Promise((resolve) => {
      this.spoken = resolve;
    });
  }

  /** The base64 payload of the next 20 ms. */
  next(): string {
    const { payloads } = this.source;
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
