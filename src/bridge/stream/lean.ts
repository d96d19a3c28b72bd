import { systemClock } from '../../clock.js';
import { FRAME_SAMPLES, SAMPLE_RATE } from '../../media/frame.js';
import { FrameClock } from '../../media/frame-clock.js';
import { core } from '../../media/thread-core.js';
import { HEARD_BLOCK, HEARD_RATE, ReceivedTrack } from '../../rtc/audio-receiver.js';
import { AudioSource } from '../../rtc/audio-source.js';
import { MediaStream } from '../../rtc/media-track.js';
import { loadRtcNative } from '../../rtc/native.js';
import { PeerConnection } from '../../rtc/peer-connection.js';
import { defineGlobals } from './browser-globals.js';
import {
  type AudioSink,
  type AudioTrack,
  BLOCK_SAMPLES,
  type BlockListener,
  type RtcAudioSource,
  type RtcStack,
} from './rtc-stack.js';

/** After a longer stall, sinks skip what they would have heard. */
const CATCH_UP_MS = 500;
/** Of the rate within the gateway to a telephone's. */
const RATIO = SAMPLE_RATE / HEARD_RATE;

/** WebRTC of our own, see `src/rtc`: Opus at a telephone's rate, no threads, one socket a connection. */
class LeanStack implements RtcStack {
  readonly name = 'lean';
  readonly blockSamples = FRAME_SAMPLES;
  private readonly frameClock = new FrameClock(systemClock, { phases: 2, catchUpMs: CATCH_UP_MS });

  /** @param listener told of a description that asks for what this stack cannot do */
  onUnfit(listener: (reason: string) => void): void {
    PeerConnection.onUnfit = listener;
  }

  /** @throws Error if it cannot be had in this process, with the reason */
  check(): void {
    const { RTCPeerConnection } = globalThis as { RTCPeerConnection?: unknown };
    if (RTCPeerConnection !== undefined && RTCPeerConnection !== PeerConnection) {
      throw new Error('This process has another RTCPeerConnection already');
    }
    loadRtcNative();
  }

  installGlobals(): void {
    this.check();
    defineGlobals({ RTCPeerConnection: PeerConnection, MediaStream });
  }

  createAudioSource(): RtcAudioSource {
    const source = new AudioSource();
    const down = new core.Downsampler();
    const narrow = new Int16Array(FRAME_SAMPLES / RATIO);
    const half = narrow.subarray(0, BLOCK_SAMPLES / RATIO);
    return {
      write(samples) {
        const out = samples.length === FRAME_SAMPLES ? narrow : half;
        down.process(samples, out);
        source.write(out);
      },
      createStream: () => new MediaStream([source.createTrack()]),
    };
  }

  createAudioSink(track: AudioTrack, listener: BlockListener): AudioSink {
    if (!(track instanceof ReceivedTrack)) throw new TypeError('Expected a track that is received');
    const { receiver } = track;
    const { frameClock } = this;
    const up = new core.Upsampler();
    const narrow = new Int16Array(2 * HEARD_BLOCK);
    const halves = [narrow.subarray(0, HEARD_BLOCK), narrow.subarray(HEARD_BLOCK)] as const;
    const samples = new Int16Array(FRAME_SAMPLES);
    const member = {
      tick() {
        if (!receiver.isHeard) return;
        // Both at once: a packet holds 20 ms, and the second half would wait for nothing.
        receiver.pull(halves[0], frameClock.tickedAt);
        receiver.pull(halves[1], frameClock.tickedAt);
        up.process(narrow, samples);
        listener(samples, SAMPLE_RATE);
      },
    };
    receiver.retain();
    frameClock.join(member);
    let isStopped = false;
    return {
      stop() {
        if (isStopped) return;
        isStopped = true;
        frameClock.leave(member);
        receiver.release();
      },
    };
  }
}

/** Lean WebRTC of this process. */
export const leanStack = new LeanStack();
