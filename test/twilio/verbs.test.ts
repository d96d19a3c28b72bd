import { expect, it } from 'vitest';
import { type CallVerb, longestSeconds } from '../../src/twilio/verbs.js';

it.each<[CallVerb[], number]>([
  [[], 0],
  [[{ pause: 7 }, { pause: 3 }], 10],
  [[{ play: 'https://a.example/x.wav', loop: 2 }], 1_200],
  // Whoever answers may talk as long as they are let, and for Twilio's four hours else.
  [[{ dial: '+15550001111', ringSeconds: 10, limitSeconds: 60 }], 70],
  [[{ dial: '+15550001111' }], 30 + 14_400],
])('%j takes at most %d seconds', (verbs, seconds) => {
  expect(longestSeconds(verbs)).toBe(seconds);
});
