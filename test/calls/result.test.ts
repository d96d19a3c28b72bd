import { expect, test } from 'vitest';
import { resultOf } from '../../src/calls/result.js';

test.each([
  ['stop', true, 'success'],
  ['hangup', true, 'success'],
  ['bridge', true, 'success'],
  ['transferred', true, 'success'],
  // The callback may overtake the stop of an answered call; busy and no-answer calls were never answered.
  ['status', true, 'success'],
  ['status', false, 'client'],
  ['refused', false, 'client'],
  ['expired', false, 'client'],
  ['protocol', true, 'client'],
  ['failed', true, 'upstream'],
  ['silent', true, 'upstream'],
  ['socket-closed', true, 'indeterminate'],
  ['drain', true, 'server'],
  ['internal', true, 'server'],
] as const)('%s (live: %s) is %s', (cause, wasLive, result) => {
  expect(resultOf(cause, wasLive)).toBe(result);
});
