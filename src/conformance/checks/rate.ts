import { PHONE_RATE } from '../../simulator/wav.js';
import { type Check, failed, NotApplicable, passed } from '../check.js';
import { paceOf } from '../pace.js';
import { isPitchOfVoice, pitchOf, rateOfEcho } from '../sound.js';

/** What is looked at of an utterance, in seconds. */
const LONGEST = 6;

/** Audio has the rate that ready names. */
export const rate: Check = {
  name: 'rate',
  wants: 'Sends audio at the rate that ready names.',
  needsAnswer: true,
  run({ utterances, speech, options }) {
    const told = options.rate;
    if (utterances.length === 0) throw new NotApplicable('The agent did not answer');
    const wrong = (how: string) =>
      failed(how, 'Take the rate from ready, and convert what your voice service sends.');
    let pitch: number | undefined;
    for (const { line, from, to } of utterances) {
      const pieces = line.pieces.slice(from, to);
      const pcm = line.audio(pieces).subarray(0, LONGEST * told);
      const echoed = rateOfEcho(pcm, told, speech.questionAtPhone, PHONE_RATE);
      if (echoed === told) return passed(`Its echo of the question has ${told} samples a second`);
      if (echoed !== undefined) {
        return wrong(`It echoes the question as audio of ${echoed} samples a second, and ready says ${told}`);
      }
      const paced = paceOf(pieces, told).steadyRate;
      // Twice and four times as fast may be on purpose.
      if (paced !== undefined && ![0.25, 0.5, 1, 2, 4].includes(paced / told)) {
        return wrong(`It sends ${paced} samples a second, and ready says ${told}`);
      }
      pitch = pitchOf(pcm, told);
      if (pitch !== undefined && !isPitchOfVoice(pitch)) {
        return wrong(
          `Its voice has a pitch of ${pitch.toFixed(0)} Hz, as of audio at another rate than ${told}`,
        );
      }
    }
    if (pitch === undefined) throw new NotApplicable('Its audio holds no voice by which to tell the rate');
    return passed(`Its voice has a pitch of ${pitch.toFixed(0)} Hz at ${told} samples a second`);
  },
};
