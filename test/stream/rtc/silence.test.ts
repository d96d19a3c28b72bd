import { expect, it } from 'vitest';
import { speech } from '../../support/media.js';
import { watchEncoders } from '../../support/rtc-encoder.js';
import { bestLikeness, largestStep } from '../../support/rtc-measure.js';
import { leanOnly } from '../../support/rtc-native.js';
import {
  ears,
  introduce,
  lean,
  leanVoice,
  negotiate,
  repeated,
  silence,
  sine,
  withDtx,
} from '../../support/rtc-pair.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

leanOnly();

virtualTime();

async function call(answer: (sdp: string) => string) {
  const { native, encoders } = watchEncoders();
  const speaker = lean({}, native);
  const listener = lean();
  const { voice, track } = leanVoice(sine(1_004));
  const { sender } = speaker.addTransceiver(track, { direction: 'sendonly' });
  introduce(speaker, listener);
  const all = ears(listener);
  await negotiate(speaker, listener, { answer });
  await eventually('the connection', () => listener.connectionState === 'connected');
  await sleep(1_000);
  const [ear] = all;
  const [encoder] = encoders;
  if (ear === undefined || encoder === undefined) throw new Error('Expected a track and an encoder');
  return { voice, sender, ear, encoder };
}

it('silence is hardly sent where the answer wants it so, and what is said after it is heard', async () => {
  const { voice, sender, ear, encoder } = await call(withDtx);
  expect(encoder.dtx).toBe(true);
  voice.sound = silence;
  await sleep(2_000);
  const { packets } = sender;
  const { concealedSamples } = ear.stats;
  await sleep(8_000);
  const sent = sender.packets - packets;
  if (process.env.TEST_LOG) console.log(sent, sender.lost, ear.stats, largestStep(ear.last(8_000)));
  // 400 without it.
  expect(sent).toBeLessThan(60);
  expect(largestStep(ear.last(6_000))).toBeLessThan(100);
  const said = speech();
  voice.sound = repeated(said);
  await sleep(4_000);
  const heard = ear.last(1_500);
  const likeness = bestLikeness(heard, Int16Array.from([...said, ...said.subarray(0, heard.length)]));
  if (process.env.TEST_LOG) console.log(likeness, ear.stats);
  expect(likeness).toBeGreaterThan(0.95);
  expect(sender.lost).toBe(0);
  expect(ear.stats).toMatchObject({ packetsLost: 0, packetsDiscarded: 0, concealedSamples });
});

it('silence is sent where the answer does not want it left out', async () => {
  const { voice, sender, encoder } = await call((sdp) => sdp);
  expect(encoder.dtx).toBe(false);
  voice.sound = silence;
  await sleep(1_000);
  const { packets } = sender;
  await sleep(4_000);
  expect(sender.packets - packets).toBeGreaterThan(195);
});
