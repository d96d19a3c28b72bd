import { expected } from '../errors.js';
import { PAYLOAD_FORMATS, type PayloadFormat, type Transcoder } from './core.js';
import { core } from './thread-core.js';

export type { PayloadFormat, Transcoder };

export interface TranscoderOptions {
  /** What the phone's side speaks; default `mulaw`, as Twilio does. */
  readonly format?: PayloadFormat;
}

/**
 * A transcoder for one call. `bind` it to its stream when the stream starts, `close` it when the call ends.
 * @throws TypeError for a format that is none
 */
export function createTranscoder({ format = 'mulaw' }: TranscoderOptions = {}): Transcoder {
  if (!PAYLOAD_FORMATS.includes(format)) throw expected('mulaw, alaw, l16 or l16le', 'format', format);
  return new core.Transcoder(format);
}
