import { describe, expect, test } from 'vitest';
import { CallerClock } from '../../src/recording/caller-clock.js';

/**
 * Frames of 20 ms, each this late; returns the difference between where each was placed and where it was
 * spoken.
 */
function errors(late: readonly number[], drift = 0): number[] {
  const clock = new CallerClock();
  return late.map((ms, i) => {
    const said = 1_000 + i * 20 * (1 + drift);
    return clock.place(i * 20, 20, said + 20 + ms) - said;
  });
}

describe("a caller's clock", () => {
  test('places frames by their timeline, however late they arrive', () => {
    expect(errors([0, 3, 15, 0, 400, 380, 360, 1_900, 0])).toEqual(new Array(9).fill(0));
  });

  test('treats the earliest arrivals as on time', () => {
    // The first was late: only that one is placed late.
    const placed = errors([100, 0, 0, 0]);
    expect(placed[0]).toBe(100);
    expect(placed.slice(1)).toEqual([0, 0, 0]);
  });

  test('follows a slower or faster clock within 60 ms', () => {
    for (const drift of [-0.001, 0.001]) {
      const placed = errors(new Array(15_000).fill(0), drift);
      expect(Math.max(...placed.map(Math.abs)), `drift ${drift}`).toBeLessThan(60);
    }
  });

  test('recovers soon after a pause that the timeline does not show', () => {
    // 500 ms without audio, and timestamps that continue as if there were none.
    const clock = new CallerClock();
    const errorsBehind: number[] = [];
    for (let i = 0; i < 200; i++) {
      const said = 1_000 + i * 20 + (i < 50 ? 0 : 500);
      const placed = clock.place(i * 20, 20, said + 20);
      if (i >= 50) errorsBehind.push(placed - said);
    }
    expect(errorsBehind.slice(12)).toEqual(new Array(errorsBehind.length - 12).fill(0));
    expect(errorsBehind[0]).toBe(-500);
  });

  test('does not mistake a slowly drained stall for a pause', () => {
    const late = Array.from({ length: 50 }, (_, i) => Math.max(0, 1_000 - i * 25));
    expect(errors([0, ...late, 0, 0])).toEqual(new Array(53).fill(0));
  });

  test('continues where the last audio ended if there is no timestamp', () => {
    const clock = new CallerClock();
    expect(clock.place(Number.NaN, 20, 120)).toBe(100);
    expect(clock.place(Number.NaN, 20, 145)).toBe(120);
    expect(clock.place(Number.NaN, 20, 165)).toBe(140);
  });

  test('drops what is two seconds late, and accepts a restarted timeline after one second', () => {
    const clock = new CallerClock();
    clock.place(60_000, 20, 60_020);
    expect(clock.place(60_020, 20, 63_000)).toBeNaN();
    expect(clock.place(60_040, 20, 60_060)).toBe(60_040);
    for (let i = 0; i < 50; i++) expect(clock.place(i * 20, 20, 70_000 + i * 20)).toBeNaN();
    expect(clock.place(1_000, 20, 71_000)).toBe(70_980);
    expect(clock.place(1_020, 20, 71_020)).toBe(71_000);
  });
});
