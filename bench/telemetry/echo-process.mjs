// Media streams without their sockets, each the echo of itself: what a frame costs, with its times taken and without. One
// process has one way of taking them, as a gateway has, so that the compiler sees what it sees there. Of the built gateway:
// the loader for TypeScript has a thread of its own.

import { TwilioMediaStream } from '../../dist/phone/media-stream.js';
import { AudioSource } from '../../dist/simulator/index.js';
import { CallLatencies } from '../../dist/telemetry/call-latencies.js';
import { Latencies } from '../../dist/telemetry/latencies.js';

const STREAM_SID = `MZ${'0'.repeat(32)}`;
const FRAME_MS = 20;

/** Takes no times. */
class NoLatencies extends CallLatencies {
  now() {
    return 0;
  }
  record() {}
}

class NoSocket {
  send() {
    return true;
  }
  bufferedBytes() {
    return 0;
  }
  close() {}
}

class Echo {
  constructor(stream) {
    this.stream = stream;
  }
  write(frame, stamp) {
    this.stream.play(frame, stamp);
  }
}

const { calls, recording } = JSON.parse(process.argv[2]);
const whole = new Latencies();
const text = (message) => {
  const { buffer } = new Uint8Array(Buffer.from(JSON.stringify(message)));
  return buffer;
};
const start = text({
  event: 'start',
  sequenceNumber: '1',
  start: {
    accountSid: `AC${'0'.repeat(32)}`,
    streamSid: STREAM_SID,
    callSid: `CA${'0'.repeat(32)}`,
    tracks: ['inbound'],
    mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
    customParameters: {},
  },
  streamSid: STREAM_SID,
});
const messages = AudioSource.speech()
  .payloads.slice(0, 100)
  .map((payload, i) =>
    text({
      event: 'media',
      sequenceNumber: String(i + 2),
      media: { track: 'inbound', chunk: String(i + 1), timestamp: String(i * FRAME_MS), payload },
      streamSid: STREAM_SID,
    }),
  );
const streams = Array.from({ length: calls }, () => {
  const stream = new TwilioMediaStream({
    latencies: whole,
    ...(recording ? {} : { recorder: new NoLatencies(whole) }),
  });
  stream.open(new NoSocket());
  stream.connect(new Echo(stream));
  stream.handleMessage(start, false);
  return stream;
});

/** Rounds of the warm-up, in which one call after the other begins: not all of them count their values in one round. */
const BEGINNING = 100;
let fed = 0;

/** One frame of every call that has begun, at its phone's pace, so often; nanoseconds a frame of each time. */
async function rounds(count, begins = () => 0) {
  const ns = [];
  let due = performance.now();
  for (let round = 0; round < count; round++) {
    due += FRAME_MS;
    await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    const message = messages[round % messages.length];
    const begun = process.hrtime.bigint();
    let frames = 0;
    for (let i = 0; i < streams.length; i++) {
      if (begins(i) > round) continue;
      streams[i].handleMessage(message, false);
      frames += 1;
    }
    ns.push(Number(process.hrtime.bigint() - begun) / frames);
    fed += frames;
  }
  return ns;
}

await rounds(2 * BEGINNING, (i) => i % BEGINNING);
process.send({ ready: true });
process.on('message', async (count) => {
  const ns = await rounds(count);
  const traffic = streams.map((stream) => stream.counts());
  const sum = (of) => traffic.reduce((total, counts) => total + of(counts), 0);
  for (const stream of streams) stream.latencies.settle();
  process.send({
    ns,
    fed,
    framesOut: sum((counts) => counts.framesOut),
    noted: whole.gateway.count,
    slow: sum((counts) => counts.slowMessages),
  });
});
process.on('disconnect', () => process.exit());
