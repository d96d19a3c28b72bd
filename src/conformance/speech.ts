import { FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import type { ConverterMaker } from '../media/rate-converter.js';
import { AudioSource } from '../simulator/audio.js';
import { PHONE_RATE } from '../simulator/wav.js';

/** Milliseconds of the recording's sentence "Hello, this is a test call." */
const QUESTION = [180, 2_000] as const;
/** Of "Every word I say now": no pause is longer than 20 ms, and it is loud from the first frame on. */
const INTERRUPTION = [2_120, 3_480] as const;

/** What the caller says, at 48 kHz and in whole frames. */
export interface Speech {
  readonly question: Int16Array;
  /** Talks without a pause. */
  readonly interruption: Int16Array;
  /** The question as it sounds on a phone, 8 kHz. */
  readonly questionAtPhone: Int16Array;
}

export function speechBy(convert: ConverterMaker): Speech {
  const { pcm } = AudioSource.speech();
  const part = ([from, to]: readonly [number, number]) =>
    pcm.subarray((from * PHONE_RATE) / 1_000, (to * PHONE_RATE) / 1_000);
  const questionAtPhone = part(QUESTION);
  return {
    question: upsampled(questionAtPhone, convert),
    interruption: upsampled(part(INTERRUPTION), convert),
    questionAtPhone,
  };
}

function upsampled(pcm: Int16Array, convert: ConverterMaker): Int16Array {
  const converter = convert(PHONE_RATE, SAMPLE_RATE);
  const all = converter.process(pcm);
  converter.close();
  return all.subarray(0, all.length - (all.length % FRAME_SAMPLES));
}
