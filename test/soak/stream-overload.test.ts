import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StreamBridge } from '../../src/index.js';
import { AudioSource, FrameClock, SimulatedPhone } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { LEVEL, phoneLevel } from '../support/stream-call.js';
import { eventually, sleep } from '../support/time.js';

const OFFERED = Number(process.env.OVERLOAD_CALLS ?? 60);
const PAUSE_MS = 333;
/** Primes: µ-law's distortion products then fall between them. */
const TONES_HZ = [503, 1_117];

let double: ChildProcess;
let keys: { url: string; apiKey: string; apiSecret: string };

/** The double in a process of its own: this one has sixty phones to speak for. */
beforeAll(async () => {
  const program = fileURLToPath(new URL('../support/stream/main.ts', import.meta.url));
  double = spawn(process.execPath, ['--import', 'tsx', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(double.stdout as NodeJS.ReadableStream), 'line');
  keys = JSON.parse(line as string);
});

afterAll(async () => {
  const exited = once(double, 'exit');
  double.stdin?.end();
  await exited;
});

it('whatever is offered, calls that are admitted hear and are heard; others are busy at once', {
  timeout: 180_000,
}, async () => {
  const { url: baseUrl, apiKey, apiSecret } = keys;
  const off = process.env.OVERLOAD_OFF ? { maxWorkerDelayMs: 0 } : {};
  const bridge = new StreamBridge({ apiKey, apiSecret, baseUrl, ...off });
  let calls = 0;
  // Two phones in each Stream call hear each other.
  const { gateway, url } = await startGateway({
    bridge,
    prepareCall: () => ({ room: `pair-${Math.floor(calls++ / 2)}` }),
  });
  const clock = new FrameClock();
  const phones: { phone: SimulatedPhone; own: number; answerMs: number }[] = [];
  const log: string[] = [];
  try {
    for (let i = 0; i < OFFERED; i++) {
      const phone = new SimulatedPhone({
        accountSid: ACCOUNT_SID,
        authToken: AUTH_TOKEN,
        from: '+15550001111',
        to: '+15552223333',
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        dial: { publicUrl: PUBLIC_URL, target: url },
        audio: AudioSource.tone(TONES_HZ[calls % 2] as number, 20 * Math.log10(LEVEL / 32_767)),
        record: 90_000,
        clock,
      });
      const one = { phone, own: calls % 2, answerMs: Number.NaN };
      phones.push(one);
      const begun = performance.now();
      phone.dial();
      const answered = () => {
        one.answerMs = performance.now() - begun;
      };
      void Promise.race([phone.started, phone.ended]).then(answered, answered);
      await sleep(PAUSE_MS);
      if (i % 6 === 5) {
        const { joined, dropped, legs, workers } = bridge.stats();
        log.push(
          `${i + 1}: calls ${calls}, legs ${legs}, joined ${joined}, workers ${workers}, dropped ${dropped}, ${JSON.stringify([(bridge as any).pool.load.overload.isOn, (bridge as any).pool.load.gauges.delayMs(), Math.round((bridge as any).pool.load.gauges.waitMs()), Math.round((bridge as any).pool.load.gauges.joinMs())])}`,
        );
      }
    }
    await sleep(3_000);
    const before = bridge.stats();
    await sleep(10_000);
    const after = bridge.stats();
    const admitted = phones.filter(({ phone }) => phone.status === 'in-progress');
    const refused = phones.filter(({ phone }) => phone.status === 'busy');
    const levels = admitted.map(({ phone, own }) => phoneLevel(phone, TONES_HZ[1 - own] as number, 20));
    const hearing = levels.filter((level) => Math.abs(level) < 3).length;
    console.log(log.join('\n'));
    console.log({
      calls,
      admitted: admitted.length,
      refused: refused.length,
      hearing,
      before,
      after,
      refusedMs: Math.max(...refused.map(({ answerMs }) => answerMs)),
      statuses: phones.map(({ phone }) => phone.status).join(),
    });
    expect(gateway.stats().activeCalls).toBe(admitted.length);
  } finally {
    for (const { phone } of phones) phone.close();
    await eventually('all to be over', () => gateway.stats().activeCalls === 0, 30_000);
  }
});
