import { describe, expect, it } from 'vitest';
import { Backlog } from '../../src/phone/backlog.js';

const FRAME_MS = 20;

/** A phone that sends audio in messages of 20 ms. */
function phone() {
  const backlog = new Backlog();
  let heardMs = 0;
  let lostMs = 5_000;
  backlog.note(lostMs);
  return {
    backlog,
    stall: (ms: number) => {
      lostMs += ms;
    },
    /** Receives this much at once; returns how much of it is not too old. */
    come: (ms: number) => {
      let wanted = 0;
      for (let at = 0; at < ms; at += FRAME_MS) {
        backlog.note(lostMs);
        heardMs += FRAME_MS;
        if (backlog.isRead || !backlog.isTooOld(FRAME_MS)) wanted += FRAME_MS;
      }
      return wanted;
    },
    tick: () => backlog.tick(lostMs, heardMs),
  };
}

describe('the backlog of a stall', () => {
  it('is too old except for the newest part, and has been read once audio arrives at the pace of speech', () => {
    const { backlog, stall, come, tick } = phone();
    expect(come(3_000)).toBe(3_000);
    for (let i = 0; i < 3; i++) {
      stall(33_000);
      // Timers may fire before sockets.
      tick();
      expect(backlog.isRead).toBe(false);
      let wanted = come(20_000);
      tick();
      wanted += come(13_000);
      tick();
      expect(wanted).toBe(1_000);
      for (let ticks = 0; ticks < 9; ticks++) {
        come(FRAME_MS);
        tick();
      }
      expect(backlog.isRead).toBe(false);
      come(FRAME_MS);
      tick();
      expect(backlog.isRead).toBe(true);
      expect(come(3_000)).toBe(3_000);
      tick();
    }
  });

  it('counts as read when the phone discarded the rest: audio at the pace of speech is current', () => {
    const { stall, come, tick } = phone();
    stall(120_000);
    expect(come(20_000)).toBe(0);
    tick();
    for (let i = 0; i < 2; i++) {
      come(FRAME_MS);
      tick();
    }
    expect(come(1_000)).toBe(1_000);
  });

  it('is played when it is short', () => {
    const { stall, come } = phone();
    stall(1_000);
    expect(come(1_000)).toBe(1_000);
  });
});
