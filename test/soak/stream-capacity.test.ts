import { expect, it } from 'vitest';
import { StreamBridge } from '../../src/index.js';
import { AudioSource, PhoneClock, SimulatedPhone } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { LEVEL, phoneLevel } from '../support/stream-call.js';
import { streamProcess } from '../support/stream-process.js';
import { eventually } from '../support/time.js';

/** Both WebRTC ends and the server between them share two cores here; `bench stream` carries forty. */
const CALLS = 20;
/** Primes: µ-law's distortion products then fall between them. */
const TONES_HZ = [503, 1_117];

const stream = streamProcess();

it('carries twenty calls at once: every tone correct, hardly a frame dropped', {
  timeout: 90_000,
}, async () => {
  const bridge = new StreamBridge({ ...stream(), maxWorkerDelayMs: 0 });
  let calls = 0;
  // Two phones in each Stream call hear each other.
  const { gateway, url } = await startGateway({
    bridge,
    prepareCall: () => ({ room: `pair-${Math.floor(calls++ / 2)}` }),
  });
  const clock = new PhoneClock();
  const phones: SimulatedPhone[] = [];
  try {
    for (let i = 0; i < CALLS; i++) {
      const phone = new SimulatedPhone({
        accountSid: ACCOUNT_SID,
        authToken: AUTH_TOKEN,
        from: '+15550001111',
        to: '+15552223333',
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        dial: { publicUrl: PUBLIC_URL, target: url },
        audio: AudioSource.tone(TONES_HZ[i % 2] as number, 20 * Math.log10(LEVEL / 32_767)),
        record: 60_000,
        clock,
      });
      phones.push(phone.dial());
      await phone.started;
      await eventually('it to join', () => bridge.stats().joined === i + 1, 20_000);
    }
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const [before, droppedBefore] = [gateway.stats().traffic, bridge.stats().dropped];
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    const after = gateway.stats().traffic;
    phones.forEach((phone, i) => {
      const [own, other] = [TONES_HZ[i % 2] as number, TONES_HZ[(i + 1) % 2] as number];
      // Within 1 dB is audio.test.ts's, for one call: twenty on a busy machine are stretched and spliced by NetEq.
      expect(Math.abs(phoneLevel(phone, other, 20)), `phone ${i}: the other`).toBeLessThan(3);
      expect(phoneLevel(phone, own, 20), `phone ${i}: itself`).toBeLessThan(-50);
    });
    // What comes too late because the machine stalled is dropped, as it must be: on a quiet one none is, which the bench
    // counts. Here it only may not become a habit.
    const { dropped, ...state } = bridge.stats();
    const late =
      after.droppedLead -
      before.droppedLead +
      after.droppedBackpressure -
      before.droppedBackpressure +
      dropped -
      droppedBefore;
    const frames = CALLS * 500;
    expect(late / frames).toBeLessThan(0.05);
    expect(state).toMatchObject({ joined: CALLS, deaths: 0, rejoins: 0 });
    expect(gateway.stats().activeCalls).toBe(CALLS);
  } finally {
    for (const phone of phones) phone.close();
  }
});
