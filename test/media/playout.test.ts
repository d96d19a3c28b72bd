import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_MS, FRAME_SAMPLES } from '../../src/media/frame.js';
import { Playout, type PlayoutLine } from '../../src/media/playout.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** The far end, from first principles: it plays what it has at 1×, and notes each frame by its number. */
class Listener implements PlayoutLine {
  readonly heard: number[] = [];
  writable = true;
  readonly hasListener = true;
  bufferedMs = 0;
  playedMs = 0;
  discardedMs = 0;

  isWritable(): boolean {
    return this.writable;
  }
  write(frame: Int16Array): void {
    this.heard.push(frame[0] as number);
    this.bufferedMs += FRAME_MS;
  }
  play(ms: number): void {
    const played = Math.min(ms, this.bufferedMs);
    this.bufferedMs -= played;
    this.playedMs += played;
  }
  clear(): void {
    this.discardedMs += this.bufferedMs;
    this.bufferedMs = 0;
  }
}

function setUp(limitMs = 120) {
  const listener = new Listener();
  const clock = new VirtualClock();
  let written = 0;
  const playout = new Playout(listener, limitMs, clock);
  return {
    listener,
    playout,
    written: () => written,
    /** Writes frames numbered from 0. */
    write(count = 1) {
      for (let i = 0; i < count; i++) playout.write(new Int16Array(FRAME_SAMPLES).fill(written++), 0);
    },
    pass(ms: number) {
      clock.advance(ms);
      listener.play(ms);
    },
  };
}

const turnEnd = () => new Promise((resolve) => setImmediate(resolve));

