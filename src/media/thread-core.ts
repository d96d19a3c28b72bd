import { expected } from '../errors.js';
import { chooseCore } from './backend.js';
import { type Core, PAYLOAD_FORMATS, type PayloadFormat, type Transcoder } from './core.js';

export type { PayloadFormat, Transcoder };

/** The core of this thread. */
export const core: Core = chooseCore(process.env.TRANSCODER);

const { slab, layout } = core;

/** Output of `receive`, 48 kHz. */
export const samples = new Int16Array(slab, layout.samples, layout.samplesCapacity);

/** The first 20 ms of {@link samples}: all of the output for the 160 bytes that Twilio usually sends. */
export const frame = new Int16Array(slab, layout.samples, 960);

/** Output of `transmit`: ASCII text. */
export const message = new Uint8Array(slab, layout.message, layout.messageCapacity);

/**
 * Facts about the last message that `receive` or `receivePayload` took: [0] its place on the stream's timeline in ms, NaN while
 * unknown; [1] bytes of payload; [2] ms that were filled in before it; [3] its sequence number, NaN after `receivePayload`.
 */
export const info = new Float64Array(slab, layout.info, 4);

// So that a program can use a transcoder without this module.
Object.defineProperties(core.Transcoder.prototype, {
  samples: { value: samples },
  message: { value: message },
  info: { value: info },
});

/** Optional settings of {@link createTranscoder}. */
export interface TranscoderOptions {
  /** Payload format of the phone's side; default `mulaw`, Twilio's. */
  readonly format?: PayloadFormat;
}

/**
 * A transcoder for one call. `bind` it to its stream when the stream starts, `close` it when the call ends.
 * @throws TypeError for an unknown format
 */
export function createTranscoder({ format = 'mulaw' }: TranscoderOptions = {}): Transcoder {
  if (!PAYLOAD_FORMATS.includes(format)) throw expected('mulaw, alaw, l16 or l16le', 'format', format);
  return new core.Transcoder(format);
}
