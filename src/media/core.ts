/**
 * One call's audio, both ways: 8 kHz on the phone's side, µ-law unless made for another {@link PayloadFormat}, 16-bit linear
 * mono at 48 kHz on ours.
 *
 * Twilio's messages are those of its documentation page "Media Streams - WebSocket Messages". `receive` and `transmit` write
 * to the slab that all transcoders of a thread share, so their output is valid until the next call of either.
 * After `close` every method but `close` throws an `Error` with code `GW_TRANSCODER_CLOSED`. A wrong type throws a
 * `TypeError`, a wrong length or text a `RangeError`.
 */
export interface Transcoder {
  /** Output of {@link receive}, 48 kHz. Shared by the transcoders of a thread: valid until the next call of one. */
  readonly samples: Int16Array;
  /** Output of {@link transmit}: ASCII text, shared in the same way. */
  readonly message: Uint8Array;
  /** Facts about the last received message, shared in the same way: see `info` in thread-core.ts. */
  readonly info: Float64Array;

  /**
   * Sets the stream whose messages are read and written, and resets the timeline; the filters keep their state.
   * `receive` and `transmit` throw an `Error` with code `GW_TRANSCODER_UNBOUND` before the first call.
   * @param streamSid 1 to 64 characters of A-Z a-z 0-9 _ -
   */
  bind(streamSid: string): void;

  /**
   * Decodes the bytes of a `media` message into {@link samples} and fills in {@link info}. A gap of 20 ms or more before the
   * message's timestamp is concealed in front of it, at most 200 ms: the voice continues into the gap and fades in out of it,
   * repeating its pitch. In gaps of 60 ms and more it fades to comfort noise at the line's recent level (-45 dBFS at most).
   * After a gap of more than 200 ms the audio before it is not continued. A timestamp that steps back restarts the timeline.
   * @returns samples written (6 for each sample of the payload and of the filled gap); or -1 with nothing changed if the
   * message is longer than 64 KiB or not exactly as Twilio writes it for the inbound track of this stream. Pass such a message
   * to `JSON.parse` and {@link receivePayload}. Allocates nothing on the JavaScript heap; WebAssembly allocates a view of an
   * ArrayBuffer, about 100 bytes.
   */
  receive(message: ArrayBuffer | ArrayBufferView): number;

  /**
   * Does what `receive` does, for the payload of a message that was parsed elsewhere.
   * @param base64 ASCII of the base64 text (RFC 4648 section 4), at most 65,536 characters; padding is optional, and
   * carriage returns, line feeds and spaces are ignored
   * @param timestampMs the message's timestamp; a number outside 0 to 2^53 - 1, such as NaN, counts as on time
   * @returns samples written; or -1 with nothing changed if the base64 is invalid, too long, or ends within a sample
   */
  receivePayload(base64: Uint8Array, timestampMs: number): number;

  /**
   * Fills {@link samples} for a time in which no message arrived: the voice continues and fades out within 60 ms, followed by
   * comfort noise at the line's recent level (-45 dBFS at most). The next audio fades in over 4 ms. {@link info} is unchanged.
   *
   * The timeline advances by the same time, so that no gap is filled twice: a late message with a timestamp of the concealed
   * time is played after it, in full and without a gap. For a message after that time, only what was not concealed is a gap.
   * @param samples 6 to 48,000 at 48 kHz, a multiple of 6
   * @returns `samples`
   */
  conceal(samples: number): number;

  /**
   * Encodes audio as the text of an outgoing `media` message in {@link message}.
   * @param pcm 6 to 48,000 samples at 48 kHz, a multiple of 6; may be a view of {@link samples}
   * @returns length of the text in bytes
   */
  transmit(pcm: Int16Array): number;

  /**
   * Decodes bare payload, continuing the received audio; the timeline is not affected.
   * @param payload whole samples
   * @param out room for 6 samples for each of them
   * @returns samples written
   */
  decode(payload: Uint8Array, out: Int16Array): number;

  /**
   * Encodes to bare payload, continuing the transmitted audio.
   * @param pcm any multiple of 6 samples at 48 kHz
   * @param out room for a sample of payload per 6 of these
   * @returns bytes written
   */
  encode(pcm: Int16Array, out: Uint8Array): number;

  /** Frees the native state at once. Safe to repeat; an object that is never closed is freed by garbage collection. */
  close(): void;
}

/**
 * Coding of a stream's payload, always 8 kHz mono: ITU-T G.711 `mulaw` (Twilio) or `alaw`, one byte a sample; `l16`, linear 16
 * bits in network byte order (`audio/L16` of RFC 3551), or `l16le`, the same in little endian, as several carriers send it.
 * Received linear audio is rounded to 14 bits: noise at -86 dBFS, below that of any telephone line.
 */
export type PayloadFormat = (typeof PAYLOAD_FORMATS)[number];
export const PAYLOAD_FORMATS = ['mulaw', 'alaw', 'l16', 'l16le'] as const;

/**
 * What `TRANSCODER` may be: the first three are for users, the others for tests, benches and debuggers. `native-debug` is the
 * addon that `npm run build:debug` makes.
 */
export const TRANSCODERS = [
  'auto',
  'native',
  'wasm',
  'native-avx512',
  'native-avx2',
  'native-sse2',
  'native-neon',
  'native-scalar',
  'native-debug',
  'wasm-simd',
  'wasm-scalar',
] as const;
export type TranscoderChoice = (typeof TRANSCODERS)[number];