describe('the playout', () => {
  test('passes frames at once below half the limit', () => {
    const { playout, listener, write } = setUp();
    write(3);
    expect(listener.heard).toEqual([0, 1, 2]);
    write();
    expect(listener.heard).toHaveLength(3);
    expect(playout.leadMs()).toBe(60);
  });

  test('passes a live talker through, frame for frame', () => {
    const { playout, listener, write, pass } = setUp();
    for (let i = 0; i < 500; i++) {
      write();
      expect(listener.heard).toHaveLength(i + 1);
      pass(FRAME_MS);
    }
    expect(playout.droppedLead + playout.droppedBackpressure + playout.underruns).toBe(0);
  });

  test('sends what waits at the end of the turn, in order', async () => {
    const { listener, write } = setUp();
    write(6);
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('keeps the newest frames of a burst within the limit and counts the rest', async () => {
    const { playout, listener, write } = setUp();
    write(25);
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2, 22, 23, 24]);
    expect(playout.leadMs()).toBe(120);
    expect(playout.droppedLead).toBe(19);
    expect(playout.droppedBackpressure).toBe(0);
  });

  test('keeps only the newest of a burst that meets a full lead', async () => {
    const { playout, listener, write, pass } = setUp();
    write(6);
    await turnEnd();
    pass(20);
    write(10);
    await turnEnd();
    expect(listener.heard.slice(6)).toEqual([15]);
    expect(playout.droppedLead).toBe(9);
  });

  test('never lets the lead pass its limit, burst after burst', async () => {
    const { playout, write, pass } = setUp(200);
    for (let i = 0; i < 20; i++) {
      write(25);
      await turnEnd();
      expect(playout.leadMs()).toBeLessThanOrEqual(200);
      pass(30);
    }
    expect(playout.droppedLead).toBeGreaterThan(300);
  });

  test('keeps the newest while the line is full, drops and counts the oldest, and sends on drain', () => {
    const { playout, listener, write, pass } = setUp();
    listener.writable = false;
    for (let i = 0; i < 50; i++) {
      write();
      pass(FRAME_MS);
    }
    expect(listener.heard).toEqual([]);
    expect(playout.droppedBackpressure).toBe(44);
    playout.flush();
    expect(listener.heard).toEqual([]);
    listener.writable = true;
    playout.flush();
    expect(listener.heard).toEqual([44, 45, 46, 47, 48, 49]);
    expect(playout.droppedLead).toBe(0);
  });

  test('asks for no turn end while the line is full', async () => {
    const { listener, write } = setUp();
    listener.writable = false;
    write(2);
    await turnEnd();
    listener.writable = true;
    await turnEnd();
    expect(listener.heard).toEqual([]);
    write();
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2]);
  });

  test('leaves no lasting delay beyond the limit after a stall of a second', async () => {
    const { playout, listener, write, pass } = setUp();
    for (let i = 0; i < 10; i++) {
      write();
      pass(FRAME_MS);
    }
    pass(1_000);
    write(50);
    await turnEnd();
    for (let i = 0; i < 100; i++) {
      pass(FRAME_MS);
      write();
      await turnEnd();
      expect(listener.bufferedMs).toBeLessThanOrEqual(120);
    }
    expect(listener.heard.at(-1)).toBe(159);
    expect(playout.droppedLead).toBe(44);
  });

  test('tells what was heard and what was taken back', () => {
    const { playout, listener, write, pass } = setUp();
    write(5);
    pass(45);
    expect(playout.playedMs()).toBe(45);
    expect(playout.positionMs()).toBe(60);
    expect(playout.clear()).toEqual({ playedMs: 45, discardedMs: 15 + 40 });
    expect(playout.leadMs()).toBe(0);
    expect(playout.positionMs()).toBe(45);
    listener.clear();
    pass(500);
    expect(playout.playedMs()).toBe(45);
    write();
    pass(5);
    expect(playout.playedMs()).toBe(50);
    expect(listener.heard).toEqual([0, 1, 2, 5]);
  });

  test('takes nothing back twice', () => {
    const { playout, write } = setUp();
    write(2);
    expect(playout.clear()).toEqual({ playedMs: 0, discardedMs: 40 });
    expect(playout.clear()).toEqual({ playedMs: 0, discardedMs: 0 });
  });

  test('settles what waits before a mark, even on a full line', () => {
    const { playout, listener, write } = setUp();
    write(3);
    listener.writable = false;
    write(2);
    playout.settle();
    expect(listener.heard).toEqual([0, 1, 2, 3, 4]);
    expect(playout.positionMs()).toBe(100);
    playout.settle();
    expect(listener.heard).toHaveLength(5);
  });

  test('keeps the lead within its limit when marks stand between bursts', () => {
    const { playout, write } = setUp();
    for (let i = 0; i < 10; i++) {
      write(6);
      playout.settle();
      expect(playout.leadMs()).toBeLessThanOrEqual(120);
    }
  });

  test.each([
    ['a gap of up to a frame', 40, 0],
    ['a gap of more than a frame', 41, 1],
    ['a gap just short of a pause', 1_019, 1],
    ['a pause between words', 1_020, 0],
  ])('after %s counts the right underruns', (_, ms, underruns) => {
    const { playout, write, pass } = setUp();
    write();
    pass(ms);
    write();
    expect(playout.underruns).toBe(underruns);
  });

  test('takes silence that was asked for by clear for no underrun', () => {
    const { playout, write, pass } = setUp();
    write(3);
    pass(10);
    playout.clear();
    pass(300);
    write();
    expect(playout.underruns).toBe(0);
  });

  test('does nothing once it is closed', async () => {
    const { playout, listener, write } = setUp();
    write(5);
    playout.close();
    write(5);
    playout.flush();
    playout.settle();
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2]);
  });

  test('works with the smallest limit', async () => {
    const { playout, listener, write, pass } = setUp(20);
    for (let i = 0; i < 10; i++) {
      write();
      await turnEnd();
      expect(playout.leadMs()).toBe(20);
      pass(FRAME_MS);
    }
    expect(listener.heard).toHaveLength(10);
  });

  test('property: loses count of nothing, whatever comes', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('write'), n: fc.integer({ min: 1, max: 30 }) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('pass'), n: fc.integer({ min: 0, max: 400 }) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('turn'), n: fc.constant(0) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('line'), n: fc.integer({ min: 0, max: 1 }) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('clear'), n: fc.constant(0) }) },
    );
    const limits = fc.integer({ min: 20, max: 500 });
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 60 }), (limitMs, steps) => {
        const { playout, listener, write, pass, written } = setUp(limitMs);
        let takenBack = 0;
        const dropped = () => playout.droppedLead + playout.droppedBackpressure;
        const waiting = () => written() - listener.heard.length - dropped() - takenBack;
        for (const { do: what, n } of steps) {
          if (what === 'write') write(n);
          if (what === 'pass') pass(n);
          if (what === 'turn') playout.turnEnded();
          if (what === 'line') {
            listener.writable = n === 1;
            if (listener.writable) playout.flush();
          }
          if (what === 'clear') {
            const waited = waiting();
            const unheard = listener.bufferedMs;
            listener.clear();
            expect(playout.clear()).toEqual({
              playedMs: listener.playedMs,
              discardedMs: unheard + waited * FRAME_MS,
            });
            takenBack += waited;
          }
          const sentMs = listener.heard.length * FRAME_MS;
          expect(playout.leadMs()).toBe(listener.bufferedMs);
          expect(playout.playedMs()).toBe(listener.playedMs);
          expect(sentMs - playout.playedMs() - listener.discardedMs).toBe(playout.leadMs());
          expect(playout.positionMs()).toBe(sentMs - listener.discardedMs);
          expect(playout.leadMs()).toBeLessThanOrEqual(limitMs);
          expect(waiting()).toBeGreaterThanOrEqual(0);
          expect(waiting()).toBeLessThanOrEqual(Math.floor(limitMs / FRAME_MS));
        }
        listener.writable = true;
        pass(1_000);
        playout.flush();
        expect(waiting()).toBe(0);
        expect(listener.heard).toEqual([...listener.heard].sort((a, b) => a - b));
      }),
    );
  });
});
