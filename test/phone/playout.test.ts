import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { FRAME_MS, FRAME_SAMPLES } from '../../src/media/frame.js';
import { FrameRing } from '../../src/media/frame-ring.js';
import { Playout, type PlayoutLine } from '../../src/phone/playout.js';
import { NO_INGRESS_TIME } from '../../src/telemetry/ingress-time.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** Loud enough not to be a pause. */
const LOUD = 1_000;

/** The far end: it plays its buffer at 1× and records each frame's number. */
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
    this.heard.push((frame[0] as number) - LOUD);
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
  const playout = new Playout(listener, { limitMs }, clock);
  return {
    listener,
    playout,
    written: () => written,
    /** Writes frames numbered from 0. */
    write(count = 1) {
      for (let i = 0; i < count; i++)
        playout.write(new Int16Array(FRAME_SAMPLES).fill(LOUD + written++), NO_INGRESS_TIME);
    },
    pass(ms: number) {
      clock.advance(ms);
      listener.play(ms);
    },
  };
}

const turnEnd = () => new Promise((resolve) => setImmediate(resolve));

describe('the playout', () => {
  test('passes frames at once below half the limit', async () => {
    const { playout, listener, write } = setUp();
    write();
    await turnEnd();
    write(2);
    expect(listener.heard).toEqual([0, 1, 2]);
    write();
    expect(listener.heard).toHaveLength(3);
    expect(playout.leadMs()).toBe(60);
  });

  test('never sends what another queue holds in the memory that it gave back', async () => {
    // A queue as long as after a stall: that of a usual one is kept for a second.
    const { playout, listener, write } = setUp(400);
    const other = new Listener();
    other.writable = false;
    const neighbour = new Playout(other, { limitMs: 400 }, new VirtualClock());
    const { write: hear } = listener;
    // A command within a frame's delivery sends the rest, and the neighbour gets the free memory.
    listener.write = function (frame: Int16Array) {
      hear.call(this, frame);
      if (this.heard.length !== 1) return;
      playout.flush();
      neighbour.write(new Int16Array(FRAME_SAMPLES).fill(LOUD + 99), NO_INGRESS_TIME);
    };
    write(3);
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2]);
    expect(neighbour.waitingMs).toBe(FRAME_MS);
  });

  test('keeps the memory of its queue while frames wait now and then, and for a second afterwards', async () => {
    const { playout, write, pass } = setUp();
    const borrowed = vi.spyOn(FrameRing, 'borrow');
    const givenBack = vi.spyOn(FrameRing, 'giveBack');
    for (let i = 0; i < 200; i++) {
      // A burst every half second.
      write(i % 25 === 0 ? 3 : 1);
      await turnEnd();
      pass(FRAME_MS);
      playout.tick();
    }
    expect([borrowed.mock.calls.length, givenBack.mock.calls.length]).toEqual([1, 0]);
    for (let ms = 0; ms <= 1_000; ms += FRAME_MS) playout.tick();
    expect(givenBack).toHaveBeenCalledOnce();
  });

  test('loses nothing that waits for the end of the turn when the measured lead increases', async () => {
    const { playout, listener, write } = setUp();
    write();
    await turnEnd();
    write(3);
    expect(listener.heard).toHaveLength(3);
    playout.correct(playout.leadMs() + 2_000, 0);
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2, 3]);
    expect(playout.droppedLead).toBe(0);
  });

  test('waits for the end of the turn after a gap, because a burst may follow', async () => {
    const { listener, write, pass } = setUp();
    write();
    await turnEnd();
    pass(80);
    write();
    expect(listener.heard).toEqual([0, 1]);
    pass(81);
    write(50);
    expect(listener.heard).toEqual([0, 1]);
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 46, 47, 48, 49, 50, 51]);
  });

  test('passes a live talker through, frame for frame', async () => {
    const { playout, listener, write, pass } = setUp();
    write();
    await turnEnd();
    pass(FRAME_MS);
    for (let i = 1; i < 500; i++) {
      write();
      expect(listener.heard).toHaveLength(i + 1);
      pass(FRAME_MS);
    }
    expect(playout.droppedLead + playout.droppedBackpressure + playout.underruns).toBe(0);
  });

  test('sends waiting frames at the end of the turn, in order', async () => {
    const { listener, write } = setUp();
    write(6);
    await turnEnd();
    expect(listener.heard).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('keeps the newest frames of a burst within the limit and counts the rest', async () => {
    const { playout, listener, write } = setUp();
    write(25);
    await turnEnd();
    expect(listener.heard).toEqual([19, 20, 21, 22, 23, 24]);
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

  test('never exceeds the maximum lead, burst after burst', async () => {
    const { playout, write, pass } = setUp(200);
    for (let i = 0; i < 20; i++) {
      write(25);
      await turnEnd();
      expect(playout.leadMs()).toBeLessThanOrEqual(200);
      pass(30);
    }
    expect(playout.droppedLead).toBeGreaterThan(300);
  });

  test('keeps the newest frames while the line is full, drops and counts the oldest, and sends on drain', () => {
    const { playout, listener, write, pass } = setUp();
    listener.writable = false;
    for (let i = 0; i < 50; i++) {
      write();
      pass(FRAME_MS);
    }
    expect(listener.heard).toEqual([]);
    expect(playout.droppedBackpressure).toBe(38);
    playout.flush();
    expect(listener.heard).toEqual([]);
    listener.writable = true;
    playout.flush();
    expect(listener.heard).toEqual([44, 45, 46, 47, 48, 49]);
    expect(playout.droppedLead).toBe(6);
  });

  test('schedules nothing while the line is full', async () => {
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
      await turnEnd();
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

  test('returns what was heard and what was discarded', async () => {
    const { playout, listener, write, pass } = setUp();
    write();
    await turnEnd();
    write(4);
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
    await turnEnd();
    pass(5);
    expect(playout.playedMs()).toBe(50);
    expect(listener.heard).toEqual([0, 1, 2, 5]);
  });

  test('discards nothing twice', async () => {
    const { playout, write } = setUp();
    write(2);
    await turnEnd();
    expect(playout.clear()).toEqual({ playedMs: 0, discardedMs: 40 });
    expect(playout.clear()).toEqual({ playedMs: 0, discardedMs: 0 });
  });

  test('sends waiting audio before a mark, even on a full line', () => {
    const { playout, listener, write } = setUp();
    listener.writable = false;
    write(5);
    let heardBefore: number[] = [];
    playout.after(() => {
      heardBefore = [...listener.heard];
    });
    expect(heardBefore).toEqual([0, 1, 2, 3, 4]);
    expect(playout.positionMs()).toBe(100);
  });

  test('keeps the lead within its limit when marks separate bursts', () => {
    const { playout, write } = setUp();
    for (let i = 0; i < 10; i++) {
      write(6);
      playout.after(() => {});
      expect(playout.leadMs()).toBeLessThanOrEqual(120);
    }
  });

  test.each([
    ['a gap of up to a frame', 40, 0],
    ['a gap of more than a frame', 41, 1],
    ['a gap just short of a pause', 1_019, 1],
    ['a pause between words', 1_020, 0],
  ])('counts underruns correctly after %s', async (_, ms, underruns) => {
    const { playout, write, pass } = setUp();
    write();
    await turnEnd();
    pass(ms);
    write();
    await turnEnd();
    expect(playout.underruns).toBe(underruns);
  });

  test('does not count the silence after a clear as an underrun', async () => {
    const { playout, write, pass } = setUp();
    write(3);
    await turnEnd();
    pass(10);
    playout.clear();
    pass(300);
    write();
    await turnEnd();
    expect(playout.underruns).toBe(0);
  });

  test('does nothing once it is closed', async () => {
    const { playout, listener, write } = setUp();
    write(3);
    await turnEnd();
    write(2);
    playout.close();
    write(5);
    playout.flush();
    playout.after(() => {});
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

  test('property: accounts for every frame, whatever arrives', () => {
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
          expect(waiting()).toBeLessThanOrEqual(Math.floor((2 * limitMs) / FRAME_MS));
        }
        listener.writable = true;
        pass(1_000);
        playout.flush();
        expect(waiting()).toBe(0);
        expect(listener.heard).toEqual([...listener.heard].sort((a, b) => a - b));
      }),
    );
  });

  describe('catching up', () => {
    /**
     * A far end that counts milliseconds of talk and of pauses, and reports the delay of the newest audio.
     */
    class Caller implements PlayoutLine {
      hasListener = true;
      talkMs = 0;
      pauseMs = 0;
      readonly values: number[] = [];
      isWritable(): boolean {
        return this.hasListener;
      }
      write(frame: Int16Array): void {
        this.values.push(frame[0] as number);
        for (const sample of frame) {
          if (sample === 0) this.pauseMs += 1 / 48;
          else this.talkMs += 1 / 48;
        }
      }
    }

    function live(keepMs?: number) {
      const caller = new Caller();
      const clock = new VirtualClock();
      const options = keepMs === undefined ? { limitMs: 120 } : { limitMs: 120, keepMs };
      const playout = new Playout(caller, options, clock);
      let phase = 0;
      const frameOf = (isTalk: boolean) =>
        new Int16Array(FRAME_SAMPLES).map(() => {
          phase += (2 * Math.PI * 150) / 48_000;
          return isTalk ? Math.round(8_000 * Math.sin(phase)) || 1 : 0;
        });
      /** Plays milliseconds of talk or of a pause in real time. */
      const hear = async (ms: number, isTalk: boolean) => {
        for (let at = 0; at < ms; at += FRAME_MS) {
          clock.advance(FRAME_MS);
          playout.tick();
          playout.write(frameOf(isTalk), 1);
          await turnEnd();
        }
      };
      return { caller, clock, playout, frameOf, hear };
    }

    test('removes a lasting lead during pauses, without losing a word', async () => {
      const { caller, playout, frameOf, hear } = live();
      for (let i = 0; i < 6; i++) playout.write(frameOf(true), 1);
      await turnEnd();
      expect(playout.leadMs()).toBe(120);
      await hear(260, true);
      expect(playout.leadMs()).toBe(120);
      await hear(400, false);
      expect(playout.leadMs() - FRAME_MS).toBeLessThanOrEqual(30);
      expect(caller.talkMs).toBeCloseTo(120 + 260, 0);
      expect(playout.silenceDroppedMs).toBeGreaterThanOrEqual(80);
      expect(playout.shortenedMs).toBe(0);
    });

    test('speeds up words by at most 15 % when there are no pauses', async () => {
      const { caller, playout, frameOf, hear } = live();
      for (let i = 0; i < 6; i++) playout.write(frameOf(true), 1);
      await turnEnd();
      await hear(2_000, true);
      expect(playout.leadMs() - FRAME_MS).toBeLessThanOrEqual(30);
      expect(playout.droppedLead + playout.silenceDroppedMs).toBe(0);
      const heardMs = caller.talkMs;
      // Up to one frame is still incomplete.
      expect(2_120 - heardMs - playout.shortenedMs).toBeGreaterThanOrEqual(-1);
      expect(2_120 - heardMs - playout.shortenedMs).toBeLessThan(FRAME_MS);
      expect(playout.shortenedMs).toBeLessThan(0.15 * 2_000);
    });

    test('passes frames at once again when a pause follows words that were shortened', async () => {
      const { caller, clock, playout, frameOf, hear } = live();
      for (let i = 0; i < 6; i++) playout.write(frameOf(true), 1);
      await turnEnd();
      await hear(2_000, true);
      expect(playout.shortenedMs).toBeGreaterThan(0);
      await hear(100, false);
      clock.advance(FRAME_MS);
      const before = caller.talkMs;
      playout.write(frameOf(true), 1);
      expect(caller.talkMs - before).toBeCloseTo(FRAME_MS, 5);
    });

    test.each([
      ['has just grown to 40 ms', 40, 0],
      ['stays at 25 ms, amid words', 25, 2_000],
      ['stays at 40 ms, amid words', 40, 2_000],
    ])('passes frames at once while the lead %s', async (_, leadMs, lastsMs) => {
      const { caller, clock, playout, frameOf, hear } = live();
      await hear(200, true);
      playout.correct(clock.now() + leadMs + FRAME_MS, 0);
      await hear(lastsMs, true);
      clock.advance(FRAME_MS);
      const before = caller.talkMs;
      playout.write(frameOf(true), 1);
      expect(caller.talkMs - before).toBeCloseTo(FRAME_MS, 5);
      expect(playout.shortenedMs).toBe(0);
      // Of a pause, two frames are kept.
      await hear(200, false);
      expect(playout.silenceDroppedMs > 0).toBe(lastsMs > 0);
    });

    test('leaves bursts alone that are heard in their own time', async () => {
      const { playout, clock, frameOf } = live();
      for (let burst = 0; burst < 30; burst++) {
        for (let i = 0; i < 5; i++) playout.write(frameOf(burst % 3 > 0), 1);
        await turnEnd();
        clock.advance(100);
      }
      expect(playout.silenceDroppedMs + playout.shortenedMs + playout.droppedLead).toBe(0);
    });

    test('drops the silence of a burst first', async () => {
      const { caller, playout, frameOf } = live();
      for (let i = 0; i < 12; i++) playout.write(frameOf(i < 2 || i > 9), 1);
      await turnEnd();
      expect(playout.silenceDroppedMs).toBe(6 * FRAME_MS);
      expect(playout.droppedLead).toBe(0);
      expect(caller.talkMs).toBeCloseTo(80, 5);
      expect(caller.pauseMs).toBeCloseTo(40, 5);
    });

    test('treats a measured lead like a calculated one', async () => {
      const { playout, clock, hear } = live();
      await hear(1_000, true);
      playout.correct(clock.now() + 110, 2);
      expect(playout.leadMs()).toBe(110);
      await hear(1_500, true);
      expect(playout.leadMs() - FRAME_MS).toBeLessThanOrEqual(30);
    });

    test('never assumes a smaller queue than what was pre-sent', async () => {
      const { playout, clock, frameOf } = live();
      for (let i = 0; i < 3; i++) playout.write(frameOf(true), 1);
      await turnEnd();
      playout.correct(clock.now() - 50, 2);
      expect(playout.leadMs()).toBe(60);
    });

    test('lets a late listener hear every buffered word and catch up soon', async () => {
      const { caller, playout, hear } = live(3_000);
      caller.hasListener = false;
      await hear(1_000, false);
      await hear(800, true);
      await hear(600, false);
      await hear(700, true);
      expect(caller.values).toEqual([]);
      caller.hasListener = true;
      playout.flush();
      for (let i = 0; i < 5; i++) {
        await hear(400, true);
        await hear(400, false);
      }
      expect(playout.leadMs() + playout.waitingMs).toBeLessThanOrEqual(60);
      expect(playout.droppedEarly + playout.droppedLead).toBe(0);
      // All words, minus the time saved by speeding up.
      expect(caller.talkMs + playout.shortenedMs).toBeCloseTo(800 + 700 + 2_000, -2);
      expect(playout.shortenedMs).toBeLessThan(0.15 * (800 + 700 + 2_000));
    });

    test('keeps the newest audio while on hold, with a mark after it', async () => {
      const { caller, playout, hear } = live();
      await hear(200, true);
      playout.hold();
      const before = caller.talkMs;
      await hear(500, true);
      let isPassed = false;
      playout.after(() => {
        isPassed = true;
      });
      await hear(100, true);
      expect(caller.talkMs).toBe(before);
      expect(isPassed).toBe(false);
      playout.release(true);
      expect(isPassed).toBe(true);
      expect(caller.talkMs - before).toBeGreaterThan(0);
      await hear(2_000, true);
      expect(playout.waitingMs).toBeLessThanOrEqual(20);
      // Of 600 ms, the newest 120 and the audio since.
      expect(playout.droppedLead).toBe(24);
    });

    test('does not delay a mark for discarded audio', async () => {
      const { playout, hear } = live();
      await hear(200, true);
      playout.hold();
      await hear(60, true);
      let isPassed = false;
      playout.after(() => {
        isPassed = true;
      });
      playout.clear();
      expect(isPassed).toBe(true);
    });

    test('fills a gap by the clock, and does not add what arrives later on top', async () => {
      const { caller, playout, clock, frameOf, hear } = live();
      await hear(200, true);
      const silence = new Int16Array(FRAME_SAMPLES);
      for (let i = 0; i < 50; i++) {
        clock.advance(FRAME_MS);
        playout.tick();
        if (playout.hasGap(clock.now())) playout.fill(silence);
      }
      expect(caller.pauseMs).toBeGreaterThanOrEqual(900);
      expect(caller.pauseMs).toBeLessThanOrEqual(1_000);
      const { talkMs } = caller;
      for (let i = 0; i < 50; i++) playout.write(frameOf(true), 1);
      await turnEnd();
      expect(caller.talkMs - talkMs).toBeCloseTo(120, 5);
      expect(playout.droppedLead).toBe(44);
    });
  });
});
