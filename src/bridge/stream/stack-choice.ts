/** What `STREAM_STACK` may be. */
export const STACKS = ['auto', 'lean', 'wrtc'] as const;
export type StackChoice = (typeof STACKS)[number];
