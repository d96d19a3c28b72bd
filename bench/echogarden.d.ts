/** The package has no types: those that the bench uses. */
declare module '@echogarden/speex-resampler-wasm/simd' {
  export default function load(): Promise<{
    readonly HEAP16: Int16Array;
    readonly HEAP32: Int32Array;
    _malloc(bytes: number): number;
    _speex_resampler_init(channels: number, from: number, to: number, quality: number, error: number): number;
    _speex_resampler_process_int(
      resampler: number,
      channel: number,
      input: number,
      inputSamples: number,
      output: number,
      outputSamples: number,
    ): number;
  }>;
}
