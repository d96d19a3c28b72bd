import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { core } from '../../src/media/native.js';
import { noise, randomBytes } from '../support/media.js';

/** What mixMinus promises, said plainly. */
function mixed(inputs: Int16Array, active: Uint8Array): Int16Array {
  const samples = inputs.length / active.length;
  return inputs.map((_, index) => {
    const member = Math.floor(index / samples);
    let sum = 0;
    for (let other = 0; other < active.length; other++) {
      if (other !== member && active[other]) sum += inputs[other * samples + (index % samples)] ?? 0;
    }
    return Math.max(-32_768, Math.min(32_767, sum));
  });
}

function mix(inputs: Int16Array, active: Uint8Array): Int16Array {
  const outputs = new Int16Array(inputs.length);
  core.mixMinus(inputs, active, outputs);
  return outputs;
}

describe('mixMinus', () => {
  test('two members hear each other and nothing of themselves', () => {
    expect([...mix(Int16Array.of(1, 2, 3, 40, 50, 60), Uint8Array.of(1, 1))]).toEqual([40, 50, 60, 1, 2, 3]);
  });

  test('a lone member hears silence', () => {
    expect([...mix(Int16Array.of(5, -5), Uint8Array.of(1))]).toEqual([0, 0]);
  });

  test('an inactive member hears all others and is heard by none', () => {
    expect([...mix(Int16Array.of(1, 10, 100), Uint8Array.of(1, 0, 255))]).toEqual([100, 101, 1]);
  });

  test('saturates the sum of the others, not the total', () => {
    // Member 0 cancels the total but not what the others hear of each other.
    const inputs = Int16Array.of(-32_768, 32_767, 32_767, 1);
    expect([...mix(inputs, Uint8Array.of(1, 1, 1, 1))]).toEqual([32_767, 0, 0, 32_766]);
    expect([...mix(Int16Array.of(-32_768, -32_768, -32_768), Uint8Array.of(1, 1, 1))]).toEqual([
      -32_768, -32_768, -32_768,
    ]);
  });

  test('agrees with its definition for any room', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(0, 1, 7, 160, 239, 240, 241, 960),
        fc.integer(),
        (members, samples, seed) => {
          const inputs = noise(members * samples, seed);
          const active = randomBytes(members, seed + 1).map((byte) => byte & 1);
          expect(mix(inputs, active)).toEqual(mixed(inputs, active));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('works in place', () => {
    const inputs = noise(5 * 960, 3);
    const active = Uint8Array.of(1, 1, 0, 1, 1);
    const wanted = mix(inputs, active);
    core.mixMinus(inputs, active, inputs);
    expect(inputs).toEqual(wanted);
  });

  test('no room is large enough to overflow a sum', () => {
    const inputs = new Int16Array(65_535).fill(-32_768);
    const outputs = mix(inputs, new Uint8Array(65_535).fill(1));
    expect(outputs.every((sample) => sample === -32_768)).toBe(true);
  });

  test('refuses shapes that do not fit', () => {
    const two = new Uint8Array(2);
    expect(() => core.mixMinus(new Int16Array(3), two, new Int16Array(3))).toThrow(
      new RangeError('Expected a multiple of 2 samples for inputs but received 3 samples'),
    );
    expect(() => core.mixMinus(new Int16Array(4), two, new Int16Array(5))).toThrow(
      new RangeError('Expected 4 samples for outputs but received 5 samples'),
    );
    expect(() => core.mixMinus(new Int16Array(0), new Uint8Array(0), new Int16Array(0))).toThrow(RangeError);
    expect(() => core.mixMinus(new Int16Array(0), new Uint8Array(65_536), new Int16Array(0))).toThrow(
      RangeError,
    );
    expect(() => core.mixMinus(new Int16Array(2), [1, 1] as never, new Int16Array(2))).toThrow(
      new TypeError('Expected a Uint8Array for active but received Array'),
    );
  });
});
