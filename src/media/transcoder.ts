import type { Transcoder } from './core.js';
import { core } from './thread-core.js';

export type { Transcoder };

/** A transcoder for one call. `bind` it to its stream when the stream starts, `close` it when the call ends. */
export function createTranscoder(): Transcoder {
  return new core.Transcoder();
}
