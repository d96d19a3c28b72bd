import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone, SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { hears } from '../support/control.js';
import { FleetNode } from '../support/fleet.js';
import { RoundRobin } from '../support/round-robin.js';
import { eventually, sleep } from '../support/time.js';

/** Pairs of callers, each with a room; enough that some are relayed and some are not. */
const PAIRS = 8;
const LOUD = -25;

interface Caller {
  readonly phone: SimulatedPhone;
  readonly pair: number;
  /** What the other one of the pair says, in hertz. */
  readonly otherHz: number;
}

it.each(['uws', 'node'])(
  'callers of one room meet whichever worker their sockets reach, also after one was killed and when all are replaced (%s)',
  async (server) => {
    let target = '';
    const dial = {
      publicUrl: PUBLIC_URL,
      get target() {
        return target;
      },
    };
    const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
    const node = await FleetNode.start({
      TWILIO_API_URL: await twilio.listen(),
      WORKERS: '2',
      SERVER: server,
      LOCAL_ROOM: 'to',
    });
    // Twilio is not as near as this: a phone's next request must not reach the worker that dies just then.
    const proxy = await RoundRobin.listen([node.address]);
    proxy.patienceMs = 1_000;
    target = proxy.url;
    await eventually('all workers', () => node.output.includes('all workers serve'), 30_000);
    const callers: Caller[] = [];
    /** Pairs that have lost a caller, and why. */
    const lost = new Map<number, unknown>();
    for (let pair = 0; pair < PAIRS; pair++) {
      for (const [hz, otherHz] of [
        [600, 1_000],
        [1_000, 600],
      ] as const) {
        const phone = twilio.placeCall({
          webhookUrl: `${PUBLIC_URL}/twilio/voice`,
          from: '+15550001111',
          to: `+1555222000${pair}`,
          audio: AudioSource.tone(hz),
          record: true,
        });
        callers.push({ phone, pair, otherHz });
        void phone.ended.then((outcome) => lost.set(pair, outcome));
        await phone.started;
        // Node's cluster deals out connections in turn: one more has the next socket reach the other worker.
        await fetch(`${node.url}/health`, { headers: { connection: 'close' } });
      }
    }
    const meet = (when: string) =>
      eventually(
        `all pairs meet ${when}`,
        () =>
          callers.every(({ phone, pair, otherHz }) => lost.has(pair) || hears(phone, otherHz, 200) > LOUD),
        20_000,
      );
    await meet('at first');
    // Some sockets reach the worker that lacks their room.
    await eventually('relayed sockets', async () => (await node.metric('relayed_sockets')) > 0);
    const [worker] = readFileSync(`/proc/${node.child.pid}/task/${node.child.pid}/children`, 'utf8').split(
      ' ',
    );
    process.kill(Number(worker), 'SIGKILL');
    const started = () => node.output.split('"msg":"listening"').length - 1;
    await eventually('a replacement', () => started() === 3, 20_000);
    await sleep(500);
    await meet('again');
    node.child.kill('SIGHUP');
    await eventually('both replaced', () => started() === 5, 60_000);
    await sleep(500);
    await meet('at the new workers');
    expect([...lost]).toEqual([]);
    await Promise.all(callers.map(({ phone }) => phone.hangUp()));
    await twilio.close();
    await proxy.close();
  },
);
