import { describe, expect, it } from 'vitest';
import { speech } from '../../support/media.js';
import { watchEncoders } from '../../support/rtc-encoder.js';
import { bestLikeness, fitTone, largestStep } from '../../support/rtc-measure.js';
import { leanOnly } from '../../support/rtc-native.js';
import {
  ears,
  introduce,
  lean,
  leanVoice,
  negotiate,
  repeated,
  type Sound,
  sine,
} from '../../support/rtc-pair.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

leanOnly();

virtualTime();

async function talk(sound: Sound) {
  const { native, encoders } = watchEncoders();
  const speaker = lean({}, native);
  const listener = lean();
  const { track } = leanVoice(sound);
  const { sender } = speaker.addTransceiver(track, { direction: 'sendonly' });
  introduce(speaker, listener);
  const all = ears(listener);
  await negotiate(speaker, listener);
  await eventually('the connection', () => listener.connectionState === 'connected');
  const [ear] = all;
  const [encoder] = encoders;
  if (ear === undefined || encoder === undefined) throw new Error('Expected a track and an encoder');
  return { speaker, sender, ear, encoder };
}

describe('a tone of 1,004 Hz between two connections', () => {
  it('keeps its level, far above all else, without a click', async () => {
    const { ear } = await talk(sine(1_004));
    await sleep(1_500);
    const begin = ear.heard.length;
    await sleep(3_000);
    const heard = Int16Array.from(ear.heard.slice(begin));
    expect(heard.length).toBeGreaterThanOrEqual(23_000);
    // The largest step of the tone itself is 6,144.
    expect(largestStep(heard)).toBeLessThan(6_300);
    const fits = [0, 1, 2, 3, 4].map((i) =>
      fitTone(1_004, 8_000, heard.subarray(i * 4_000, (i + 1) * 4_000)),
    );
    if (process.env.TEST_LOG) console.log(largestStep(heard), fits);
    for (const { amplitude } of fits) {
      expect(Math.abs(20 * Math.log10(amplitude / 8_000))).toBeLessThan(0.2);
    }
    expect(Math.max(...fits.map(({ sinadDb }) => sinadDb))).toBeGreaterThan(35);
    expect(ear.stats).toMatchObject({ packetsLost: 0, packetsDiscarded: 0, concealedSamples: 0 });
  });

  it('costs what the sender wants it to: 40 kbit/s at the least complexity, or less where it is told', async () => {
    const { sender, encoder } = await talk(sine(1_004));
    await sleep(2_000);
    expect(encoder.options).toMatchObject({ rate: 8_000, application: 'audio' });
    expect(encoder).toMatchObject({ bitrate: 40_000, complexity: 0, lossPercent: 0, fec: true, dtx: false });
    const kbps = () => {
      const bytes = encoder.bytes.slice(-50);
      return (bytes.reduce((sum, each) => sum + each, 0) * 8) / (bytes.length * 20);
    };
    if (process.env.TEST_LOG) console.log(kbps());
    expect(kbps()).toBeGreaterThan(30);
    expect(kbps()).toBeLessThan(46);
    await sender.setParameters({ encodings: [{ maxBitrate: 16_000 }] });
    expect(sender.getParameters().encodings).toEqual([{ maxBitrate: 16_000 }]);
    expect(encoder.bitrate).toBe(16_000);
    await sleep(1_500);
    if (process.env.TEST_LOG) console.log(kbps());
    expect(kbps()).toBeLessThan(20);
    await sender.setParameters({ encodings: [{ maxBitrate: 1 }] });
    expect(encoder.bitrate).toBe(6_000);
    await sender.setParameters({ encodings: [{ maxBitrate: 500_000 }] });
    expect(encoder.bitrate).toBe(40_000);
  });
});

it('speech comes as it went', async () => {
  const said = speech();
  const { ear } = await talk(repeated(said));
  await sleep(4_000);
  const heard = ear.last(1_500);
  // The recording twice: the piece may run over its end.
  const likeness = bestLikeness(heard, Int16Array.from([...said, ...said.subarray(0, heard.length)]));
  if (process.env.TEST_LOG) console.log(said.length, likeness);
  expect(likeness).toBeGreaterThan(0.95);
  expect(ear.stats).toMatchObject({ packetsLost: 0, concealedSamples: 0 });
});
