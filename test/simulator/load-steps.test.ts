import { describe, expect, it } from 'vitest';
import { describeStep, parseLoadSteps, secondsOf } from '../../src/simulator/index.js';

describe('a profile', () => {
  it('is parsed step by step', () => {
    const steps = parseLoadSteps('ramp:200@10/s, hold:60s,churn:0.5/s@5m,ramp:0@50/s', 7);
    expect(steps).toEqual([
      { kind: 'ramp', calls: 200, rate: 10 },
      { kind: 'hold', seconds: 60 },
      { kind: 'churn', rate: 0.5, seconds: 300 },
      { kind: 'ramp', calls: 0, rate: 50 },
    ]);
    expect(secondsOf(steps)).toBe(20 + 60 + 300 + 4);
    expect(steps.map(describeStep)).toEqual([
      'ramping to 200 calls at 10 a second',
      'talking for 60 s',
      'talking for 300 s, 0.5 calls replaced a second',
      'ramping to 0 calls at 50 a second',
    ]);
    expect(parseLoadSteps('ramp:5/s,hold:500ms', 7)).toEqual([
      { kind: 'ramp', calls: 7, rate: 5 },
      { kind: 'hold', seconds: 0.5 },
    ]);
  });

  it.each([
    ['', 'Expected steps as in "ramp:200@10/s, hold:60s, churn:5/s@60s" for the profile but received ""'],
    ['ramp:10', 'received "ramp:10"'],
    ['hold:60s', 'Expected a ramp to at least one call for its first step for the profile'],
    ['ramp:0@1/s', 'Expected a ramp to at least one call'],
    ['ramp:10001@1/s', 'Expected 0 to 10000 calls'],
    ['ramp:1@0/s', 'Expected more than 0 and at most 1000 calls a second'],
    ['ramp:1@1001/s', 'Expected more than 0 and at most 1000 calls a second'],
    [
      'ramp:1@1/s,hold:60',
      'Expected a time up to 24h such as 60s, 5m or 1h for the profile but received "hold:60"',
    ],
    ['ramp:1@1/s,hold:25h', 'received "hold:25h"'],
    ['ramp:1@1/s,churn:5/s', 'received "churn:5/s"'],
    ['ramp:1@1/s,churn:5/s@0s', 'received "churn:5/s@0s"'],
    [`ramp:1@1/s${',hold:1s'.repeat(100)}`, 'Expected at most 100 steps for the profile but received 101'],
  ])('%s: %s', (text, message) => {
    expect(() => parseLoadSteps(text, 1)).toThrow(
      expect.objectContaining({ code: 'GW_SIM_PROFILE', message: expect.stringContaining(message) }),
    );
  });
});
