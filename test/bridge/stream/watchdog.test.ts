import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Measured } from '../../../src/bridge/stream/transport.js';
import { Watchdog } from '../../../src/bridge/stream/watchdog.js';
import { VirtualClock } from '../../support/virtual-clock.js';

const PATIENCE_MS = 3_000;

const clock = new VirtualClock();

/** A peer connection of which only the figures matter. */
class Connection implements Measured {
  bytesReceived = 0;
  responsesReceived = 0;
  isBroken = false;
  asked = 0;

  async getStats(): Promise<unknown> {
    this.asked += 1;
    if (this.isBroken) throw new Error('InvalidStateError: the connection is closed');
    const { bytesReceived, responsesReceived } = this;
    // Besides what counts, as much as any report has of what does not.
    return new Map<string, object>([
      ['t', { type: 'transport', dtlsState: 'connected', bytesReceived: Math.random() }],
      ['p1', { type: 'candidate-pair', bytesReceived, responsesReceived }],
      ['p2', { type: 'candidate-pair' }],
      ['o', { type: 'outbound-rtp', bytesSent: Math.random() }],
    ]);
  }
}

let connections: Connection[];
let deaths: number;
let watchdog: Watchdog;

beforeEach(() => {
  connections = [new Connection(), new Connection()];
  deaths = 0;
  watchdog = new Watchdog(
    () => connections,
    PATIENCE_MS,
    () => {
      deaths += 1;
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

const [PUBLISHER, SUBSCRIBER] = [0, 1] as const;
const at = (index: 0 | 1) => connections[index] as Connection;

describe('takes for alive', () => {
  it('a connection with packets only', async () => {
    await pass(60_000, () => {
      at(SUBSCRIBER).bytesReceived += 80;
    });
    expect(deaths).toBe(0);
  });

  it('one with nothing but answers to connectivity checks, every 2.5 s', async () => {
    await pass(
      60_000,
      () => {
        at(PUBLISHER).responsesReceived += 1;
      },
      2_500,
    );
    expect(deaths).toBe(0);
  });

  it('one that was replaced by a new one, which counts from nothing', async () => {
    await pass(1_000, () => {
      at(SUBSCRIBER).bytesReceived += 1_000;
    });
    for (let i = 0; i < 10; i++) {
      await pass(2_500);
      connections = [new Connection(), new Connection()];
      at(SUBSCRIBER).bytesReceived = 10 - i;
    }
    expect(deaths).toBe(0);
  });

  it('a client that has no connection at the moment', async () => {
    connections = [];
    await pass(60_000);
    expect(deaths).toBe(0);
  });

  it('one whose statistics cannot be had for a moment, and looks again', async () => {
    at(PUBLISHER).isBroken = true;
    await pass(PATIENCE_MS - 500);
    expect(at(PUBLISHER).asked).toBeGreaterThan(1);
    at(PUBLISHER).isBroken = false;
    await pass(60_000, () => {
      at(PUBLISHER).responsesReceived += 1;
    });
    expect(deaths).toBe(0);
  });
});

describe('takes for dead', () => {
  it('connections without any sign of life, and says so once', async () => {
    await pass(1_000, () => {
      at(SUBSCRIBER).bytesReceived += 80;
      at(PUBLISHER).responsesReceived += 1;
    });
    await pass(PATIENCE_MS - 600);
    expect(deaths, 'not before its time').toBe(0);
    await pass(2_600);
    expect(deaths).toBe(1);
    await pass(60_000);
    expect(deaths).toBe(1);
  });

  it('those that never lived', async () => {
    await pass(PATIENCE_MS + 2_000);
    expect(deaths).toBe(1);
  });

  it('what is left when one is gone and the other silent', async () => {
    await pass(1_000, () => {
      at(SUBSCRIBER).bytesReceived += 80;
    });
    connections = [at(PUBLISHER)];
    await pass(PATIENCE_MS + 2_000);
    expect(deaths).toBe(1);
  });

  it('those that came back from a broken report as dead as before', async () => {
    at(PUBLISHER).isBroken = true;
    await pass(PATIENCE_MS + 2_000);
    at(PUBLISHER).isBroken = false;
    await pass(PATIENCE_MS + 2_000);
    expect(deaths).toBe(1);
  });
});

it('asks for one report at a time', async () => {
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
  const other = new Watchdog(
    () => [slow],
    PATIENCE_MS,
    () => {},
    clock,
  );
  await pass(10_000);
  other.close();
  expect(most).toBe(1);
});

it('neither looks nor calls once it is closed', async () => {
  await pass(PATIENCE_MS - 1_000);
  watchdog.close();
  const { asked } = at(PUBLISHER);
  await pass(60_000);
  expect(deaths).toBe(0);
  expect(at(PUBLISHER).asked).toBe(asked);
});
