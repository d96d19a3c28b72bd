import { describe, expect, test } from 'vitest';
import { FRAME_SAMPLES, type FrameSink } from '../../src/media/frame.js';
import { Intake } from '../../src/media/intake.js';

class Leg implements FrameSink {
  readonly heard: [first: number, stamp: number][] = [];
  write(frame: Int16Array, stamp: number): void {
    expect(frame).toHaveLength(FRAME_SAMPLES);
    this.heard.push([frame[0] as number, stamp]);
  }
}

const numbered = (n: number, count = FRAME_SAMPLES) => new Int16Array(count).fill(n);

describe('the intake', () => {
  test('keeps the newest 200 ms for a leg that is not up, and counts what was too old', () => {
    const intake = new Intake();
    for (let n = 0; n < 25; n++) intake.push(numbered(n), n);
    expect(intake.dropped).toBe(15);
    const leg = new Leg();
    intake.connect(leg);
    expect(leg.heard).toEqual(Array.from({ length: 10 }, (_, i) => [15 + i, 15 + i]));
  });

  test('passes audio at once when the leg is up', () => {
    const intake = new Intake();
    const leg = new Leg();
    intake.connect(leg);
    intake.push(numbered(1), 5);
    expect(leg.heard).toEqual([[1, 5]]);
    expect(intake.dropped).toBe(0);
  });

  test('does not hold on to memory it was lent', () => {
    const intake = new Intake();
    const lent = numbered(3);
    intake.push(lent, 0);
    lent.fill(-1);
    const leg = new Leg();
    intake.connect(leg);
    expect(leg.heard).toEqual([[3, 0]]);
  });

  test('cuts audio of other lengths and keeps its order', () => {
    const intake = new Intake();
    const leg = new Leg();
    intake.connect(leg);
    intake.push(numbered(1, 480), 1);
    intake.push(numbered(2), 2);
    intake.push(numbered(3, 480), 3);
    expect(leg.heard).toEqual([
      [1, 1],
      [2, 2],
    ]);
    intake.push(numbered(4, 1_920), 4);
    expect(leg.heard.slice(2)).toEqual([
      [4, 4],
      [4, 4],
    ]);
  });

  test('lets go when it is closed, before or after the leg came', () => {
    const leg = new Leg();
    const connected = new Intake();
    connected.connect(leg);
    connected.close();
    connected.push(numbered(1), 0);

    const waiting = new Intake();
    waiting.push(numbered(2), 0);
    waiting.close();
    waiting.connect(leg);
    waiting.push(numbered(3), 0);
    expect(leg.heard).toEqual([]);
    expect(waiting.dropped).toBe(0);
  });
});
