// Bytes of JavaScript heap that a million frames leave behind, in and out. Started with --expose-gc and a young
// generation larger than what would fit in it, so that nothing is collected while it counts.

import { createTranscoder } from '../../dist/index.js';

const FRAMES = 1_000_000;
const STREAM_SID = `MZ${'a1'.repeat(16)}`;
const transcoder = createTranscoder();
transcoder.bind(STREAM_SID);
const media = {
  track: 'inbound',
  chunk: '1',
  timestamp: '20',
  payload: Buffer.alloc(160, 7).toString('base64'),
};
const message = Buffer.from(
  JSON.stringify({ event: 'media', sequenceNumber: '2', media, streamSid: STREAM_SID }),
);
const pcm = new Int16Array(960);
const boxed = { last: 0.5 };

const WORK = {
  frames: () => transcoder.receive(message) + transcoder.transmit(pcm),
  // What the measurement must see: a heap number a frame.
  boxing: (i) => {
    boxed[`last${i & 1}`] = i + 0.5;
    return 0;
  },
};

const work = WORK[process.argv[2]];
const run = (count) => {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += work(i);
  return sum;
};
run(50_000);
globalThis.gc();
const before = process.memoryUsage().heapUsed;
run(FRAMES);
console.log((process.memoryUsage().heapUsed - before) / FRAMES);
