import {
  createResampler,
  createTranscoder,
  type MarkEcho,
  MediaStream,
  mulawToPcm,
  type PayloadFormat,
  pcmToMulaw,
  type RateConverter,
  RESAMPLER_RATES,
  type StreamEnd,
  type StreamStart,
  type Transcoder,
  TwilioMediaStream,
} from 'trunkline';
import { describe, expectTypeOf, test } from 'vitest';

describe('TwilioMediaStream', () => {
  test('emits typed events', () => {
    const stream = new TwilioMediaStream({ leadMs: 80 });
    stream.on('start', (start) => expectTypeOf(start).toEqualTypeOf<StreamStart>());
    stream.on('audio', (samples) => expectTypeOf(samples).toEqualTypeOf<Int16Array>());
    stream.on('dtmf', (digit) => expectTypeOf(digit).toBeString());
    stream.on('mark', (echo) => expectTypeOf(echo).toEqualTypeOf<MarkEcho>());
    stream.on('stop', (...nothing) => expectTypeOf(nothing).toEqualTypeOf<[]>());
    stream.on('end', (end, reason) => {
      expectTypeOf(end).toEqualTypeOf<StreamEnd>();
      expectTypeOf(reason).toBeString();
    });
    // @ts-expect-error Twilio has `media`, we have `audio`
    stream.on('media', () => {});
    // @ts-expect-error audio is samples
    stream.on('audio', (bytes: Uint8Array) => bytes);
  });

  test('has typed methods, under two names', () => {
    expectTypeOf(MediaStream).toEqualTypeOf(TwilioMediaStream);
    const stream = new TwilioMediaStream();
    expectTypeOf(stream.streamSid).toEqualTypeOf<string | undefined>();
    expectTypeOf(stream.isConnected).toBeBoolean();
    expectTypeOf(stream.clear()).toEqualTypeOf<{ playedMs: number; discardedMs: number }>();
    stream.sendAudio(new Int16Array(960));
    stream.mark('greeting');
    // @ts-expect-error bytes are not samples
    stream.sendAudio(new Uint8Array(960));
    // @ts-expect-error a mark has a name
    stream.mark();
    // @ts-expect-error Twilio names it
    stream.streamSid = 'MZ1';
  });
});

describe('the core', () => {
  test('creates transcoders of four formats', () => {
    expectTypeOf<PayloadFormat>().toEqualTypeOf<'mulaw' | 'alaw' | 'l16' | 'l16le'>();
    expectTypeOf(createTranscoder({ format: 'alaw' })).toEqualTypeOf<Transcoder>();
    const transcoder = createTranscoder();
    expectTypeOf(transcoder.receive).parameter(0).toEqualTypeOf<ArrayBuffer | ArrayBufferView>();
    expectTypeOf(transcoder.transmit(new Int16Array(960))).toBeNumber();
    // @ts-expect-error not a format
    createTranscoder({ format: 'opus' });
    // @ts-expect-error a message is bytes
    transcoder.receive('{"event":"media"}');
    // @ts-expect-error floats are not samples
    transcoder.transmit(new Float32Array(960));
  });

  test('creates converters between rates', () => {
    expectTypeOf(createResampler).parameters.toEqualTypeOf<[from: number, to: number]>();
    expectTypeOf(createResampler(8_000, 16_000)).resolves.toEqualTypeOf<RateConverter>();
    expectTypeOf<RateConverter['process']>().toEqualTypeOf<(pcm: Int16Array) => Int16Array>();
    expectTypeOf(RESAMPLER_RATES[0]).toEqualTypeOf<8_000>();
    // @ts-expect-error from which rate to which?
    createResampler(8_000);
  });

  test('converts µ-law to samples and back', () => {
    expectTypeOf(mulawToPcm).returns.toEqualTypeOf<Int16Array>();
    expectTypeOf(pcmToMulaw).returns.toEqualTypeOf<Uint8Array>();
  });
});
