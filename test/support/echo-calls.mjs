// Calls that hear themselves, as a gateway makes them, with a clock and sockets of a test: for allocation-child.mjs.

import { LocalBridge } from '../../dist/bridge/local/bridge.js';
import { LegLine } from '../../dist/calls/leg-line.js';
import { Clock } from '../../dist/clock.js';
import { TwilioMediaStream } from '../../dist/index.js';
import { FrameClock } from '../../dist/media/frame-clock.js';
import { Latencies } from '../../dist/telemetry/latencies.js';

const FRAME_MS = 20;
/** The frame clock wakes so often in that time. */
const PHASES = 4;

/** Time that passes when it is told, in an array: a variable would be boxed. */
class ToldClock extends Clock {
  time = Float64Array.of(1_000.5);
  wake = () => {};
  pass(ms) {
    this.time[0] += ms;
  }
  now() {
    return this.time[0];
  }
  date() {
    return new Date();
  }
  after() {
    return { unref() {} };
  }
  every(_, callback) {
    this.wake = callback;
    return this.after();
  }
  cancel() {}
}

const textOf = (message) => new Uint8Array(Buffer.from(JSON.stringify(message))).buffer;

class EchoCall {
  mark;
  sent = 0;

  constructor(options, index) {
    const streamSid = `MZ${String(index).padStart(32, '0')}`;
    this.stream = new TwilioMediaStream(options);
    this.stream.open(this);
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8_000, channels: 1 };
    const start = {
      streamSid,
      accountSid: 'AC',
      callSid: 'CA',
      tracks: [],
      customParameters: {},
      mediaFormat,
    };
    this.stream.handleMessage(textOf({ event: 'start', streamSid, start }), false);
    // Loud, and no pause: nothing is left out.
    const media = { track: 'inbound', chunk: '1', timestamp: '20' };
    const payload = Buffer.from(Array.from({ length: 160 }, (_, i) => i * 3)).toString('base64');
    this.media = textOf({
      event: 'media',
      sequenceNumber: '2',
      media: { ...media, payload },
      streamSid,
    });
  }

  // The socket:

  send(message) {
    // A phone sends a mark back as it came.
    if (typeof message === 'string') this.mark = Buffer.from(message);
    else this.sent += 1;
    return true;
  }
  bufferedBytes() {
    return 0;
  }
  close() {}

  // The line of its room:

  get isLive() {
    return this.stream.isConnected;
  }
  get leadMs() {
    return this.stream.leadMs;
  }
  write(frame, stamp) {
    this.stream.play(frame, stamp);
  }
}

export class EchoCalls {
  clock = new ToldClock();
  calls = [];

  static async start(count) {
    const all = new EchoCalls();
    const bridge = new LocalBridge();
    const options = { clock: all.clock, frameClock: new FrameClock(all.clock), latencies: new Latencies() };
    for (let i = 0; i < count; i++) {
      const call = new EchoCall(options, i);
      const line = new LegLine(call);
      line.activate();
      const request = { callId: `call-${i}`, room: `room-${i}`, signal: new AbortController().signal };
      call.stream.connect(await bridge.join(request, line));
      all.calls.push(call);
    }
    return all;
  }

  /** Frames that the phones have heard. */
  get heard() {
    return this.calls.reduce((sum, { sent }) => sum + sent, 0);
  }

  /** A call's phone says 20 ms; all calls do so once in that time. */
  hear(index) {
    const { clock, calls } = this;
    clock.pass(FRAME_MS / calls.length);
    if (index % Math.ceil(calls.length / PHASES) === 0) clock.wake();
    const call = calls[index];
    if (call.mark !== undefined) {
      call.stream.handleMessage(call.mark, false);
      call.mark = undefined;
    }
    call.stream.handleMessage(call.media, false);
    return 0;
  }
}
