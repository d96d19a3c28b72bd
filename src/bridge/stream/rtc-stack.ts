/** Samples of 10 ms at 48 kHz. */
export const BLOCK_SAMPLES = 480;
export const BLOCK_MS = 10;

/** The parts of the browser's `MediaStreamTrack` in use. */
export interface AudioTrack {
  enabled: boolean;
  clone(): AudioTrack;
  getSettings(): unknown;
  stop(): void;
}

/** The parts of the browser's `MediaStream` in use. */
export interface AudioStream {
  readonly id: string;
  getAudioTracks(): AudioTrack[];
}

/** Audio sent into a call. A block is sent as soon as it is written, so the writer keeps the pace. */
export interface RtcAudioSource {
  /** Copies and sends 10 or 20 ms of mono samples at 48 kHz. */
  write(samples: Int16Array): void;
  /** A new stream with a new track: the Stream client's virtual microphone needs one each time it is enabled. */
  createStream(): AudioStream;
}

/** Audio received from a call; none after `stop`. */
export interface AudioSink {
  stop(): void;
}

/** Receives a block of a track, in borrowed memory. Before the first packet the rate may differ from 48 kHz. */
export type BlockListener = (samples: Int16Array, sampleRate: number) => void;

/** What the Stream client and a participant need from WebRTC: little, so that the stack can be replaced. */
export interface RtcStack {
  readonly name: string;
  /** Samples of a sink's blocks: 10 or 20 ms at 48 kHz. */
  readonly blockSamples: number;
  /** Defines the browser globals that the Stream client expects. Call it before importing the client; idempotent. */
  installGlobals(): void;
  /** @param listener told of a session description that asks for what this stack cannot do */
  onUnfit?(listener: (reason: string) => void): void;
  createAudioSource(): RtcAudioSource;
  createAudioSink(track: AudioTrack, listener: BlockListener): AudioSink;
}
