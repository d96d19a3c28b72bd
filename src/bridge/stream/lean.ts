import { systemClock } from '../../clock.js';
import { FRAME_SAMPLES, SAMPLE_RATE } from '../../media/frame.js';
import { FrameClock } from '../../media/frame-clock.js';
import { core } from '../../media/thread-core.js';
import { HEARD_BLOCK, ReceivedTrack } from '../../rtc/audio-receiver.js';
import { AudioSource } from '../../rtc/audio-source.js';
import { MediaStream } from '../../rtc/media-track.js';
import { loadRtcNative } from '../../rtc/native.js';
import { PeerConnection } from '../../rtc/peer-connection.js';
import { TELEPHONE_RATE } from '../../rtc/telephone-rate.js';
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
const RATIO = SAMPLE_RATE / TELEPHONE_RATE;

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
    // The library of Opus is opened by the first decoder.
    loadRtcNative().openDecoder(TELEPHONE_RATE).free();
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
    return new LeanSink(track, listener, this.frameClock);
  }
}

/** Hears a track at the pace of a clock. */
class LeanSink implements AudioSink {
  private readonly up = new core.Upsampler();
  private readonly narrow = new Int16Array(FRAME_SAMPLES / RATIO);
  private readonly halves = [
    this.narrow.subarray(0, HEARD_BLOCK),
    this.narrow.subarray(HEARD_BLOCK),
  ] as const;
  private readonly samples = new Int16Array(FRAME_SAMPLES);
  /** Frames that are due. */
  private due = 0;
  private isStopped = false;

  constructor(
    private readonly track: ReceivedTrack,
    private readonly listener: BlockListener,
    private readonly clock: FrameClock,
  ) {
    track.retain();
    clock.join(this);
  }

  /** Timers come before sockets: what has arrived is read first, above all after a stall. */
  tick(): void {
    if (this.due === 0) setImmediate(this.hear);
    this.due += 1;
  }

  stop(): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.clock.leave(this);
    this.track.release();
  }

  private readonly hear = (): void => {
    const { track, halves, narrow, samples } = this;
    const nowMs = this.clock.tickedAt;
    for (; this.due > 0; this.due -= 1) {
      if (this.isStopped || track.packets === undefined) continue;
      // Both at once: a packet holds 20 ms, and the second half would wait for nothing.
      track.pull(halves[0], nowMs);
      track.pull(halves[1], nowMs);
      this.up.process(narrow, samples);
      this.listener(samples, SAMPLE_RATE);
    }
  };
}

/** Lean WebRTC of this process. */
export const leanStack = new LeanStack();
