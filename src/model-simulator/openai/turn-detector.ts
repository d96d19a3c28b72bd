import { PHONE_RATE } from '../../simulator/wav.js';
import type { TurnDetection } from './client-event.js';

const FRAME_MS = 20;
const FRAME = (PHONE_RATE * FRAME_MS) / 1000;
/** Frames of sound that make a start: a click is none. */
const START_FRAMES = 3;
/** Level of a frame with speech, in dBFS: -65 at a threshold of 0, -25 at 1, so -45 at the default of 0.5. */
const LOWEST_DBFS = -65;
const RANGE_DB = 40;
/** What the semantic detector, whose model is not simulated, waits for by its eagerness. */
const SEMANTIC_SILENCE_MS = { low: 1_200, medium: 600, auto: 600, high: 300 } as const;
const SEMANTIC = { threshold: 0.5, prefix_padding_ms: 300 } as const;

/** The caller has begun or stopped to speak. */
export interface TurnEdge {
  readonly kind: 'started' | 'stopped';
  /**
   * Milliseconds since the first audio of the session, as the events say it: the start includes the padding before the speech,
   * the end includes the silence after it.
   */
  readonly atMs: number;
}

/** Voice activity detection by level, as documented for `server_vad`. */
export class TurnDetector {
  isSpeaking = false;
  private readonly leastEnergy: number;
  private readonly paddingMs: number;
  private readonly silenceMs: number;
  private energy = 0;
  private samples = 0;
  private loudFrames = 0;
  private quietMs = 0;

  /** @param nowMs milliseconds of audio that the session has had before */
  constructor(
    settings: TurnDetection,
    private nowMs: number,
  ) {
    const isServer = settings.type === 'server_vad';
    const { threshold, prefix_padding_ms } = isServer ? settings : SEMANTIC;
    const level = 32_768 * 10 ** ((LOWEST_DBFS + RANGE_DB * threshold) / 20);
    this.leastEnergy = level * level * FRAME;
    this.paddingMs = prefix_padding_ms;
    this.silenceMs = isServer ? settings.silence_duration_ms : SEMANTIC_SILENCE_MS[settings.eagerness];
  }

  /** @param pcm 8 kHz, any length @returns what it changes, in order */
  push(pcm: Int16Array): TurnEdge[] {
    const edges: TurnEdge[] = [];
    for (const sample of pcm) {
      this.energy += sample * sample;
      this.samples += 1;
      if (this.samples === FRAME) {
        const edge = this.endFrame();
        if (edge !== undefined) edges.push(edge);
      }
    }
    return edges;
  }

  /** The audio buffer was committed or cleared by the client. */
  reset(): void {
    this.isSpeaking = false;
    this.loudFrames = 0;
    this.quietMs = 0;
  }

  private endFrame(): TurnEdge | undefined {
    const isLoud = this.energy >= this.leastEnergy;
    this.energy = 0;
    this.samples = 0;
    this.nowMs += FRAME_MS;
    this.loudFrames = isLoud ? this.loudFrames + 1 : 0;
    this.quietMs = isLoud ? 0 : this.quietMs + FRAME_MS;
    if (!this.isSpeaking && this.loudFrames >= START_FRAMES) {
      this.isSpeaking = true;
      const begin = this.nowMs - START_FRAMES * FRAME_MS;
      return { kind: 'started', atMs: Math.max(0, Math.round(begin - this.paddingMs)) };
    }
    if (this.isSpeaking && this.quietMs >= this.silenceMs) {
      this.isSpeaking = false;
      return { kind: 'stopped', atMs: Math.round(this.nowMs) };
    }
    return undefined;
  }
}
