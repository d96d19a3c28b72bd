import { InstantReader } from '../../src/simulator/index.js';

/** 20 ms at 8 kHz. */
const STEP_SAMPLES = 160;
/** Louder than the silence of a line. */
const SOUND = 500;

/** How much of a sweep a phone has played, in milliseconds: the instant of it that sounded last in what was heard at 8 kHz. */
export function playedMsOf(heard: Int16Array): number {
  const end = heard.findLastIndex((sample) => Math.abs(sample) > SOUND) + 1;
  const begin = end % STEP_SAMPLES;
  const instants = new InstantReader().read(heard.subarray(begin, end));
  const last = instants.findLastIndex((instant) => typeof instant === 'number');
  return Number(instants[last]) + (end - begin) / 8 - (last + 0.5) * 20;
}
