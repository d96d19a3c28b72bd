import { expect, it, onTestFinished } from 'vitest';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { eventually } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const FRAME = toneMulaw(700, 20);
const BLOCKED_MS = 5_000;

it('a hook that blocks the event loop for seconds loses no call', async () => {
  const { gateway, url } = await startGateway({
    stuckSeconds: 3,
    tokenTimeToLiveMs: 3_000,
    prepareCall: ({ from }) => {
      if (from === '+15550009999') {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS);
      }
      return {};
    },
  });
  const talking = await Caller.call(url);
  const speech = setInterval(() => talking.media(FRAME), 20);
  onTestFinished(() => clearInterval(speech));
  await eventually('an echo', () => talking.mediaCount > 0);
  const parameters = voiceParameters();
  const twiml = await (await postForm(url, '/twilio/voice', parameters)).text();
  const blocking = postForm(url, '/twilio/voice', voiceParameters({ From: '+15550009999' }));
  await eventually('the hook', () => gateway.stats().activeCalls === 3);
  expect(await (await blocking).text()).toContain('<Stream');
  // A call that was ringing when the block began connects now.
  const ringing = await Caller.answer(url, twiml, parameters);
  ringing.start();
  ringing.media(FRAME);
  await eventually('an echo', () => ringing.mediaCount > 0);
  const { mediaCount } = talking;
  await eventually('another echo', () => talking.mediaCount > mediaCount);
  expect([talking.closed, ringing.closed]).toEqual([undefined, undefined]);
});
