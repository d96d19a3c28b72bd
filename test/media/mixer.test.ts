import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { core } from '../../src/media/thread-core.js';
import { KNEE, limited, noise, randomBytes } from '../support/media.js';

/** What mixMinus promises, said plainly. */
function mixed(inputs: Int16Array, active: Uint8Array): Int16Array {
  const samples = inputs.length / active.length;
  return inputs.map((_, index) => {
    const member = Math.floor(index / samples);
    let [sum, voices] = [0, 0];
    for (let other = 0; other < active.length; other++) {
      if (other === member || !active[other]) continue;
      sum += inputs[other * samples + (index % samples)] ?? 0;
      voices++;
    }
    return limited(sum, voices);
  });
}

function mix(inputs: Int16Array, active: Uint8Array): Int16Array {
  const outputs = new Int16Array(inputs.length);
  core.mixMinus(inputs, active, outputs);
  return outputs;
}

/** What mix promises, said plainly. */
function summed(inputs: Int16Array, active: Uint8Array, samples: number): Int16Array {
  return Int16Array.from({ length: samples }, (_, index) => {
    let [sum, voices] = [0, 0];
    for (let member = 0; member < active.length; member++) {
      if (!active[member]) continue;
      sum += inputs[member * samples + index] ?? 0;
      voices++;
    }
    return limited(sum, voices);
  });
}

