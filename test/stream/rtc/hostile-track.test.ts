import { expect, it } from 'vitest';
import { leanStack } from '../../../src/bridge/stream/lean.js';
import { AudioReceiver, type ReceivedTrack } from '../../../src/rtc/audio-receiver.js';
import { loadRtcNative } from '../../../src/rtc/native.js';
import { RtpHeader, write16, write32 } from '../../../src/rtc/rtp.js';
import { leanOnly } from '../../support/rtc-native.js';
import { clock, eventually } from '../../support/time.js';

leanOnly();

/** 20 ms of 1 kHz, which follow on themselves. */
const TONE = Int16Array.from({ length: 160 }, (_, i) => 5_000 * Math.sin((Math.PI * i) / 4));

it('an m-line that is given to another participant is not heard as the one before as well', async () => {
  const native = loadRtcNative();
  const receiver = new AudioReceiver(native);
  receiver.opusType = 111;
  const encoder = native.openEncoder({ rate: 8_000 });
  const header = new RtpHeader();
  const packet = new Uint8Array(1_000);
  packet.set([0x80, 111]);
  let sequence = 0;
  const sending = clock.every(20, () => {
    sequence += 1;
    write16(packet, 2, sequence);
    write32(packet, 4, sequence * 960);
    const bytes = encoder.encode(TONE, packet.subarray(12));
    header.read(packet, 12 + bytes);
    receiver.take(packet, header, clock.now());
  });
  const listen = (track: ReceivedTrack) => {
    const heard = { blocks: 0, peak: 0 };
    const sink = leanStack.createAudioSink(track, (samples) => {
      heard.blocks += 1;
      heard.peak = Math.max(...samples);
    });
    return { heard, sink };
  };
  const before = listen(receiver.track);
  await eventually('the first participant to be heard', () => before.heard.blocks > 5);
  receiver.renew();
  const after = listen(receiver.track);
  await eventually('the second participant to be heard', () => after.heard.blocks > 10);
  // What was made up for the first one fades; of the second one its listener hears nothing.
  await eventually('the first participant to be silent', () => before.heard.peak === 0);
  const { blocks } = after.heard;
  await eventually('more of the second', () => after.heard.blocks > blocks + 10);
  expect(before.heard.peak).toBe(0);
  expect(after.heard.peak).toBeGreaterThan(1_000);
  clock.cancel(sending);
  for (const { sink } of [before, after]) sink.stop();
  receiver.close();
  encoder.free();
});
