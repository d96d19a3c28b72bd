import { PHONE_RATE } from '../../simulator/wav.js';
import { type Check, failed, NotApplicable, passed, type Verdict } from '../check.js';
import { rateOfEcho } from '../echo.js';
import type { Examination } from '../examination.js';
import { paceOf } from '../pace.js';
import { pairOf } from '../pair.js';
import { isPitchOfVoice, pitchOf } from '../pitch.js';
import type { Utterance } from '../simulated-call.js';

/** Most seconds of an utterance that are analysed. */
const LONGEST = 6;
/** Twice and four times as fast may be on purpose. */
const ON_PURPOSE = [0.25, 0.5, 1, 2, 4];
/** How far two pitches of one voice differ, as a factor. */
const SAME_VOICE = 1.15;

export const rate: Check = {
  name: 'rate',
  wants: 'Sends audio at the rate that ready names, in a call at another rate too.',
  needsAnswer: true,
  async run(examination) {
    const [utterance] = examination.utterances;
    if (utterance === undefined) throw new NotApplicable('The agent did not answer');
    const { line, from, to } = utterance;
    const pcm = line.audio(line.pieces.slice(from, to)).subarray(0, LONGEST * line.rate);
    const pitch = pitchOf(pcm, line.rate);
    return (
      bySpeed(examination, utterance, pcm) ??
      byPitch(pitch, line.rate) ??
      (await byOtherRate(examination, pitch as number))
    );
  },
};

function bySpeed(
  { speech }: Examination,
  { line, from, to }: Utterance,
  pcm: Int16Array,
): Verdict | undefined {
  const told = line.rate;
  const echoed = rateOfEcho(pcm, told, speech.questionAtPhone, PHONE_RATE);
  if (echoed === told) return passed(`Its echo of the question has ${told} samples a second`);
  if (echoed !== undefined) {
    return wrong(`It echoes the question as audio of ${echoed} samples a second, and ready says ${told}`);
  }
  const paced = paceOf(line.pieces.slice(from, to), told).steadyRate;
  if (paced === undefined || ON_PURPOSE.includes(paced / told)) return undefined;
  return wrong(`It sends ${paced} samples a second, and ready says ${told}`);
}

function byPitch(pitch: number | undefined, told: number): Verdict | undefined {
  if (pitch === undefined) throw new NotApplicable('Its audio holds no voice by which to tell the rate');
  if (isPitchOfVoice(pitch)) return undefined;
  return wrong(`Its voice has a pitch of ${pitch.toFixed(0)} Hz, as of audio at another rate than ${told}`);
}

/** The voice of an agent that follows `ready` has the same pitch at any rate. */
async function byOtherRate(examination: Examination, pitch: number): Promise<Verdict> {
  const { rate: told } = examination.options;
  const { rate: other, answer } = await examination.once(pairOf);
  const otherPitch = pitchOf(answer.subarray(0, LONGEST * other), other);
  if (other === told || otherPitch === undefined) {
    return passed(`Its voice has a pitch of ${pitch.toFixed(0)} Hz at ${told} samples a second`);
  }
  const change = otherPitch / pitch;
  const pitches = `${pitch.toFixed(0)} Hz at ${told} samples a second and ${otherPitch.toFixed(0)} Hz at ${other}`;
  if (isAbout(change, 1) || !isAbout(change, other / told))
    return passed(`Its voice has a pitch of ${pitches}`);
  return failed(
    `It sends audio of one rate, whatever ready says: its voice has a pitch of ${pitches}`,
    'Take the rate from ready. If the agent has one rate only, set AGENT_RATE to it and give --one-rate here.',
  );
}

const isAbout = (change: number, factor: number) =>
  change / factor < SAME_VOICE && factor / change < SAME_VOICE;

const wrong = (saw: string) =>
  failed(saw, 'Take the rate from ready, and convert what your voice service sends.');
