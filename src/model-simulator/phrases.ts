import { fixturePath } from '../simulator/fixture.js';
import { readWav } from '../simulator/wav.js';
import { SENTENCES } from './sentences.js';
import { FEATURE_MS, SpeechFeatures } from './speech-features.js';

/** A known sentence, recognised in audio. */
export interface HeardPhrase {
  readonly text: string;
  /** How alike it is to the recording: 1 for the same sound. Other speech stays below 0.62, where recognition ends. */
  readonly likeness: number;
}

/** One of the known sentences in a longer stretch of audio. */
export interface FoundPhrase extends HeardPhrase {
  /** Milliseconds from the start of the audio. */
  readonly fromMs: number;
  readonly toMs: number;
}

const LEAST_LIKENESS = 0.62;
/** Below this likeness at one lag, a closer look does not help. */
const WORTH_A_LOOK = 0.35;
/** Of the frames with speech, at most this share may lie outside of the phrase. */
const MOST_REST = 0.15;
/** Frames by which two phrases may overlap. */
const MOST_OVERLAP = 15;
/** Frames of a phrase that may be missing at the start or the end of the audio. */
const MOST_MISSING = 20;
/** Frames before the first loud frame, and after the last one, in which a phrase may begin and end. */
const MOST_QUIET = 50;
/** Frames between two lags of the search. */
const STRIDE = 2;
/** Frames of a piece that may lie up to {@link PIECE_SHIFT} frames elsewhere: a jitter buffer inserts and drops audio. */
const PIECE = 120;
const PIECE_SHIFT = 8;

interface Phrase {
  readonly text: string;
  readonly pcm: Int16Array;
  readonly features: SpeechFeatures;
}

interface Place {
  readonly text: string;
  readonly likeness: number;
  readonly from: number;
  readonly to: number;
}

let loaded: readonly Phrase[] | undefined;

/**
 * A sentence, spoken: 8 kHz mono, lent.
 * @param text one of {@link SENTENCES}; case and punctuation do not matter
 * @returns `undefined` for any other text
 * @throws GatewayError `GW_SIM_FIXTURE` if the recordings are missing
 */
export function speak(text: string): Int16Array | undefined {
  const words = wordsOf(text);
  return phrases().find((phrase) => wordsOf(phrase.text) === words)?.pcm;
}

/**
 * The known sentence that some telephone audio is, whatever its level and codec, with silence or a line's noise around it.
 * @param pcm 8 kHz mono
 * @returns `undefined` for any other sound, and for a known sentence with other speech beside it
 * @throws GatewayError `GW_SIM_FIXTURE` if the recordings are missing
 */
export function textOf(pcm: Int16Array): HeardPhrase | undefined {
  const heard = new SpeechFeatures(pcm);
  const all = heard.activeFrames();
  // Long speech is no sentence, and a search in it takes its time.
  if (all * (1 - MOST_REST) > Math.max(...phrases().map(({ features }) => features.length))) return undefined;
  const best = placesIn(heard)[0];
  if (best === undefined) return undefined;
  const { text, likeness, from, to } = best;
  const rest = heard.activeFrames(0, from - PIECE_SHIFT) + heard.activeFrames(to + PIECE_SHIFT);
  return rest > MOST_REST * all ? undefined : { text, likeness };
}

/**
 * All known sentences in some telephone audio, in the order in which they are spoken.
 * @param pcm 8 kHz mono
 * @throws GatewayError `GW_SIM_FIXTURE` if the recordings are missing
 */
export function phrasesIn(pcm: Int16Array): FoundPhrase[] {
  const found: Place[] = [];
  for (const place of placesIn(new SpeechFeatures(pcm))) {
    const isTaken = found.some(
      ({ from, to }) => Math.min(to, place.to) - Math.max(from, place.from) > MOST_OVERLAP,
    );
    if (!isTaken) found.push(place);
  }
  return found
    .sort((a, b) => a.from - b.from)
    .map(({ text, likeness, from, to }) => ({
      text,
      likeness,
      fromMs: from * FEATURE_MS,
      toMs: to * FEATURE_MS,
    }));
}

/** A text's words in lower case, without punctuation. */
export function wordsOf(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(' ');
}

/** Where the phrases may be, most alike first. */
function placesIn(heard: SpeechFeatures): Place[] {
  if (heard.activeFrames() === 0) return [];
  return phrases()
    .flatMap((phrase) => placesOf(phrase, heard))
    .sort((a, b) => b.likeness - a.likeness);
}

function placesOf({ text, features }: Phrase, heard: SpeechFeatures): Place[] {
  const first = Math.max(-MOST_MISSING, heard.isActive.indexOf(1) - MOST_QUIET);
  const end = Math.min(heard.length + MOST_MISSING, heard.isActive.lastIndexOf(1) + MOST_QUIET);
  const last = end - features.length;
  const at = (lag: number) => heard.likeness(lag, features, 0, features.length);
  const places: Place[] = [];
  let [before, here] = [0, 0];
  for (let lag = first; lag <= last + STRIDE; lag += STRIDE) {
    const after = lag > last ? 0 : at(lag);
    if (here > WORTH_A_LOOK && here >= before && here > after) {
      const from = lag - STRIDE;
      const likeness = piecewiseLikeness(features, heard, from);
      if (likeness >= LEAST_LIKENESS) places.push({ text, likeness, from, to: from + features.length });
    }
    [before, here] = [here, after];
  }
  return places;
}

/** The mean likeness of a phrase's pieces, each where it fits best near its place. */
function piecewiseLikeness(phrase: SpeechFeatures, heard: SpeechFeatures, from: number): number {
  const pieces = Math.max(1, Math.round(phrase.length / PIECE));
  let sum = 0;
  for (let i = 0; i < pieces; i++) {
    const begin = Math.floor((phrase.length * i) / pieces);
    const count = Math.floor((phrase.length * (i + 1)) / pieces) - begin;
    let best = 0;
    for (let shift = -PIECE_SHIFT; shift <= PIECE_SHIFT; shift++)
      best = Math.max(best, heard.likeness(from + begin + shift, phrase, begin, count));
    sum += best * count;
  }
  return sum / phrase.length;
}

function phrases(): readonly Phrase[] {
  loaded ??= SENTENCES.map(({ text, file }) => {
    const pcm = readWav(fixturePath(`voice/${file}.wav`));
    return { text, pcm, features: new SpeechFeatures(pcm) };
  });
  return loaded;
}
