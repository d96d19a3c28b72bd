// One contender in a process of its own. TRANSCODER says which core; argv[2] is `naive-q7` and the like for the naive
// pipeline. Waits for tasks and answers each of them.

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
  /** Frames in turn through as many transcoders as told, and what those hold of memory. */
  | { readonly kind: 'live'; readonly transcoders: number };

export interface LiveAnswer {
  readonly inNs: number;
  readonly outNs: number;
  readonly bytes: number;
}

const naiveQuality = process.argv[2]?.startsWith('naive-q') ? Number(process.argv[2].slice(7)) : undefined;
const messages = mediaMessages();
const frames = pcmFrames();
const frame = (i: number) => frames[i % frames.length] as Int16Array;
const message = (i: number) => messages[i % messages.length] as ArrayBuffer;

await NaivePipeline.ready();
const run = naiveQuality === undefined ? ours() : naive(naiveQuality);

function ours() {
  const transcoder = bound();
  if (transcoder.receive(message(0)) !== 960) throw new Error('the fast path refused a message');
  return {
    in: (i: number) => transcoder.receive(message(i)),
    out: (i: number) => transcoder.transmit(frame(i)),
  };
}

function naive(quality: number) {
  const pipeline = new NaivePipeline(quality);
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
  const before = process.memoryUsage().rss;
  const transcoders = Array.from({ length: count }, bound);
  for (const transcoder of transcoders) transcoder.transmit(frame(0));
  const bytes = (process.memoryUsage().rss - before) / count;
  const at = (i: number) => transcoders[i % count] as Transcoder;
  const calls = Math.max(2_000, count);
  const rounds = 9;
  // One message for all of them and then the next, so that nobody finds a gap in his stream.
  const theirs = (i: number) => message(Math.floor(i / count));
  const inNs = median(Array.from({ length: rounds }, () => timed(calls, (i) => at(i).receive(theirs(i)))));
  const outNs = median(Array.from({ length: rounds }, () => timed(calls, (i) => at(i).transmit(frame(i)))));
  for (const transcoder of transcoders) transcoder.close();
  return { inNs, outNs, bytes };
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
