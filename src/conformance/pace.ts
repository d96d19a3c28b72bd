import { RESAMPLER_RATES } from '../media/rate-converter.js';
import type { Piece } from './agent-line.js';
import { isSound } from './sound.js';

/** How audio arrived. */
export interface Pace {
  readonly audioMs: number;
  /** Gaps within sound, and their length, for a phone that buffers {@link JITTER_MS}. */
  readonly gaps: number;
  readonly gapMs: number;
  /** The most audio that waited to be played. */
  readonly aheadMs: number;
  /** Samples a second of audio that is sent piece by piece in real time, if that is a usual rate. */
  readonly steadyRate: number | undefined;
}

const JITTER_MS = 100;
/** A longer pause is between two sentences. */
const LONGEST_GAP_MS = 2_000;
/** How close to a usual rate, and how many pieces it takes to tell. */
const CLOSE = 0.03;
const FEWEST_PIECES = 25;
/** Shortest mean time between two pieces that are sent in real time. */
const SHORTEST_STEP_MS = 5;

/** @param rate at which the pieces are played */
export function paceOf(pieces: readonly Piece[], rate: number): Pace {
  const msOf = (pcm: Int16Array) => (pcm.length * 1_000) / rate;
  let [audioMs, gaps, gapMs, aheadMs] = [0, 0, 0, 0];
  let playsUntil = (pieces[0]?.at ?? 0) + JITTER_MS;
  for (const [i, { at, pcm }] of pieces.entries()) {
    const gap = at - playsUntil;
    if (gap > 0) {
      // The phone fills its buffer again before it continues.
      if (gap < LONGEST_GAP_MS && endsInSound(pieces[i - 1], rate) && isSound(pcm.subarray(0, rate / 50))) {
        gaps += 1;
        gapMs += gap + JITTER_MS;
      }
      playsUntil = at + JITTER_MS;
    }
    playsUntil += msOf(pcm);
    audioMs += msOf(pcm);
    aheadMs = Math.max(aheadMs, playsUntil - at - JITTER_MS);
  }
  return { audioMs, gaps, gapMs, aheadMs, steadyRate: steadyRateOf(pieces) };
}

function endsInSound(piece: Piece | undefined, rate: number): boolean {
  return piece !== undefined && isSound(piece.pcm.subarray(-rate / 50));
}

function steadyRateOf(pieces: readonly Piece[]): number | undefined {
  const [first, last] = [pieces[0], pieces.at(-1)];
  if (first === undefined || last === undefined || pieces.length < FEWEST_PIECES) return undefined;
  const ms = last.at - first.at;
  if (ms / pieces.length < SHORTEST_STEP_MS || !isSteady(pieces)) return undefined;
  const samples = pieces.reduce((sum, { pcm }) => sum + pcm.length, 0) - last.pcm.length;
  const sent = (samples * 1_000) / ms;
  return RESAMPLER_RATES.find((usual) => Math.abs(sent / usual - 1) < CLOSE);
}

/** Whether each half brought as much as the other in the same time. */
function isSteady(pieces: readonly Piece[]): boolean {
  const half = pieces.length >> 1;
  const spans = [pieces.slice(0, half), pieces.slice(half)].map((part) => {
    const samples = part.reduce((sum, { pcm }) => sum + pcm.length, 0) - (part.at(-1)?.pcm.length ?? 0);
    return samples / Math.max(1, (part.at(-1)?.at ?? 0) - (part[0]?.at ?? 0));
  }) as [number, number];
  return Math.abs(spans[0] / spans[1] - 1) < 2 * CLOSE;
}
