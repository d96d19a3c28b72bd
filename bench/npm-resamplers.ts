import simd from '@echogarden/speex-resampler-wasm/simd';
import speex from 'speex-resampler';

/** 16-bit mono of any length to another rate, as one stream. */
export type Resample = (pcm: Int16Array) => Int16Array;

/** What npm has for it, by name: each makes a stream from one rate to another at a quality of speex's, 0 to 10. */
export const NPM_RESAMPLERS: Readonly<
  Record<string, (from: number, to: number, quality: number) => Promise<Resample>>
> = {
  /** npm's speex-resampler, the one most have: WebAssembly without SIMD, a Buffer for each call. */
  naive: async (from, to, quality) => {
    // A CommonJS module: its default export is a property of what an ES module gets.
    const SpeexResampler = speex.default;
    await SpeexResampler.initPromise;
    const resampler = new SpeexResampler(1, from, to, quality);
    return (pcm) => {
      const bytes = resampler.processChunk(Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength));
      return new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    };
  },
  /** The fastest we found on npm: the same speexdsp with SIMD, and calls as bare as they are in C. */
  echogarden: async (from, to, quality) => {
    const module = await simd();
    const ROOM = 4_096;
    const [input, output] = [module._malloc(2 * ROOM), module._malloc(2 * ROOM)];
    const [inCount, outCount] = [module._malloc(4), module._malloc(4)];
    const resampler = module._speex_resampler_init(1, from, to, quality, inCount);
    return (pcm) => {
      module.HEAP16.set(pcm, input / 2);
      module.HEAP32[inCount / 4] = pcm.length;
      module.HEAP32[outCount / 4] = ROOM;
      module._speex_resampler_process_int(resampler, 0, input, inCount, output, outCount);
      return module.HEAP16.slice(output / 2, output / 2 + (module.HEAP32[outCount / 4] as number));
    };
  },
};
