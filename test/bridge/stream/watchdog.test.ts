import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Measured } from '../../../src/bridge/stream/transport.js';
import { MediaWatchdog } from '../../../src/bridge/stream/watchdog.js';
import { VirtualClock } from '../../support/virtual-clock.js';

const PATIENCE_MS = 3_000;

const clock = new VirtualClock();

/** A peer connection of which only the figures matter. */
class Connection implements Measured {
  bytesReceived = 0;
  responsesReceived = 0;
  requestsReceived = 0;
  isBroken = false;
  /** Whether there are candidates on both sides. */
  hasPath = true;
  asked = 0;

  async getStats(): Promise<unknown> {
    this.asked += 1;
    if (this.isBroken) throw new Error('InvalidStateError: the connection is closed');
    const { bytesReceived, responsesReceived, requestsReceived } = this;
    // Besides what counts, as much as any report has of what does not.
    const report = new Map<string, object>([
      ['t', { type: 'transport', dtlsState: 'connected', bytesReceived: Math.random() }],
      ['o', { type: 'outbound-rtp', bytesSent: Math.random() }],
    ]);
    if (!this.hasPath) return report;
    return report
      .set('p1', { type: 'candidate-pair', bytesReceived, responsesReceived, requestsReceived })
      .set('p2', { type: 'candidate-pair', requestsSent: Math.random(), bytesSent: Math.random() });
  }
}

/** One direction of media: its connection, and whether it carries speech. */
class Way {
  constructor(
    readonly name: string,
    public at: Connection | undefined = new Connection(),
  ) {}
  isTalking = true;
  connection = () => this.at;
  isDue = () => this.isTalking;

  packet(): void {
    if (this.at !== undefined) this.at.bytesReceived += 80;
  }

  check(): void {
    if (this.at !== undefined) this.at.responsesReceived += 1;
  }
}

let out: Way;
let back: Way;
let deaths: string[];
let diedAt: number;
let watchdog: MediaWatchdog;

beforeEach(() => {
  out = new Way('out');
  back = new Way('back');
  deaths = [];
  watchdog = new MediaWatchdog(
    [out, back],
    PATIENCE_MS,
    (what) => {
      deaths.push(what);
      diedAt = clock.now();
    },
    clock,
  );
});

afterEach(() => watchdog.close());

/** Lets time pass, in steps of which each may bring something. */
async function pass(ms: number, step: () => void = () => {}, stepMs = 100): Promise<void> {
  for (let at = 0; at < ms; at += stepMs) {
    step();
    await clock.pass(stepMs);
  }
}

/** A call that is well. */
const talk = (ms: number) =>
  pass(ms, () => {
    out.packet();
    back.packet();
  });

describe('considers alive', () => {
  it('directions that were silent during a stall of this process', async () => {
    await talk(5_000);
    clock.stall(60_000);
    await clock.pass(PATIENCE_MS - 500);
    expect(deaths).toEqual([]);
    await talk(5_000);
    expect(deaths).toEqual([]);
  });

  it('directions with packets only', async () => {
    await talk(60_000);
    expect(deaths).toEqual([]);
  });

  it('directions without speech, by the answers to connectivity checks, every 2.5 s', async () => {
    out.isTalking = false;
    back.isTalking = false;
    await pass(
      60_000,
      () => {
        out.check();
        back.check();
      },
      2_500,
    );
    expect(deaths).toEqual([]);
  });

  it('one whose peer only sends checks', async () => {
    await pass(
      60_000,
      () => {
        out.packet();
        (back.at as Connection).requestsReceived += 1;
      },
      2_500,
    );
    expect(deaths).toEqual([]);
  });

  it('a direction with speech when three consecutive checks and the reports are lost', async () => {
    await talk(5_000);
    for (let i = 0; i < 10; i++) {
      await pass(3_500, () => back.packet());
      out.packet();
    }
    expect(deaths).toEqual([]);
  });

  it('a phone that is muted or hears nobody, when eight consecutive checks are lost', async () => {
    await talk(5_000);
    out.isTalking = false;
    back.isTalking = false;
    for (let i = 0; i < 5; i++) {
      await pass(9_500);
      out.check();
      back.check();
    }
    expect(deaths).toEqual([]);
  });

  it('a direction that falls silent alone, as after a participant crashed', async () => {
    await talk(5_000);
    await pass(
      60_000,
      () => {
        out.packet();
        back.check();
      },
      2_500,
    );
    expect(deaths).toEqual([]);
  });

  it('one that was replaced and counts from zero', async () => {
    await talk(1_000);
    for (let i = 0; i < 10; i++) {
      await pass(2_500);
      out.at = new Connection();
      back.at = new Connection();
      back.at.bytesReceived = 10 - i;
    }
    expect(deaths).toEqual([]);
  });

  it.each(['out', 'back'])(
    'a client that has no connection for %s, or has one that leads nowhere',
    async (name) => {
      const [missing, other] = name === 'out' ? [out, back] : [back, out];
      missing.at = undefined;
      await pass(30_000, () => other.packet());
      missing.at = new Connection();
      missing.at.hasPath = false;
      await pass(30_000, () => other.packet());
      expect(deaths).toEqual([]);
    },
  );

  it('a client without a connection at the moment', async () => {
    out.at = undefined;
    back.at = undefined;
    await pass(60_000);
    expect(deaths).toEqual([]);
  });

  it('one whose statistics are unavailable for a moment, and retries', async () => {
    await talk(1_000);
    const broken = out.at as Connection;
    broken.isBroken = true;
    const { asked } = broken;
    await pass(PATIENCE_MS - 500, () => back.packet());
    expect(broken.asked).toBeGreaterThan(asked + 1);
    broken.isBroken = false;
    await talk(60_000);
    expect(deaths).toEqual([]);
  });
});

