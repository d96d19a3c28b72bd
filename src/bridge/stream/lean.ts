import { systemClock } from '../../clock.js';
import { FrameClock } from '../../media/frame-clock.js';
import { core } from '../../media/thread-core.js';
import { HEARD_BLOCK, ReceivedTrack } from '../../rtc/audio-receiver.js';
import { AudioSource } from '../../rtc/audio-source.js';
import { MediaStream } from '../../rtc/media-track.js';
import { loadRtcNative } from '../../rtc/native.js';
import { PeerConnection } from '../../rtc/peer-connection.js';
import { defineGlobals } from './browser-globals.js';
import {
  type AudioSink,
  type AudioTrack,
  BLOCK_MS,
  BLOCK_SAMPLES,
  type BlockListener,
  type RtcAudioSource,
  type RtcStack,
} from './rtc-stack.js';

/** After a longer stall, sinks skip what they would have heard. */
const CATCH_UP_MS = 500;
const RATE = 48_000;

/** WebRTC of our own, see `src/rtc`: Opus at a telephone's rate, no threads, one socket a connection. */
class LeanStack implements RtcStack {
  readonly name = 'lean';
  private readonly blockClock = new FrameClock(systemClock, {
    periodMs: BLOCK_MS,
    phases: 1,
    catchUpMs: CATCH_UP_MS,
  });

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
    const block = new Int16Array(HEARD_BLOCK);
    return {
      write(samples) {
        down.process(samples, block);
        source.write(block);
      },
      createStream: () => new MediaStream([source.createTrack()]),
    };
  }

  createAudioSink(track: AudioTrack, listener: BlockListener): AudioSink {
    if (!(track instanceof ReceivedTrack)) throw new TypeError('Expected a track that is received');
    const { receiver } = track;
    const { blockClock } = this;
    const up = new core.Upsampler();
    const block = new Int16Array(HEARD_BLOCK);
    const samples = new Int16Array(BLOCK_SAMPLES);
    const member = {
      tick() {
        if (!receiver.isHeard) return;
        receiver.pull(block, blockClock.tickedAt);
        up.process(block, samples);
        listener(samples, RATE);
      },
    };
    receiver.retain();
    blockClock.join(member);
    let isStopped = false;
    return {
      stop() {
        if (isStopped) return;
        isStopped = true;
        blockClock.leave(member);
        receiver.release();
      },
    };
  }
}

/** Lean WebRTC of this process. */
export const leanStack = new LeanStack();
