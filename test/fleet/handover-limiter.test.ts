import { beforeEach, describe, expect, it } from 'vitest';
import { HandoverLimiter } from '../../src/fleet/handover-limiter.js';
import { VirtualClock } from '../support/virtual-clock.js';

const PATIENCE_MS = 2_000;

let clock: VirtualClock;
beforeEach(() => {
  clock = new VirtualClock();
});

/** A hundred calls leave through a limiter; each takes this long. */
function leave(tookMs: number, least?: number) {
  const window = new HandoverLimiter(PATIENCE_MS, clock);
  let under = 0;
  let gone = 0;
  const done = (async () => {
    for (let i = 0; i < 100; i++) {
      await window.enter(`call-${i}`, least);
      under += 1;
      clock.after(tookMs, () => {
        under -= 1;
        gone += 1;
        window.callSettled(`call-${i}`);
      });
    }
    await window.empty();
  })();
  return {
    window,
    done,
    get under() {
      return under;
    },
    get gone() {
      return gone;
    },
  };
}

describe('the handover limiter', () => {
  it('starts with two at a time and goes up to sixteen if handovers are fast', async () => {
    const leaving = leave(100);
    await clock.pass(50);
    expect(leaving.under).toBe(2);
    await clock.pass(100);
    expect(leaving.under).toBe(4);
    await clock.pass(400);
    expect(leaving.under).toBe(16);
    await clock.pass(1_000);
    await leaving.done;
    expect(leaving.gone).toBe(100);
  });

  it('goes down to one at a time if they are slow, or to the required minimum', async () => {
    const slow = leave(1_000);
    const pressed = leave(1_000, 5);
    await clock.pass(3_500);
    expect([slow.under, pressed.under]).toEqual([1, 5]);
  });

  it('stays as it is if handovers take the expected time', async () => {
    const leaving = leave(400);
    await clock.pass(4_100);
    expect([leaving.under, leaving.gone]).toEqual([2, 20]);
  });

  it('waits for no call longer than its timeout', async () => {
    const leaving = leave(60_000);
    await clock.pass(PATIENCE_MS * 3 + 10);
    // Two, then one after another.
    expect(leaving.under).toBeGreaterThanOrEqual(4);
    expect(leaving.gone).toBe(0);
  });

  it('lets everybody leave once it is open', async () => {
    const leaving = leave(60_000);
    await clock.pass(10);
    leaving.window.open();
    await leaving.window.opened;
    await leaving.done;
    expect(leaving.under).toBe(100);
  });
});
