import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Pacer, type PacerSink } from '../../src/legs/pacer.js';
import { VirtualClock } from '../support/virtual-clock.js';

const RATE = 16_000;
const FRAME = 320;
const FRAME_MS = 20;

/** A listener that plays its buffer at 1×, on a clock driven by the test. */
class Listener implements PacerSink {
  aheadMs = 80;
  /** As measured at the listener. */
  leadMs = 0;
  own = 0;
  rests = 0;
  readonly clock = new VirtualClock();
  readonly frames: Int16Array[] = [];
  readonly marks: string[] = [];
  framesBehind = 0;
  dropsPauses = false;
  maxLeadMs = 0;
  holes = 0;
  private dryAt = 0;
  private ticking = false;
  readonly pacer: Pacer;

  constructor(limitMs = 30_000) {
    const frames = {
      join: () => {
        this.ticking = true;
      },
      leave: () => {
        this.ticking = false;
      },
    };
    this.pacer = new Pacer(this, RATE, limitMs, frames, this.clock);
  }
  get now(): number {
    return this.clock.now();
  }
  get hasTone(): boolean {
    return this.own > 0;
  }
  get isTicking(): boolean {
    return this.ticking;
  }
  sendTone(): void {
    this.own -= 1;
    this.sendFrame(new Int16Array(FRAME).fill(-1));
  }
  sendFrame(frame: Int16Array, isBehind = false): boolean {
    if (isBehind) this.framesBehind += 1;
    if (isBehind && this.dropsPauses) return false;
    if (this.now > this.dryAt && this.dryAt > 0) this.holes += 1;
    this.dryAt = Math.max(this.dryAt, this.now) + FRAME_MS;
    this.maxLeadMs = Math.max(this.maxLeadMs, this.dryAt - this.now);
    this.frames.push(frame.slice());
    return true;
  }
  mark(name: string): void {
    this.pacer.place({
      passed: () => this.marks.push(`${name}@${this.frames.length}`),
      cleared: () => this.marks.push(`${name} cleared`),
    });
  }
  idle(): void {
    this.rests += 1;
  }
  /** Time passes with a tick every `tickMs`. */
  wait(ms: number, tickMs = FRAME_MS): void {
    const end = this.now + ms;
    while (this.now + tickMs <= end) {
      this.clock.advance(tickMs);
      if (this.ticking) this.pacer.tick();
    }
    this.clock.advance(end - this.now);
  }
  get said(): number[] {
    return this.frames.flatMap((frame) => [...frame]);
  }
}

const ramp = (count: number, from = 1) =>
  Int16Array.from({ length: count }, (_, i) => ((from + i - 1) % 30_000) + 1);

