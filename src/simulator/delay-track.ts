import { energyOf, peakOf, scoresOf } from './alignment.js';
import { median } from './histogram.js';
import { PHONE_RATE } from './wav.js';

/** Speech is compared at 4 kHz: a quarter of a millisecond is close enough. */
const FACTOR = 2;
const RATE = PHONE_RATE / FACTOR;
const samples = (ms: number) => Math.round((ms * RATE) / 1000);
/** How much of what is heard is looked for, and how often. Long calls are sampled so many times at most. */
const WINDOW_MS = 400;
const STEP_MS = 500;
const MOST_STEPS = 1200;
/** Root mean square below which nothing is heard: -45 dBFS. */
const SILENCE = 32_768 * 10 ** (-45 / 20);
/** It is this passage, and no other so much later or earlier is as good. */
const LEAST_CORRELATION = 0.7;
const RIVAL_SHARE = 0.95;
const RIVAL_MS = 30;
/** First it is looked for where the one before was, then so far back; clocks may differ by a little. */
const NEAR_MS = 60;
const EARLY_MS = 40;
const FAR_MS = 20_000;
/** The wide search costs 20 ms of CPU: so many a call. */
const MOST_SEARCHES = 60;

/** Readings that make up the beginning and the end of a call. */
const END_READINGS = 4;
/** From when to when after a stall its delay must be gone. */
const RECOVERED_S = { from: 3, to: 5 };

/** How much later than it was said something was heard. */
export interface DelaySample {
  /** Since the beginning of the run. */
  readonly seconds: number;
  readonly delayMs: number;
}

/** Of one call. */
export interface DelayTrack {
  readonly samples: readonly DelaySample[];
  /** When nothing passed one way or both, in seconds. */
  readonly stalls: readonly { readonly from: number; readonly until: number }[];
}

/** From mouth to ear over time, by the calls that recorded what came back from an echo. */
export interface DelayReport {
  readonly tracks: readonly DelayTrack[];
  /** Of the call whose delay grew most: milliseconds at its beginning and at its end. */
  readonly beginMs: number;
  readonly endMs: number;
  /** Stalls that were looked at, and by how many milliseconds the delay was longer 3 s after the worst than at the beginning. */
  readonly stalls: number;
  readonly afterStallMs: number | undefined;
}

/**
 * Finds what is heard again in what was said in a loop, window by window. Silence, what does not come back, and sounds that repeat
 * themselves give no sample.
 * @param said one loop of it, 8 kHz
 * @param saidFromMs when that loop began, in milliseconds since `heard` began; may be negative
 */
export function delaysOf(said: Int16Array, saidFromMs: number, heard: Int16Array): DelaySample[] {
  const ear = halved(heard);
  const search = new Search(halved(said), samples(saidFromMs));
  const window = samples(WINDOW_MS);
  const step = Math.max(samples(STEP_MS), Math.ceil(ear.length / MOST_STEPS));
  const found: DelaySample[] = [];
  let searches = 0;
  for (let at = 0; at + window <= ear.length; at += step) {
    const passage = ear.subarray(at, at + window);
    if (energyOf(passage) < SILENCE ** 2 * window) continue;
    const last = found.at(-1);
    let delay = last && search.near(passage, at, samples(last.delayMs));
    if (delay === undefined && searches < MOST_SEARCHES) {
      searches += 1;
      delay = search.anywhere(passage, at);
    }
    if (delay !== undefined) {
      found.push({ seconds: (at + window / 2) / RATE, delayMs: (delay * 1000) / RATE });
    }
  }
  return found;
}

/** What the tracks of some calls say; `undefined` where none is long enough to have a beginning and an end. */
export function delayReport(tracks: readonly DelayTrack[]): DelayReport | undefined {
  const measured = tracks.filter((track) => track.samples.length >= 2 * END_READINGS);
  const ends = measured.map((track) => ({
    beginMs: beginOf(track),
    endMs: medianDelay(track.samples.slice(-END_READINGS)) as number,
  }));
  const [first, ...others] = ends;
  if (first === undefined) return undefined;
  const worst = others.reduce(
    (most, each) => (each.endMs - each.beginMs > most.endMs - most.beginMs ? each : most),
    first,
  );
  const afterStalls = measured.flatMap(afterStallsOf);
  return {
    tracks: measured,
    ...worst,
    stalls: afterStalls.length,
    afterStallMs: afterStalls.length === 0 ? undefined : Math.max(...afterStalls),
  };
}

function beginOf({ samples }: DelayTrack): number {
  return medianDelay(samples.slice(0, END_READINGS)) as number;
}

/** By how much the delay was longer than at the beginning some seconds after each stall. */
function afterStallsOf(track: DelayTrack): number[] {
  const begin = beginOf(track);
  return track.stalls.flatMap(({ until }, i) => {
    const next = track.stalls[i + 1]?.from ?? Number.POSITIVE_INFINITY;
    const [from, to] = [until + RECOVERED_S.from, Math.min(until + RECOVERED_S.to, next)];
    const delay = medianDelay(track.samples.filter(({ seconds }) => seconds >= from && seconds < to));
    return delay === undefined || track.samples[0] === undefined || track.samples[0].seconds > until
      ? []
      : [delay - begin];
  });
}

/** Looks for passages in a loop; all in samples of 4 kHz. */
class Search {
  constructor(
    private readonly loop: Int16Array,
    private readonly from: number,
  ) {}

  /** @returns a delay close to the one expected with which the passage heard at `at` was said */
  near(passage: Int16Array, at: number, expected: number): number | undefined {
    const reach = samples(NEAR_MS);
    const said = this.said(at - expected - reach, passage.length + 2 * reach);
    const scores = scoresOf(passage, said);
    const lag = peakOf(scores);
    return (scores[lag] as number) > LEAST_CORRELATION ? expected + reach - lag : undefined;
  }

  /** @returns the delay with which the passage heard at `at` was said, if there is but one */
  anywhere(passage: Int16Array, at: number): number | undefined {
    const reach = Math.min(this.loop.length, samples(FAR_MS));
    const begin = at + samples(EARLY_MS) - reach;
    const said = this.said(begin, reach + passage.length);
    const scores = scoresOf(passage, said);
    const lag = peakOf(scores);
    const best = scores[lag] as number;
    if (best < LEAST_CORRELATION) return undefined;
    const isRival = (score: number, i: number) =>
      score > RIVAL_SHARE * best && Math.abs(i - lag) > samples(RIVAL_MS);
    return scores.some(isRival) ? undefined : at - begin - lag;
  }

  /** What was said from a moment on; silence before it began. */
  private said(begin: number, length: number): Int16Array {
    return new Int16Array(length).map((_, n) => {
      const since = begin + n - this.from;
      return since < 0 ? 0 : (this.loop[since % this.loop.length] as number);
    });
  }
}

function halved(pcm: Int16Array): Int16Array {
  return new Int16Array(pcm.length / FACTOR).map(
    (_, n) => ((pcm[2 * n] as number) + (pcm[2 * n + 1] as number)) / 2,
  );
}

function medianDelay(track: readonly DelaySample[]): number | undefined {
  return median(track.map(({ delayMs }) => delayMs));
}
