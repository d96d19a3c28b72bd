/** What TRANSCODER may be: the first three are for users, the others for tests and benches. */
export const TRANSCODERS = [
  'auto',
  'native',
  'wasm',
  'native-avx512',
  'native-avx2',
  'native-sse2',
  'native-neon',
  'native-scalar',
  'wasm-simd',
  'wasm-scalar',
] as const;
export type TranscoderChoice = (typeof TRANSCODERS)[number];
