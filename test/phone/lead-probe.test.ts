import { beforeEach, describe, expect, it } from 'vitest';
import { FRAME_MS, FRAME_SAMPLES } from '../../src/media/frame.js';
import { Backlog } from '../../src/phone/backlog.js';
import { LeadProbe } from '../../src/phone/lead-probe.js';
import { Playout } from '../../src/phone/playout.js';
import { VirtualClock } from '../support/virtual-clock.js';

const LOUD = new Int16Array(FRAME_SAMPLES).fill(5_000);
const turnEnd = () => new Promise((resolve) => setImmediate(resolve));

type Sent = { readonly at: number; readonly ms?: number; readonly mark?: string; readonly clear?: true };

/**
 * A phone behind a simulated network: data arrives in order, `downMs` later, and not during a stall; it plays
 * at 1×; marks are echoed when playback reaches them and arrive `upMs` later, also not during a stall.
 */
class Phone {
  downMs = 30;
  upMs = 30;
  hasMarks = true;
  speaks = true;
  heardMs = 0;
  readonly pieceMs = 20;
  clears = 0;
  probes = 0;
  private readonly way: Sent[] = [];
  private readonly queue: ({ ms: number } | { mark: string })[] = [];
  private back: { at: number; name?: string }[] = [];
  downUntil = 0;
  upUntil = 0;
  bufferedMs = 0;
  dryMs = 0;
  private arrivesAt = 0;
  private returnsAt = 0;

  constructor(
    private readonly clock: VirtualClock,
    private readonly onEcho: (name: string) => void,
  ) {}

  takes(sent: Omit<Sent, 'at'>): void {
    this.arrivesAt = Math.max(this.arrivesAt, this.clock.now() + this.downMs);
    this.way.push({ ...sent, at: this.arrivesAt });
  }

  private send(name?: string): void {
    this.returnsAt = Math.max(this.returnsAt, this.clock.now() + this.upMs);
    this.back.push(name === undefined ? { at: this.returnsAt } : { at: this.returnsAt, name });
  }

  /** One millisecond passes. */
  tick(): void {
    const now = this.clock.now();
    while (this.way[0] !== undefined && Math.max(this.way[0].at, this.downUntil) <= now) {
      const { ms, mark, clear } = this.way.shift() as Sent;
      if (ms !== undefined) {
        this.queue.push({ ms });
        this.bufferedMs += ms;
      }
      if (mark !== undefined) this.queue.push({ mark });
      if (clear) {
        const marks = this.queue.splice(0).flatMap((each) => ('mark' in each ? [each.mark] : []));
        this.bufferedMs = 0;
        for (const name of marks) this.send(name);
      }
    }
    this.echo();
    const [first] = this.queue;
    if (first !== undefined && 'ms' in first) {
      first.ms -= 1;
      this.bufferedMs -= 1;
      if (first.ms === 0) this.queue.shift();
    } else this.dryMs += 1;
    this.echo();
    if (this.speaks && now % FRAME_MS === 0) this.send();
    while (this.back[0] !== undefined && Math.max(this.back[0].at, this.upUntil) <= now) {
      const { name } = this.back.shift() as { name?: string };
      if (name === undefined) this.heardMs += FRAME_MS;
      else if (this.hasMarks) this.onEcho(name);
    }
  }

  private echo(): void {
    while (this.queue[0] !== undefined && 'mark' in this.queue[0]) {
      this.send((this.queue.shift() as { mark: string }).mark);
    }
  }
}

let clock: VirtualClock;
let phone: Phone;
let playout: Playout;
let probe: LeadProbe;
let backlog: Backlog;

beforeEach(() => {
  clock = new VirtualClock();
  backlog = new Backlog();
  phone = new Phone(clock, (name) => {
    backlog.note(clock.stalledMs());
    expect(probe.reached(name, clock.now())).toBe(true);
  });
  const line = { hasListener: true, isWritable: () => true, write: () => phone.takes({ ms: FRAME_MS }) };
  playout = new Playout(line, { limitMs: 120 }, clock);
  probe = new LeadProbe(
    {
      sendMark(name) {
        phone.probes += 1;
        phone.takes({ mark: name });
      },
      dropUnheard(unheardMs) {
        phone.clears += 1;
        playout.discardUnheard(unheardMs);
        phone.takes({ clear: true });
      },
      get heardMs() {
        return phone.heardMs;
      },
      pieceMs: phone.pieceMs,
      get isBehind() {
        return !backlog.isRead;
      },
      injectedAt: Number.NEGATIVE_INFINITY,
    },
    playout,
    120,
  );
});

/** Sends audio to the phone. */
async function talk(ms: number, stamp = 1): Promise<void> {
  for (let i = 0; i < ms; i++) {
    if (clock.now() % FRAME_MS === 0) {
      playout.write(LOUD, stamp);
      playout.tick();
      backlog.tick(clock.stalledMs(), phone.heardMs);
      probe.tick(clock.now());
      await turnEnd();
    }
    clock.advance(1);
    phone.tick();
  }
}

