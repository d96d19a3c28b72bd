import { energyOf, peakOf, scoresOf } from './alignment.js';
import { median } from './histogram.js';
import { PHONE_RATE } from './wav.js';

/** Speech is compared at 4 kHz: a quarter of a millisecond is close enough. */
const FACTOR = 2;
const RATE = PHONE_RATE / FACTOR;
const samples = (ms: number) => Math.round((ms * RATE) / 1000);
/** Length and interval of the windows that are located. Long calls are sampled at most this many times. */
const WINDOW_MS = 400;
const STEP_MS = 500;
const MOST_STEPS = 1200;
/** Root mean square below which nothing is heard: -45 dBFS. */
const SILENCE = 32_768 * 10 ** (-45 / 20);
/** Likeness that identifies a passage, and the margin to other passages. */
const LEAST_CORRELATION = 0.7;
const RIVAL_SHARE = 0.95;
const RIVAL_MS = 30;
/** The search starts near the previous delay, then goes back this far; clocks may differ slightly. */
const NEAR_MS = 60;
const EARLY_MS = 40;
const FAR_MS = 20_000;
/** Wide searches per call; each costs 20 ms of CPU. */
const MOST_SEARCHES = 60;

/** Readings that make up the beginning and the end of a call. */
const END_READINGS = 4;
/** Time after a stall in which its delay must be gone. */
const RECOVERED_S = { from: 3, to: 5 };

/** How much later a passage was heard than sent. */
export interface DelaySample {
  /** Since the start of the run. */
  readonly seconds: number;
  readonly delayMs: number;
}

/** Of one call. */
export interface DelayTrack {
  readonly samples: readonly DelaySample[];
  /** When nothing passed in one or both directions, in seconds. */
  readonly stalls: readonly { readonly from: number; readonly until: number }[];
}

/** Mouth-to-ear delay over time, from the calls that recorded their echo. */
export interface DelayReport {
  readonly tracks: readonly DelayTrack[];
  /** Of the call whose delay grew most: milliseconds at its start and at its end. */
  readonly beginMs: number;
  readonly endMs: number;
  /** Stalls that were checked, and the milliseconds of delay left 3 s after the worst, compared with the start. */
  readonly stalls: number;
  readonly afterStallMs: number | undefined;
}

/**
 * Locates received audio in the loop that was sent, window by window. Silence, missing audio and repetitive sounds give no
 * sample.
 * @param said one pass of the loop, 8 kHz
 * @param saidFromMs when the loop started, in milliseconds since `heard` started; may be negative
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

/** Summarises the tracks of several calls; `undefined` if none is long enough to have a start and an end. */
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

/** Delay left some seconds after each stall, compared with the start. */
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

/** Locates passages in a loop; all in samples of 4 kHz. */
class Search {
  constructor(
    private readonly loop: Int16Array,
    private readonly from: number,
  ) {}

  /** @returns the delay of the passage heard at `at`, if it is close to the expected one */
  near(passage: Int16Array, at: number, expected: number): number | undefined {
    const reach = samples(NEAR_MS);
    const said = this.said(at - expected - reach, passage.length + 2 * reach);
    const scores = scoresOf(passage, said);
    const lag = peakOf(scores);
    return (scores[lag] as number) > LEAST_CORRELATION ? expected + reach - lag : undefined;
  }

  /** @returns the delay of the passage heard at `at`, if it is unambiguous */
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

  /** The sent audio from a moment on; silence before the start. */
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
