import { expect, it } from 'vitest';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { levelDb, toneMulaw } from '../support/tone.js';

virtualTime();

/** Primes, so that µ-law's distortion products fall between them. */
const TONES_HZ = [503, 1_117, 2_309];
const MILLISECONDS = 1_600;

/** Everybody plays their own tone in 20 ms frames at the pace of a phone. */
async function speakTogether(callers: readonly Caller[]): Promise<void> {
  const tones = callers.map((_, i) => toneMulaw(TONES_HZ[i] as number, MILLISECONDS));
  const begun = clock.now();
  for (let frame = 0; frame < MILLISECONDS / 20; frame++) {
    const wait = begun + frame * 20 - clock.now();
    if (wait > 0) await sleep(wait);
    callers.forEach((caller, i) => {
      caller.media((tones[i] as Uint8Array).subarray(frame * 160, (frame + 1) * 160));
    });
  }
}

it.each([2, 3])(
  '%i phones in a room hear each other within 1 dB and themselves at least 60 dB below',
  async (count) => {
    const { url, gateway } = await startGateway({ localRoom: 'to' });
    const callers = await Promise.all(TONES_HZ.slice(0, count).map(() => Caller.call(url)));
    const stranger = await Caller.call(url, { To: '+15559999999', Called: '+15559999999' });
    await eventually('all to be live', () =>
      gateway.calls.listActive().every((call) => call.state === 'live'),
    );
    await speakTogether(callers);
    await eventually('the audio to arrive', () =>
      callers.every((caller) => caller.heard.length > (MILLISECONDS - 200) * 8),
    );
    const sent = levelDb(toneMulaw(TONES_HZ[0] as number, 1_000), TONES_HZ[0] as number);
    callers.forEach((caller, i) => {
      // One second from the middle: the start and end contain joins and leaves.
      const heard = caller.heard.subarray(1_600, 9_600);
      TONES_HZ.slice(0, count).forEach((hz, other) => {
        const level = levelDb(heard, hz);
        if (other === i) expect(level, `own ${hz} Hz`).toBeLessThan(sent - 60);
        else expect(Math.abs(level - sent), `${hz} Hz of another`).toBeLessThan(1);
      });
    });
    expect(stranger.mediaCount, 'a caller of another number hears nothing').toBe(0);
    const { droppedLead, droppedBackpressure, droppedIntake } = gateway.stats().traffic;
    expect({ droppedLead, droppedBackpressure, droppedIntake }).toEqual({
      droppedLead: 0,
      droppedBackpressure: 0,
      droppedIntake: 0,
    });
    for (const caller of [...callers, stranger]) caller.hangUp();
  },
);

it('a ringing phone leaves the caller who is there with the echo agent', async () => {
  const { url, gateway } = await startGateway({ localRoom: 'to' });
  await postForm(url, '/twilio/voice', voiceParameters());
  const caller = await Caller.call(url);
  for (let i = 0; i < 5; i++) caller.media(toneMulaw(500, 20));
  await eventually('the echo', () => caller.mediaCount >= 5);
  expect(gateway.stats()).toMatchObject({
    activeCalls: 2,
    traffic: { droppedBackpressure: 0, droppedLead: 0 },
  });
  caller.hangUp();
});

it('callers of the same number never hear each other by default', async () => {
  const { url } = await startGateway();
  const [a, b] = await Promise.all([Caller.call(url), Caller.call(url)]);
  a?.media(toneMulaw(500, 20));
  await eventually('the echo', () => a?.mediaCount === 1);
  expect(b?.mediaCount).toBe(0);
  for (const caller of [a, b]) caller?.hangUp();
});