describe('considers dead', () => {
  it.each(['out', 'back'])('%s alone, while the other goes on', async (name) => {
    const other = name === 'out' ? back : out;
    await talk(5_000);
    const begun = clock.now();
    await pass(20_000, () => other.packet());
    expect(deaths).toEqual([expect.stringContaining(` of ${name} for `)]);
    expect(diedAt - begun).toBeGreaterThanOrEqual(PATIENCE_MS);
    // Joining takes the rest of the six seconds.
    expect(diedAt - begun).toBeLessThanOrEqual(4_600);
  });

  it('both directions, sooner, and reports it once', async () => {
    await talk(5_000);
    const begun = clock.now();
    await pass(PATIENCE_MS - 600);
    expect(deaths, 'not before its time').toEqual([]);
    await pass(60_000);
    expect(deaths).toEqual([expect.stringContaining('out and back')]);
    expect(diedAt - begun).toBeLessThanOrEqual(PATIENCE_MS + 600);
  });

  it('directions that never carried anything', async () => {
    await pass(PATIENCE_MS + 2_000);
    expect(deaths).toHaveLength(1);
  });

  it('a direction without speech, eventually', async () => {
    await talk(1_000);
    back.isTalking = false;
    await pass(30_000, () => out.packet());
    expect(deaths).toEqual([expect.stringContaining(' of back for ')]);
  });

  it('the remaining direction when one is gone and the other silent', async () => {
    await talk(1_000);
    back.at = undefined;
    await pass(PATIENCE_MS + 2_000);
    expect(deaths).toEqual([expect.stringContaining(' of out for ')]);
  });

  it('directions that are still dead after a failed report', async () => {
    const broken = out.at as Connection;
    broken.isBroken = true;
    await pass(PATIENCE_MS - 1_000, () => back.packet());
    broken.isBroken = false;
    await pass(PATIENCE_MS + 2_000, () => back.packet());
    expect(deaths).toHaveLength(1);
  });
});

it('requests one report at a time', async () => {
  let open = 0;
  let most = 0;
  const slow: Measured = {
    async getStats() {
      most = Math.max(most, ++open);
      await clock.sleep(2_500);
      open -= 1;
      return new Map();
    },
  };
  const other = new MediaWatchdog(
    [{ name: 'slow', connection: () => slow, isDue: () => true }],
    PATIENCE_MS,
    () => {},
    clock,
  );
  await pass(10_000);
  other.close();
  expect(most).toBe(1);
});

it('does nothing after it is closed', async () => {
  await pass(PATIENCE_MS - 1_000);
  watchdog.close();
  const { asked } = out.at as Connection;
  await pass(60_000);
  expect(deaths).toEqual([]);
  expect((out.at as Connection).asked).toBe(asked);
});
