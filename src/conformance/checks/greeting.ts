import { type Check, failed, passed } from '../check.js';

/** Nobody hears what is said while the phone rings. */
export const greeting: Check = {
  name: 'greeting',
  wants: 'Says nothing before the phone is answered.',
  async run(examination) {
    const { soundBeforeAnswer } = await examination.call();
    if (soundBeforeAnswer === 0) return passed('It was silent while the phone rang');
    return failed('It spoke while the phone rang: nobody heard that', 'Greet at joined, not at ready.');
  },
};