/** Into memory that is not clean, as that of a mixer never is. */
function sum(inputs: Int16Array, active: Uint8Array): Int16Array {
  const output = new Int16Array(inputs.length / active.length).fill(77);
  core.mix(inputs, active, output);
  return output;
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

  test('limits the sum of the others, not the total', () => {
    // Member 0 cancels the total but not what the others hear of each other.
    const inputs = Int16Array.of(-32_768, 23_100, 90, 1);
    expect([...mix(inputs, Uint8Array.of(1, 1, 1, 1))]).toEqual(
      [23_191, -32_677, -9_667, -9_578].map((sum) => limited(sum, 3)),
    );
    expect([...mix(Int16Array.of(-32_768, -32_768, -32_768), Uint8Array.of(1, 1, 1))]).toEqual(
      new Array(3).fill(limited(-65_536, 2)),
    );
  });

  test('leaves one voice alone as it is, for those who are silent too', () => {
    const ends = Int16Array.of(-32_768, 32_767, 30_000, 5, 6, 7);
    expect([...mix(ends, Uint8Array.of(1, 0))]).toEqual([0, 0, 0, -32_768, 32_767, 30_000]);
    const two = Int16Array.of(-32_768, 32_767);
    expect([...mix(two, Uint8Array.of(1, 1))]).toEqual([32_767, -32_768]);
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
    expect(outputs.every((sample) => sample === -32_767)).toBe(true);
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

describe('mix', () => {
  test('is the sum of all, sample by sample', () => {
    expect([...sum(Int16Array.of(1, 2, 3, 40, -50, 60, 100, 0, -700), Uint8Array.of(1, 1, 1))]).toEqual([
      141, -48, -637,
    ]);
  });

  test('a lone member is heard as it is', () => {
    const voice = noise(960, 5);
    expect(sum(voice, Uint8Array.of(1))).toEqual(voice);
  });

  test('an inactive member is not heard, whatever lies in its memory', () => {
    expect([...sum(Int16Array.of(1, 2, 30_000, -30_000, 100, 200), Uint8Array.of(1, 0, 255))]).toEqual([
      101, 202,
    ]);
  });

  test('nobody active is silence', () => {
    expect(sum(noise(3 * 480, 6), new Uint8Array(3)).every((sample) => sample === 0)).toBe(true);
  });

  test('limits the whole sum and nothing on the way to it', () => {
    const three = Uint8Array.of(1, 1, 1);
    expect([...sum(Int16Array.of(32_767, -32_768, 32_767, -32_768, -32_768, 32_767), three)]).toEqual([
      limited(32_766, 3),
      limited(-32_769, 3),
    ]);
    expect([...sum(Int16Array.of(-20_000, -20_000, 20_000), three)]).toEqual([-20_000]);
  });

  test('bends what is loud: exact up to the knee, always rising, never flat at full scale', () => {
    // Every sum of three voices at any level.
    const sums = Int32Array.from({ length: 98_302 }, (_, i) => i);
    const inputs = new Int16Array(3 * sums.length);
    for (const [i, wanted] of sums.entries()) {
      const part = Math.min(32_767, wanted);
      inputs[i] = part;
      inputs[sums.length + i] = Math.min(32_767, wanted - part);
      inputs[2 * sums.length + i] = Math.max(0, wanted - 65_534);
    }
    const loud = sum(inputs, Uint8Array.of(1, 1, 1));
    expect(
      sum(
        inputs.map((sample) => -sample),
        Uint8Array.of(1, 1, 1),
      ),
    ).toEqual(loud.map((sample) => -sample));
    for (let i = 1; i < loud.length; i++) {
      const step = (loud[i] as number) - (loud[i - 1] as number);
      if (i <= KNEE) expect(loud[i]).toBe(i);
      if (step < 0 || step > 1) expect.fail(`a step of ${step} at ${i}`);
    }
    // Without a bend at the knee, and with room above three voices that could not be louder.
    expect(loud[KNEE + 300]).toBeGreaterThan(KNEE + 290);
    expect(loud.at(-1)).toBeLessThan(31_800);
  });

  test('agrees with its definition for any number of members and samples', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(0, 1, 7, 160, 239, 240, 241, 480, 960),
        fc.integer(),
        (members, samples, seed) => {
          const inputs = noise(members * samples, seed);
          const active = randomBytes(members, seed + 1).map((byte) => byte & 1);
          expect(sum(inputs, active)).toEqual(summed(inputs, active, samples));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('leaves the inputs alone, unless the output is one of them', () => {
    const inputs = noise(3 * 960, 7);
    const before = inputs.slice();
    const active = Uint8Array.of(1, 1, 1);
    const wanted = sum(inputs, active);
    expect(inputs).toEqual(before);
    for (const member of [0, 1, 2]) {
      const memory = inputs.slice();
      const output = memory.subarray(960 * member, 960 * (member + 1));
      core.mix(memory, active, output);
      expect(output).toEqual(wanted);
    }
  });

  test('no number of members is large enough to overflow a sum', () => {
    const active = new Uint8Array(65_535).fill(1);
    expect([...sum(new Int16Array(65_535).fill(-32_768), active)]).toEqual([-32_767]);
    expect([...sum(new Int16Array(65_535).fill(32_767), active)]).toEqual([32_767]);
  });

  test('refuses shapes that do not fit', () => {
    const two = new Uint8Array(2);
    expect(() => core.mix(new Int16Array(3), two, new Int16Array(1))).toThrow(
      new RangeError('Expected a multiple of 2 samples for inputs but received 3 samples'),
    );
    for (const length of [1, 3, 4]) {
      expect(() => core.mix(new Int16Array(4), two, new Int16Array(length))).toThrow(
        new RangeError(`Expected 2 samples for output but received ${length} samples`),
      );
    }
    for (const members of [0, 65_536]) {
      expect(() => core.mix(new Int16Array(0), new Uint8Array(members), new Int16Array(0))).toThrow(
        new RangeError(`Expected 1 to 65535 members for active but received ${members} members`),
      );
    }
  });

  test('refuses other types', () => {
    const [pcm, one] = [new Int16Array(2), new Uint8Array(1)];
    expect(() => core.mix(new Float32Array(2) as never, one, pcm)).toThrow(
      new TypeError('Expected an Int16Array for inputs but received Float32Array of 8 bytes'),
    );
    expect(() => core.mix(pcm, [1] as never, pcm)).toThrow(
      new TypeError('Expected a Uint8Array for active but received Array'),
    );
    expect(() => core.mix(pcm, one, undefined as never)).toThrow(
      new TypeError('Expected an Int16Array for output but received undefined'),
    );
  });
});
