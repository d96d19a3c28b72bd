// Bytes of JavaScript heap that a frame leaves behind, in and out. Started with --expose-gc and a young generation larger
// than what is left in a piece, so that nothing is collected while it counts.

import { CallAudio } from '../../dist/control/call-audio.js';
import { Clip } from '../../dist/control/clip.js';
import { createTranscoder, fromWs, TwilioMediaStream } from '../../dist/index.js';
import { core } from '../../dist/media/thread-core.js';

const PIECES = 10;
/** Of a piece: a million in all on the hot path. */
const FRAMES = process.argv[2] === 'frames' ? 100_000 : 50_000;
const STREAM_SID = `MZ${'a1'.repeat(16)}`;
const transcoder = createTranscoder();
transcoder.bind(STREAM_SID);
const media = {
  track: 'inbound',
  chunk: '1',
  timestamp: '20',
  payload: Buffer.alloc(160, 7).toString('base64'),
};
const text = JSON.stringify({ event: 'media', sequenceNumber: '2', media, streamSid: STREAM_SID });
/** As the socket gives it, and as one has it otherwise. */
const view = new TextEncoder().encode(text);
const message = view.buffer;
const pcm = new Int16Array(960);
const boxed = { last0: 0.5, last1: 0.5 };

/** A stream whose caller always has so much waiting that the next frame is due, and no more. */
const stream = { insert: undefined, leadMs: 0, isWritable: true, inject() {} };
const controlled = ({ prepare, leadMs }) => {
  stream.leadMs = leadMs;
  // Nobody else is to tick in between.
  const audio = new CallAudio(stream, 120, () => {}, { join() {}, leave() {} });
  prepare(audio);
  return audio;
};
const CLIP = new Clip(new Int16Array(8_000).fill(100));
const CONTROLLED = {
  muted: { leadMs: 80, prepare: (audio) => audio.mute('both') },
  held: { leadMs: 80, prepare: (audio) => audio.hold(CLIP) },
  mixed: {
    leadMs: 20,
    prepare: (audio) => audio.start(CLIP, { loop: Number.POSITIVE_INFINITY, gain: -3, over: true }),
  },
};
const audio = process.argv[2] in CONTROLLED ? controlled(CONTROLLED[process.argv[2]]) : undefined;
/** What a room of three mixes for its members. */
const voices = new Int16Array(3 * 960);
const heard = new Int16Array(3 * 960);
const active = Uint8Array.of(1, 1, 1);
/** A frame of a voice, of which some is taken out. */
const piece = Int16Array.from({ length: 960 }, (_, i) => 9_000 * Math.sin(i / 50));
/** A frame either way, and a tick. */
const control = () => {
  if (stream.filter?.silencesCaller) pcm[0] = 0;
  stream.filter?.replace(pcm);
  audio.tick();
  return 0;
};

/** A socket of `ws` whose network is free, and what stands between it and its stream. */
const listeners = {};
let own;
let accepted;
if (process.argv[2] === 'sockets') {
  TwilioMediaStream.prototype.open = (socket) => {
    own = socket;
  };
  TwilioMediaStream.prototype.handleMessage = (bytes) => {
    boxed.last0 = bytes.length;
  };
  const socket = {
    readyState: 1,
    bufferedAmount: 0,
    send: (_, __, sent) => sent(),
    close() {},
    terminate() {},
  };
  accepted = fromWs({ ...socket, on: (event, listener) => (listeners[event] = listener), ping() {} });
}

/** Calls in rooms of their own, whose phones hear themselves: sockets and time are not real. */
const CALLS = 50;
let calls;
if (process.argv[2] === 'calls') calls = await (await import('./echo-calls.mjs')).EchoCalls.start(CALLS);

const WORK = {
  // One frame of each call; CALLS of them are 20 ms.
  calls: (i) => calls.hear(i % CALLS),
  muted: control,
  held: control,
  mixed: control,
  frames: () => transcoder.receive(message) + transcoder.transmit(pcm),
  views: () => transcoder.receive(view) + transcoder.transmit(pcm),
  sockets: () => {
    listeners.message(view, false);
    return own.send(view) ? 0 : 1;
  },
  rooms: () => {
    core.mixMinus(voices, active, heard);
    return 0;
  },
  shortened: () => core.shorten(piece, 720),
  concealed: () => transcoder.conceal(960),
  // What the measurement must see: a heap number a frame.
  boxing: (i) => {
    boxed[i & 1 ? 'last1' : 'last0'] = i + 0.5;
    return 0;
  },
};

const work = WORK[process.argv[2]];
const run = (count) => {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += work(i);
  return sum;
};
run(FRAMES);
// Piece by piece: what Node itself does now and then falls into one of them.
const left = Array.from({ length: PIECES }, () => {
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  run(FRAMES);
  return (process.memoryUsage().heapUsed - before) / FRAMES;
});
if (calls !== undefined && calls.heard < 0.99 * FRAMES * (PIECES + 1))
  throw new Error(`Only ${calls.heard} echoes`);
console.log(Math.min(...left));
audio?.close();
accepted?.close();
