import { expect, it } from 'vitest';
import { agentLevel, phoneLevel } from '../support/stream-call.js';
import { audioPasses, realStream } from '../support/stream-real.js';
import { sleep } from '../support/time.js';

const { talk } = realStream();

/** What is sent through the media server is lost, or late by up to so much. */
const NETWORKS = [
  ['a good network', {}, 0.9],
  ['1 % of loss', { loss: 0.01 }, 0.9],
  ['5 % of loss', { loss: 0.05 }, 0.85],
  ['20 % of loss', { loss: 0.2 }, 0.7],
  ['50 ms of jitter', { jitterMs: 50 }, 0.8],
] as const;
const LOOKS = 25;
const ROUNDS = 4;

/** Share of half seconds in which a tone is heard within 3 dB of what was said. */
async function shareHeard(levels: readonly (() => number)[]): Promise<number[]> {
  const heard = levels.map(() => 0);
  for (let look = 0; look < LOOKS; look++) {
    await sleep(100);
    for (const [i, level] of levels.entries()) if (Math.abs(level()) < 3) heard[i] = (heard[i] as number) + 1;
  }
  return heard.map((count) => count / LOOKS);
}

it('phone and agent hear each other over bad networks', { timeout: 180_000 }, async () => {
  const { double, caller, other } = await talk();
  for (const [name, network, least] of NETWORKS) {
    double.impair(network);
    await audioPasses(double, 150);
    let shares: number[] = [];
    // A round in which the machine was busy says nothing of the network.
    for (let round = 0; round < ROUNDS && !(Math.min(...shares, 1) >= least && shares.length > 0); round++) {
      shares = await shareHeard([() => phoneLevel(caller, 1_700), () => agentLevel(other, 1_000)]);
      if (process.env.TEST_LOG) console.log(name, shares);
    }
    expect(Math.min(...shares), `${name}: phone and agent heard ${shares}`).toBeGreaterThanOrEqual(least);
  }
});