describe('the lead probe', () => {
  it('sends one mark a second while audio flows, and none otherwise', async () => {
    await talk(10_000);
    expect(phone.probes).toBeGreaterThanOrEqual(9);
    expect(phone.probes).toBeLessThanOrEqual(11);
    const { probes } = phone;
    for (let i = 0; i < 5_000; i += FRAME_MS) {
      clock.advance(FRAME_MS);
      probe.tick(clock.now());
    }
    expect(phone.probes).toBeLessThanOrEqual(probes + 1);
    expect(phone.clears).toBe(0);
  });

  it('detects the delay left by a stall too short to hold audio back', async () => {
    await talk(3_000);
    phone.downUntil = clock.now() + 90;
    await talk(1_300);
    expect(Math.abs(playout.leadMs() - phone.bufferedMs)).toBeLessThanOrEqual(phone.downMs + FRAME_MS);
    await talk(3_000);
    expect(phone.bufferedMs).toBeLessThanOrEqual(40);
    expect(phone.clears).toBe(0);
  });

  it.each([1_000, 3_000, 10_000])(
    'clears once in a stall of %i ms, and resumes with the newest audio',
    async (ms) => {
      await talk(3_000);
      phone.downUntil = clock.now() + ms;
      await talk(ms);
      expect(playout.isHolding).toBe(true);
      await talk(200);
      expect(playout.isHolding).toBe(false);
      expect(phone.bufferedMs).toBeLessThanOrEqual(140);
      await talk(2_500);
      expect(phone.bufferedMs).toBeLessThanOrEqual(40);
      expect([phone.clears, probe.clears]).toEqual([1, 1]);
    },
  );

  it('mistakes neither a stalled uplink nor a stall of this process for a stalled downlink', async () => {
    await talk(3_000);
    phone.upUntil = clock.now() + 900;
    await talk(3_000);
    clock.advance(2_000);
    await talk(3_000);
    expect([phone.clears, playout.isHolding]).toEqual([0, false]);
  });

  it.each([
    ['and one that sends nothing itself', false],
    ['and one that talks', true],
  ])('measures nothing across a stall of this process, %s', async (_, speaks) => {
    phone.speaks = speaks;
    await talk(3_500);
    for (let i = 0; i < 5; i++) {
      clock.stall(12_000);
      // The echo and everything the phone sent meanwhile are read a piece at a time.
      for (let read = 0; read < 20; read++) {
        phone.heardMs += speaks ? 600 : 0;
        await talk(FRAME_MS);
      }
      await talk(1_010);
      expect([phone.clears, playout.isHolding]).toEqual([0, false]);
      expect(Math.abs(playout.leadMs() - phone.bufferedMs)).toBeLessThanOrEqual(phone.downMs + FRAME_MS);
    }
    expect(phone.probes).toBeGreaterThan(8);
  });

  it('attributes a late first echo to a stall, not to the network', async () => {
    phone.downUntil = clock.now() + 2_000;
    await talk(2_500);
    expect(phone.clears).toBe(1);
    await talk(1_000);
    expect(phone.bufferedMs).toBeLessThanOrEqual(40);
    await talk(5_000);
    expect([phone.clears, playout.isHolding]).toEqual([1, false]);
  });

  it('accepts a long round trip from the beginning, after one doubt', async () => {
    [phone.downMs, phone.upMs] = [300, 300];
    await talk(10_000);
    expect(phone.clears).toBe(1);
    const { dryMs } = phone;
    await talk(10_000);
    expect(phone.dryMs - dryMs).toBeLessThan(100);
    expect([phone.clears, playout.isHolding]).toEqual([1, false]);
  });

  it('probes again when an echo is lost, and does not stop paced audio', async () => {
    const { NO_INGRESS_TIME } = await import('../../src/telemetry/ingress-time.js');
    await talk(3_000, NO_INGRESS_TIME);
    phone.hasMarks = false;
    await talk(700, NO_INGRESS_TIME);
    phone.hasMarks = true;
    await talk(1_500, NO_INGRESS_TIME);
    expect(playout.isHolding).toBe(false);
    expect(phone.clears).toBe(0);
  });

  it('holds paced audio back at its sender, and discards none of it', async () => {
    const { NO_INGRESS_TIME } = await import('../../src/telemetry/ingress-time.js');
    await talk(3_000, NO_INGRESS_TIME);
    phone.downUntil = clock.now() + 3_000;
    await talk(2_000, NO_INGRESS_TIME);
    expect(playout.isHolding).toBe(true);
    await talk(3_000, NO_INGRESS_TIME);
    expect([phone.clears, playout.isHolding]).toEqual([0, false]);
  });

  it('accepts a longer round trip, without underruns', async () => {
    await talk(5_000);
    phone.downMs += 60;
    phone.upMs += 60;
    await talk(60_000);
    const before = phone.dryMs;
    await talk(10_000);
    expect(phone.dryMs - before).toBeLessThan(100);
    expect(phone.clears).toBe(0);
  });

  it('gives up on a carrier without marks, and continues by the clock', async () => {
    phone.hasMarks = false;
    await talk(30_000);
    expect(phone.probes).toBe(1);
    expect([phone.clears, playout.isHolding]).toEqual([0, false]);
  });

  it('releases held audio when echoes stop for good', async () => {
    await talk(5_000);
    phone.hasMarks = false;
    await talk(30_000);
    expect(playout.isHolding).toBe(false);
    const { dryMs } = phone;
    await talk(1_000);
    expect(phone.dryMs - dryMs).toBeLessThan(100);
  });

  it('works for a phone that sends nothing', async () => {
    phone.speaks = false;
    await talk(5_000);
    phone.downUntil = clock.now() + 3_000;
    await talk(3_000);
    expect(playout.isHolding).toBe(true);
    await talk(3_000);
    expect(playout.isHolding).toBe(false);
    expect(phone.bufferedMs).toBeLessThanOrEqual(40);
  });
});