describe('a pacer', () => {
  test('sends a burst at the pace of speech, without gaps, no further ahead than allowed', () => {
    const listener = new Listener();
    listener.pacer.push(ramp(10 * RATE));
    expect(listener.frames).toHaveLength(4);
    for (let i = 0; i < 40; i++) listener.wait(240, [20, 24, 16, 60, 12][i % 5]);
    expect(listener.maxLeadMs).toBeLessThanOrEqual(80);
    expect(listener.holes).toBe(0);
    listener.wait(1_000);
    expect(listener.said).toEqual([...ramp(10 * RATE)]);
    expect(listener.isTicking).toBe(false);
    expect(listener.rests).toBeGreaterThan(0);
  });

  test('sends audio after a clear at once, however much was sent ahead before', () => {
    const listener = new Listener();
    listener.aheadMs = 200;
    listener.pacer.push(ramp(RATE));
    expect(listener.frames).toHaveLength(10);
    listener.pacer.clear();
    listener.pacer.push(ramp(3 * FRAME, 5_000));
    expect(listener.frames.slice(10).flatMap((frame) => [...frame])).toEqual([...ramp(3 * FRAME, 5_000)]);
  });

  test('passes live audio at once', () => {
    const listener = new Listener();
    for (let i = 0; i < 50; i++) {
      listener.pacer.push(ramp(FRAME, i * FRAME + 1));
      expect(listener.frames).toHaveLength(i + 1);
      listener.wait(20);
    }
    expect(listener.maxLeadMs).toBeLessThanOrEqual(20);
  });

  test.each([
    ['in real time', 20, true],
    ['in sentences of five seconds', 5_000, false],
    ['in pieces of a second', 1_000, false],
  ])('takes audio that comes %s for late after a stall of the listener: %s', (_, pieceMs, isLate) => {
    const listener = new Listener();
    const pace = (ms: number) => {
      for (let at = 0; at < ms; at += pieceMs) {
        listener.pacer.push(ramp((RATE * pieceMs) / 1_000, 1));
        listener.wait(pieceMs);
      }
    };
    pace(10_000);
    expect(listener.framesBehind).toBe(0);
    listener.leadMs = Number.POSITIVE_INFINITY;
    pace(5_000);
    listener.leadMs = 0;
    pace(5_000);
    expect(listener.framesBehind > 0).toBe(isLate);
    // Late words are not kept: the oldest are dropped, and reported.
    expect(listener.pacer.droppedMs > 3_000).toBe(isLate);
    if (isLate) expect(listener.pacer.waitingMs).toBeLessThanOrEqual(500);
  });

  test('passes a mark behind a pause that was dropped', () => {
    const listener = new Listener();
    for (let i = 0; i < 200; i++) {
      listener.pacer.push(ramp(FRAME, 1));
      listener.wait(20);
    }
    listener.leadMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 10; i++) {
      listener.pacer.push(ramp(FRAME, 1));
      listener.wait(20);
    }
    listener.mark('end');
    listener.leadMs = 50;
    listener.dropsPauses = true;
    listener.wait(40);
    expect(listener.pacer.waitingMs).toBe(0);
    expect(listener.marks).toHaveLength(1);
  });

  test('does not stay late after a stall of this process when the program is live', () => {
    const listener = new Listener();
    let said = 0;
    const say = () => {
      listener.pacer.push(ramp(FRAME, said * FRAME + 1));
      said += 1;
    };
    const talk = (ms: number) => {
      for (let at = 0; at < ms; at += FRAME_MS) {
        say();
        listener.wait(FRAME_MS);
      }
    };
    talk(2_000);
    for (const stallMs of [1_000, 33_000]) {
      listener.clock.stall(stallMs);
      const dropped = listener.pacer.droppedMs;
      for (let at = 0; at < stallMs; at += FRAME_MS) say();
      expect(listener.pacer.droppedMs - dropped).toBe(stallMs);
      talk(3_000);
      expect(listener.pacer.waitingMs).toBeLessThanOrEqual(2 * FRAME_MS);
    }
    // Once it stops, nothing is owed.
    listener.clock.stall(33_000);
    listener.wait(5_000);
    const { length } = listener.frames;
    talk(1_000);
    expect(listener.frames.length - length).toBe(50);
  });

  test('plays all of a speech that was sent ahead, despite a stall of this process', () => {
    const listener = new Listener();
    listener.pacer.push(ramp(2 * RATE));
    listener.clock.stall(33_000);
    listener.pacer.push(ramp(8 * RATE, 2 * RATE + 1));
    listener.wait(12_000);
    expect(listener.said).toEqual([...ramp(10 * RATE)]);
  });

  test('plays the same whatever the piece size', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 30 }), (pieces) => {
        const listener = new Listener();
        let total = 0;
        for (const piece of pieces) {
          listener.pacer.push(ramp(piece, total + 1));
          total += piece;
          listener.wait(20);
        }
        listener.wait(30_000);
        // While it waited for more, silence completed a frame.
        expect(listener.said.filter((sample) => sample !== 0)).toEqual([...ramp(total)]);
        expect(listener.said.length % FRAME).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test('waits 40 ms for the rest of a frame, then pads it with silence', () => {
    const listener = new Listener();
    listener.pacer.push(ramp(100));
    listener.wait(20);
    expect(listener.frames).toHaveLength(0);
    listener.wait(20);
    expect(listener.said).toEqual([...ramp(100), ...new Array(220).fill(0)]);
    expect(listener.isTicking).toBe(false);
  });

  test('holds no more than its limit, and keeps the beginning', () => {
    const listener = new Listener(1_000);
    listener.aheadMs = 20;
    expect(listener.pacer.push(ramp(3 * RATE))).toBe(2_000);
    expect(listener.pacer.waitingMs).toBe(980);
    expect(listener.pacer.push(ramp(FRAME))).toBe(0);
    expect(listener.pacer.push(ramp(FRAME))).toBe(20);
    expect(listener.pacer.droppedMs).toBe(2_020);
    listener.wait(3_000);
    expect(listener.said.slice(0, RATE)).toEqual([...ramp(RATE)]);
  });

  test('frees the memory of a long speech when it was played or cleared', () => {
    const listener = new Listener();
    const held = () => (listener.pacer as unknown as { ring: Int16Array }).ring.length;
    const least = held();
    for (let turn = 1; turn <= 2; turn++) {
      const before = listener.frames.length;
      listener.pacer.push(ramp(20 * RATE));
      expect(held()).toBeGreaterThanOrEqual(20 * RATE);
      listener.wait(21_000);
      expect(listener.frames.length - before).toBe(1_000);
      expect(held()).toBe(least);
    }
    listener.pacer.push(ramp(20 * RATE));
    listener.pacer.clear();
    expect(held()).toBe(least);
    // The next audio is complete.
    const before = listener.frames.length;
    listener.pacer.push(ramp(5 * RATE));
    listener.wait(6_000);
    expect(listener.said.slice(before * FRAME)).toEqual([...ramp(5 * RATE)]);
  });

  test('passes a mark when all audio before it has been sent', () => {
    const listener = new Listener();
    listener.mark('at once');
    listener.pacer.push(ramp(10 * FRAME));
    listener.mark('ten');
    listener.pacer.push(ramp(5 * FRAME + 10));
    listener.mark('end');
    listener.wait(1_000);
    expect(listener.marks).toEqual(['at once@0', 'ten@10', 'end@16']);
  });

  test('drops waiting audio on clear, clears its marks and starts new audio at once', () => {
    const listener = new Listener();
    listener.pacer.push(ramp(RATE));
    listener.mark('a');
    listener.mark('b');
    expect(listener.pacer.clear()).toBe(920);
    expect(listener.marks).toEqual(['a cleared', 'b cleared']);
    expect(listener.isTicking).toBe(false);
    listener.wait(1_000);
    expect(listener.frames).toHaveLength(4);
    listener.pacer.push(ramp(FRAME));
    expect(listener.frames).toHaveLength(5);
    expect(listener.marks).toHaveLength(2);
  });

  test('waits while the measured lead is larger than allowed, and loses nothing', () => {
    const listener = new Listener();
    listener.pacer.push(ramp(RATE));
    const sent = listener.frames.length;
    listener.leadMs = Number.POSITIVE_INFINITY;
    listener.wait(3_000);
    expect(listener.frames).toHaveLength(sent);
    listener.leadMs = 0;
    listener.wait(2_000);
    expect(listener.said).toEqual([...ramp(RATE)]);
  });

  test("sends the sink's tones before waiting audio, and loses none of that audio", () => {
    const listener = new Listener();
    listener.own = 10;
    listener.pacer.push(ramp(5 * FRAME));
    listener.wait(1_000);
    expect(listener.said.slice(0, 10 * FRAME).every((sample) => sample === -1)).toBe(true);
    expect(listener.said.slice(10 * FRAME)).toEqual([...ramp(5 * FRAME)]);
    listener.own = 3;
    listener.pacer.wake();
    listener.wait(200);
    expect(listener.frames).toHaveLength(18);
    expect(listener.isTicking).toBe(false);
  });

  test('does nothing once it is closed', () => {
    const listener = new Listener();
    listener.pacer.push(ramp(RATE));
    listener.pacer.close();
    expect(listener.isTicking).toBe(false);
    listener.pacer.push(ramp(RATE));
    listener.wait(1_000);
    expect(listener.frames).toHaveLength(4);
  });
});

test('passes a mark after the tones before it', () => {
  const listener = new Listener();
  listener.own = 10;
  listener.pacer.wake();
  listener.mark('dialled');
  listener.wait(100);
  expect(listener.marks).toEqual([]);
  listener.wait(400);
  expect(listener.marks).toEqual(['dialled@10']);
});

test('passes a waypoint with a timeout even if the listener receives nothing', () => {
  const listener = new Listener();
  listener.leadMs = Number.POSITIVE_INFINITY;
  listener.pacer.push(ramp(10 * FRAME));
  const passed: number[] = [];
  const waypoint = { passed: () => passed.push(listener.now), cleared: () => {} };
  const begun = listener.now;
  listener.pacer.place(waypoint, 300);
  listener.mark('patient');
  listener.wait(2_000);
  expect(passed.map((at) => at - begun)).toEqual([500]);
  listener.leadMs = 0;
  listener.wait(1_000);
  expect([passed.length, listener.marks]).toEqual([1, ['patient@10']]);
});