/** One direction of a rate conversion, with state from call to call. `pcm` and `out` must not share memory. */
export interface Resampler {
  /**
   * Up: any number of 8 kHz samples, of which the upper 14 bits count, to 6 times as many at 48 kHz.
   * Down: a multiple of 6 samples at 48 kHz to a sixth as many at 8 kHz.
   * @returns samples written to `out`; throws a `RangeError` if there is no room for them
   */
  process(pcm: Int16Array, out: Int16Array): number;
}

/** A queue of digits as in-band tones at 48 kHz (see `dtmf.ts`). */
export interface DtmfGenerator {
  /**
   * Queues digits, all of them or none.
   * @param digits 0-9 * # A-D a-d, or w and W for pauses of 500 ms and 1 s
   * @param toneMs length of each tone in milliseconds, 40 to 2,000; default 100
   * @param pauseMs length of the pause after each tone, 40 to 2,000; default 100
   * @returns samples left to read
   * @throws RangeError for another character or time; with code `GW_DTMF_QUEUE_FULL` if more than 64 digits would wait
   */
  push(digits: string, toneMs?: number, pauseMs?: number): number;
  /**
   * Fills `out` with the next samples, and with silence after the last digit's pause.
   * @returns samples left to read
   */
  read(out: Int16Array): number;
  /** Drops all digits, even in the middle of a tone. */
  clear(): void;
}

/** Where the parts of the slab lie: offsets in bytes. */
export interface SlabLayout {
  readonly info: number;
  readonly samples: number;
  /** In samples: the payload of a 64 KiB message and 200 ms of a filled gap. */
  readonly samplesCapacity: number;
  readonly message: number;
  /** In bytes: a message of 48,000 samples. */
  readonly messageCapacity: number;
}

/** The core, as an addon or as WebAssembly. Everything in it belongs to the thread that loaded it. */
export interface Core {
  /** The addon, or WebAssembly. */
  readonly backend: 'native' | 'wasm';
  /** The instruction set its inner loops were written for; all of them give the same bytes. */
  readonly kernels: 'avx512' | 'avx2' | 'sse2' | 'neon' | 'simd128' | 'scalar';
  /** The file it was loaded from, and why better ones were skipped. */
  readonly origin: string;
  /** Output memory of `receive` and `transmit`; read it through {@link samples}, {@link message} and {@link info}. */
  readonly slab: ArrayBuffer;
  readonly layout: SlabLayout;
  /** A `RangeError` for a format that is none. */
  readonly Transcoder: new (
    format?: PayloadFormat,
  ) => Transcoder;
  /** 8 kHz to 48 kHz. */
  readonly Upsampler: new () => Resampler;
  /** 48 kHz to 8 kHz. */
  readonly Downsampler: new () => Resampler;
  readonly DtmfGenerator: new () => DtmfGenerator;
  /** ITU-T G.711 µ-law to linear, -32,124 to 32,124. Returns samples written; `RangeError` if `out` is too small. */
  decodeMulaw(bytes: Uint8Array, out: Int16Array): number;
  /** Linear to ITU-T G.711 µ-law. Returns bytes written; `RangeError` if `out` is too small. */
  encodeMulaw(pcm: Int16Array, out: Uint8Array): number;
  /** ITU-T G.711 A-law to linear, -32,256 to 32,256. Returns samples written; `RangeError` if `out` is too small. */
  decodeAlaw(bytes: Uint8Array, out: Int16Array): number;
  /** Linear to ITU-T G.711 A-law. Returns bytes written; `RangeError` if `out` is too small. */
  encodeAlaw(pcm: Int16Array, out: Uint8Array): number;
  /**
   * Strict base64 (RFC 4648 section 4: padded, no line breaks, unused bits zero) to bytes. `out` needs room for 3 bytes per 4
   * characters. Returns bytes written, or -1 for anything else; `out` may then hold a part.
   */
  decodeBase64(text: Uint8Array, out: Uint8Array): number;
  /** Bytes to padded base64 as ASCII. Returns characters written; `RangeError` if `out` is too small. */
  encodeBase64(bytes: Uint8Array, out: Uint8Array): number;
  /**
   * Mixes a room: each member hears the sum of all other active members. One alone is heard as it is; the sum of several is
   * exact up to -3 dBFS (23,199), above which a soft limiter bends it, sample by sample, towards full scale: it never clips.
   * @param inputs members × samples, one member's samples after the other's
   * @param active one entry a member (1 to 65,535), not 0 if the others hear it
   * @param outputs as long as `inputs`; may be the same array
   */
  mixMinus(inputs: Int16Array, active: Uint8Array, outputs: Int16Array): void;
  /**
   * Mixes for one listener, who is none of the members: the sum of all active members, limited as that of {@link mixMinus};
   * silence without one.
   * @param inputs members × samples, one member's samples after the other's
   * @param active one entry a member (1 to 65,535), not 0 if it is heard
   * @param output as long as one member's samples; may be one member's part of `inputs`
   */
  mix(inputs: Int16Array, active: Uint8Array, output: Int16Array): void;
  /**
   * Removes one period of the voice from a piece, in place: faster speech of the same pitch. The first samples fade into those
   * a period later, over 5 to 10 ms. The very first sample and everything after the fade are unchanged, so that the piece
   * joins its neighbours without a click. Music and noise lose their most self-similar stretch. Stateless; allocates nothing.
   * @param pcm 960 to 1,920 samples at 48 kHz
   * @param most samples that may be removed; a period has 120 to 720 (2.5 to 15 ms)
   * @returns samples left at the beginning of `pcm`, the rest is undefined; `pcm.length`, with nothing changed, if `most` is
   * below 120
   */
  shorten(pcm: Int16Array, most: number): number;
  /** Transcoders of this thread that are neither closed nor collected. */
  liveTranscoders(): number;
}
