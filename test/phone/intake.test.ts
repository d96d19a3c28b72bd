import { describe, expect, test } from 'vitest';
import { FRAME_SAMPLES, type FrameSink } from '../../src/media/frame.js';
import { Intake } from '../../src/phone/intake.js';
import { VirtualClock } from '../support/virtual-clock.js';

class Leg implements FrameSink {
  readonly heard: [first: number, stamp: number][] = [];
  write(frame: Int16Array, stamp: number): void {
    expect(frame).toHaveLength(FRAME_SAMPLES);
    this.heard.push([frame[0] as number, stamp]);
  }
}

/** Loud enough not to be a pause. */
const numbered = (n: number, count = FRAME_SAMPLES) => new Int16Array(count).fill(1_000 + n);
const turnEnd = () => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const clock = new VirtualClock();
  return { clock, intake: new Intake(clock) };
}

describe('the intake', () => {
  test('keeps the newest three seconds until the leg joins, and counts what was too old', async () => {
    const { clock, intake } = setUp();
    for (let n = 0; n < 160; n++) intake.push(numbered(n), n);
    expect(intake.dropped).toBe(10);
    const leg = new Leg();
    intake.connect(leg);
    for (let i = 0; i < 200; i++) {
      clock.advance(20);
      intake.tick();
    }
    expect(leg.heard[0]).toEqual([1_010, 10]);
    expect(Math.max(...leg.heard.map(([first]) => first))).toBe(1_159);
    expect(intake.dropped).toBe(10);
  });

  test('does not keep the silence before the first word', () => {
    const { intake } = setUp();
    for (let n = 0; n < 20; n++) intake.push(new Int16Array(FRAME_SAMPLES), n);
    intake.push(numbered(1), 20);
    const leg = new Leg();
    intake.connect(leg);
    expect(leg.heard).toEqual([[1_001, 20]]);
  });

  test('passes audio at once when the leg has joined', async () => {
    const { clock, intake } = setUp();
    const leg = new Leg();
    intake.connect(leg);
    intake.push(numbered(1), 5);
    await turnEnd();
    clock.advance(20);
    intake.push(numbered(2), 6);
    expect(leg.heard).toEqual([
      [1_001, 5],
      [1_002, 6],
    ]);
    expect(intake.dropped).toBe(0);
  });

  test('does not keep borrowed memory', () => {
    const { intake } = setUp();
    const lent = numbered(3);
    intake.push(lent, 0);
    lent.fill(-1);
    const leg = new Leg();
    intake.connect(leg);
    expect(leg.heard).toEqual([[1_003, 0]]);
  });

  test('cuts audio of other lengths and preserves its order', async () => {
    const { intake } = setUp();
    const leg = new Leg();
    intake.connect(leg);
    intake.push(numbered(1, 480), 1);
    intake.push(numbered(2), 2);
    intake.push(numbered(3, 480), 3);
    await turnEnd();
    expect(leg.heard).toEqual([
      [1_001, 1],
      [1_002, 2],
    ]);
  });

  test('fills a gap with silence, and plays the newest part of the burst that follows', async () => {
    const { clock, intake } = setUp();
    const leg = new Leg();
    intake.connect(leg);
    intake.push(numbered(0), 1);
    await turnEnd();
    for (let i = 0; i < 50; i++) {
      clock.advance(20);
      intake.tick();
      if (intake.hasGap(clock.now())) intake.fill(new Int16Array(FRAME_SAMPLES));
    }
    const silences = leg.heard.filter(([first]) => first === 0).length;
    expect(silences).toBeGreaterThanOrEqual(45);
    expect(silences).toBeLessThanOrEqual(50);
    for (let n = 1; n <= 50; n++) intake.push(numbered(n), n + 1);
    await turnEnd();
    expect(leg.heard.slice(1 + silences).map(([first]) => first)).toEqual([
      1_045, 1_046, 1_047, 1_048, 1_049, 1_050,
    ]);
    expect(intake.dropped).toBe(44);
  });

  test('stops when it is closed, before or after the leg has joined', async () => {
    const leg = new Leg();
    const connected = setUp().intake;
    connected.connect(leg);
    connected.close();
    connected.push(numbered(1), 0);

    const waiting = setUp().intake;
    waiting.push(numbered(2), 0);
    waiting.close();
    waiting.connect(leg);
    waiting.push(numbered(3), 0);
    await turnEnd();
    expect(leg.heard).toEqual([]);
    expect(waiting.dropped).toBe(0);
  });
});
