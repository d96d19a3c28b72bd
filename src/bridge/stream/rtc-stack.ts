/** Samples of what a source takes and a sink gives: 10 ms at 48 kHz. */
export const BLOCK_SAMPLES = 480;
export const BLOCK_MS = 10;

/** As much of the browser's `MediaStreamTrack` as is used here. */
export interface AudioTrack {
  enabled: boolean;
  clone(): AudioTrack;
  getSettings(): unknown;
  stop(): void;
}

/** As much of the browser's `MediaStream`. */
export interface AudioStream {
  readonly id: string;
  getAudioTracks(): AudioTrack[];
}

/** Audio on its way into a call. Sent when it is written: whoever writes is the clock. */
export interface RtcAudioSource {
  /** Takes a copy of 10 ms: exactly {@link BLOCK_SAMPLES} samples, mono, in an array that has its memory for itself. */
  write(block: Int16Array): void;
  /** A stream with a track of its own, as the Stream client's virtual microphone wants one whenever it is enabled. */
  createStream(): AudioStream;
}

/** Audio on its way out of a call; nothing comes after `stop`. */
export interface AudioSink {
  stop(): void;
}

/** Hears 10 ms of a track. The samples are only lent. Before the first packet the rate may be another than 48 kHz. */
export type BlockListener = (samples: Int16Array, sampleRate: number) => void;

/** What the Stream client and a participant need of WebRTC: small, so that another stack can take its place. */
export interface RtcStack {
  readonly name: string;
  /** Makes the globals that the Stream client expects of a browser. Call it before the client is imported; idempotent. */
  installGlobals(): void;
  createAudioSource(): RtcAudioSource;
  createAudioSink(track: AudioTrack, listener: BlockListener): AudioSink;
}
