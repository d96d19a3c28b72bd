import { existsSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Descriptors } from '../../src/telemetry/descriptors.js';
import { createLog } from '../../src/telemetry/log.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { Served } from '../support/served.js';
import { eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** Descriptors of the gateway that is attacked. */
const LIMIT = 256;
const CALLS = 10;
/** Connections that say nothing, and come again when they are closed. */
const CROWD = 400;
const AGAIN_MS = 200;

const crowds: Crowd[] = [];
afterEach(() => {
  for (const crowd of crowds.splice(0)) crowd.leave();
});

class Crowd {
  private readonly sockets = new Set<net.Socket>();
  private hasLeft = false;

  constructor(private readonly port: number) {
    crowds.push(this);
    for (let i = 0; i < CROWD; i++) this.connect();
  }

  leave(): void {
    this.hasLeft = true;
    for (const socket of this.sockets) socket.destroy();
  }

  private connect(): void {
    if (this.hasLeft) return;
    const socket = net.connect(this.port, '127.0.0.1').on('error', () => {});
    this.sockets.add(socket);
    socket.on('close', () => {
      this.sockets.delete(socket);
      setTimeout(() => this.connect(), AGAIN_MS);
    });
  }
}

/** Milliseconds in which a process ran or would have, had the machine not been busy with others. */
function busyMs(pid: number): number {
  const [ran, waited] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ').map(Number);
  return ((ran as number) + (waited as number)) / 1e6;
}

/** As a checker of health asks that tries again. */
async function ask(url: string, path: string): Promise<Response> {
  for (let tries = 0; ; tries++) {
    try {
      return await fetch(url + path, { headers: { connection: 'close' } });
    } catch (error) {
      if (tries === 3) throw error;
    }
  }
}

async function isHeard(caller: Caller): Promise<void> {
  const before = caller.mediaCount;
  caller.media(toneMulaw(700, 20));
  await eventually('audio', () => caller.mediaCount > before);
}

describe.runIf(existsSync('/proc/self/schedstat'))('a gateway without free descriptors', () => {
  it('reports it once, continues its calls, responds, stays idle, and accepts calls again later', async () => {
    const served = Served.start({ env: { MAX_CALLS: '20' }, shell: `ulimit -n ${LIMIT}` });
    const url = await served.listening();
    const pid = served.child.pid as number;
    const callers: Caller[] = [];
    for (let i = 0; i < CALLS; i++) callers.push(await Caller.call(url));
    await Promise.all(callers.map(isHeard));
    const crowd = new Crowd(Number(new URL(url).port));
    await served.says('too few file descriptors are left');
    expect(served.lines('too few file descriptors')[0]).toMatchObject({ level: 50, limit: LIMIT });

    const begun = [performance.now(), busyMs(pid)] as const;
    for (let round = 0; round < 20; round++) {
      expect((await ask(url, '/health')).status).toBe(200);
      const ready = await ask(url, '/ready');
      expect([ready.status, await ready.json()]).toMatchObject([503, { closure: 'descriptors' }]);
      await Promise.all(callers.map(isHeard));
      await sleep(200);
    }
    // A gateway that keeps trying to accept would never be idle.
    const share = (busyMs(pid) - begun[1]) / (performance.now() - begun[0]);
    console.info(
      `busy for ${(100 * share).toFixed()} % of the time, with ${CROWD} that come again and again`,
    );
    expect(share).toBeLessThan(0.7);
    const answer = await postForm(url, '/twilio/voice', voiceParameters(), { connection: 'close' });
    expect(await answer.text()).toContain('<Reject reason="busy"/>');
    expect(served.lines('too few file descriptors')).toHaveLength(1);
    expect(served.lines('enough file descriptors')).toHaveLength(0);

    crowd.leave();
    await served.says('there are enough file descriptors again');
    expect((await ask(url, '/ready')).status).toBe(200);
    callers.push(await Caller.call(url));
    await Promise.all(callers.map(isHeard));
    expect(callers.filter(({ closed }) => closed !== undefined)).toEqual([]);
    expect(await (await ask(url, '/metrics')).text()).toContain(
      'trunkline_calls_refused_total{reason="descriptors"} 1',
    );
  });

  it('keeps a call that connects during a shortage', async () => {
    const served = Served.start({ env: { MAX_CALLS: '20' }, shell: `ulimit -n ${LIMIT}` });
    const url = await served.listening();
    const parameters = voiceParameters();
    const twiml = await (await postForm(url, '/twilio/voice', parameters)).text();
    new Crowd(Number(new URL(url).port));
    await served.says('too few file descriptors are left');
    const caller = await Caller.answer(url, twiml, parameters);
    caller.start();
    for (let round = 0; round < 10; round++) {
      await isHeard(caller);
      await sleep(200);
    }
    expect(caller.closed).toBeUndefined();
  });

  it('warns at start if the limit is too low for its calls', async () => {
    const served = Served.start({ env: { MAX_CALLS: '200' }, shell: `ulimit -n ${LIMIT}` });
    const url = await served.listening();
    const { warnings } = (await (await fetch(`${url}/health`)).json()) as { warnings: string[] };
    expect(warnings).toEqual([
      `200 calls may take 296 descriptors, but no more than ${LIMIT} can be open: raise the limit (ulimit -n), or lower MAX_CALLS`,
    ]);
    expect(served.output).toContain(warnings[0]);
  });
});

describe('descriptors', () => {
  function setUp(limit: number | undefined) {
    const state = { open: 0, looks: 0 };
    const told: boolean[] = [];
    const table = {
      limit,
      count() {
        state.looks += 1;
        return state.open;
      },
    };
    const descriptors = new Descriptors(createLog('silent'), new VirtualClock(), table);
    descriptors.onChange = (isShort) => told.push(isShort);
    return { state, told, descriptors };
  }

  it('are short when fewer than the reserve are left, and sufficient after three more checks', () => {
    const { state, told, descriptors } = setUp(1_000);
    state.open = 870;
    descriptors.sample();
    for (let i = 0; i < 5; i++) descriptors.opened();
    expect(told).toEqual([]);
    state.open = 876;
    descriptors.opened();
    expect(told).toEqual([true]);
    state.open = 100;
    for (let i = 0; i < 3; i++) {
      expect(descriptors.isShort).toBe(true);
      descriptors.sample();
    }
    expect(told).toEqual([true, false]);
  });

  it('stay short while connections arrive faster than the limit allows', () => {
    const { state, descriptors } = setUp(1_000);
    state.open = 950;
    descriptors.sample();
    state.open = 100;
    const second = (came: number) => {
      for (let i = 0; i < came; i++) descriptors.opened();
      descriptors.sample();
      return descriptors.isShort;
    };
    for (let i = 0; i < 10; i++) expect(second(900)).toBe(true);
    expect([second(100), second(100), second(100)]).toEqual([true, true, false]);
  });

  it('are not recounted for every connection', () => {
    const { state, descriptors } = setUp(1_000);
    descriptors.sample();
    for (let i = 0; i < 870; i++) descriptors.opened();
    expect(state.looks).toBe(1);
  });

  it('are never short if the limit is unknown', () => {
    const { told, descriptors } = setUp(undefined);
    for (let i = 0; i < 10_000; i++) descriptors.opened();
    expect(told).toEqual([]);
  });
});
