// One contender in its own process. TRANSCODER says which core; argv[2] is `naive-q7` and the like for a pipeline
// with a resampler of npm. Waits for tasks and answers each of them.

import { createTranscoder, type Transcoder } from '../../src/index.js';
import { core } from '../../src/media/thread-core.js';
import { NaivePipeline } from '../naive.js';
import { mediaMessages, pcmFrames, STREAM_SID } from './frames.js';

export type Task =
  /** `frames` frames as one: the time of each on average. */
  | { readonly kind: 'slice'; readonly direction: 'in' | 'out'; readonly frames: number }
  /** Each frame by itself. */
  | { readonly kind: 'frames'; readonly direction: 'in' | 'out'; readonly frames: number }
  /** What a call into the core costs by itself. */
  | { readonly kind: 'crossing' }
  /** Frames in turn through the given number of transcoders. */
  | { readonly kind: 'live'; readonly transcoders: number };

export interface LiveAnswer {
  readonly inNs: number;
  readonly outNs: number;
}

const messages = mediaMessages();
const frames = pcmFrames();
const frame = (i: number) => frames[i % frames.length] as Int16Array;
const message = (i: number) => messages[i % messages.length] as ArrayBuffer;

const npm = process.argv[2];
const run = npm === undefined ? ours() : await naive(npm);

function ours() {
  const transcoder = bound();
  if (transcoder.receive(message(0)) !== 960) throw new Error('the fast path refused a message');
  return {
    in: (i: number) => transcoder.receive(message(i)),
    out: (i: number) => transcoder.transmit(frame(i)),
  };
}

async function naive(name: string) {
  const pipeline = await NaivePipeline.start(name);
  return {
    in: (i: number) => pipeline.receive(message(i)),
    out: (i: number) => pipeline.transmit(frame(i), STREAM_SID),
  };
}

function bound(): Transcoder {
  const transcoder = createTranscoder();
  transcoder.bind(STREAM_SID);
  return transcoder;
}

/** Nanoseconds of each call on average. */
function timed(count: number, call: (i: number) => unknown): number {
  const begun = process.hrtime.bigint();
  for (let i = 0; i < count; i++) call(i);
  return Number(process.hrtime.bigint() - begun) / count;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}

function crossing(): Record<string, number> {
  const transcoder = bound();
  const [nothing, room, notOurs] = [new Uint8Array(0), new Uint8Array(8), new Uint8Array(10)];
  const calls: Record<string, (i: number) => unknown> = {
    'an empty function': (i) => i,
    'a call that does nothing': () => core.liveTranscoders(),
    'two arrays, nothing to do': () => core.encodeBase64(nothing, room),
    'a message that is refused': () => transcoder.receive(notOurs),
    'an empty payload': () => transcoder.receivePayload(nothing, 0),
  };
  const times = Object.entries(calls).map(([name, call]) => {
    const rounds = Array.from({ length: 60 }, () => timed(2_000, call));
    return [name, median(rounds)] as const;
  });
  transcoder.close();
  return Object.fromEntries(times);
}

function live(count: number): LiveAnswer {
  const transcoders = Array.from({ length: count }, bound);
  const at = (i: number) => transcoders[i % count] as Transcoder;
  const calls = Math.max(2_000, count);
  const rounds = 9;
  // Each gets message after message, so that nobody finds a gap in his stream, and neighbours different ones.
  const theirs = (i: number) => message((i % count) + Math.floor(i / count));
  const inNs = median(Array.from({ length: rounds }, () => timed(calls, (i) => at(i).receive(theirs(i)))));
  const outNs = median(Array.from({ length: rounds }, () => timed(calls, (i) => at(i).transmit(frame(i)))));
  for (const transcoder of transcoders) transcoder.close();
  return { inNs, outNs };
}

function each(count: number, call: (i: number) => unknown): number[] {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    call(i);
    times.push((performance.now() - begun) * 1e6);
  }
  return times;
}

process.on('message', (task: Task) => {
  if (task.kind === 'slice') process.send?.(timed(task.frames, run[task.direction]));
  else if (task.kind === 'frames') process.send?.(each(task.frames, run[task.direction]));
  else if (task.kind === 'crossing') process.send?.(crossing());
  else process.send?.(live(task.transcoders));
});
process.send?.('ready');
