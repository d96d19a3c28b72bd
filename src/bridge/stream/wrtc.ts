import { createRequire } from 'node:module';
import { systemClock } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import { defineGlobals } from './browser-globals.js';
import { narrowband } from './narrowband.js';
import {
  type AudioSink,
  type AudioStream,
  type AudioTrack,
  BLOCK_SAMPLES,
  type BlockListener,
  type RtcAudioSource,
  type RtcStack,
} from './rtc-stack.js';

/** The parts of the browser's `RTCPeerConnection` that are patched here. */
interface PeerConnection {
  setRemoteDescription(description: { readonly type: string; readonly sdp: string }): Promise<void>;
  getTransceivers(): { readonly mid: string | null; readonly receiver: { readonly track: AudioTrack } }[];
  close(): void;
}

/** The parts of `@roamhq/wrtc` in use. */
interface Wrtc {
  readonly RTCPeerConnection: new (configuration?: object) => PeerConnection;
  readonly RTCPeerConnectionIceErrorEvent: unknown;
  readonly MediaStream: new (tracks: AudioTrack[]) => AudioStream;
  readonly nonstandard: {
    readonly RTCAudioSource: new () => {
      createTrack(): AudioTrack;
      onData(data: { samples: Int16Array; sampleRate: number }): void;
    };
    readonly RTCAudioSink: new (
      track: AudioTrack,
    ) => { ondata: ((data: SinkData) => void) | null; stop(): void };
  };
}

interface SinkData {
  /** Interleaved channels. */
  readonly samples: Int16Array;
  readonly sampleRate: number;
  readonly channelCount?: number;
}

/** Its event targets expose their listeners. */
type Listening = { _listeners: object };

/**
 * libwebrtc by `@roamhq/wrtc`, with workarounds for its faults:
 * - the Stream client replaces methods of a track, which the library does not allow
 * - a stopped track keeps sending, so a muted phone would be heard
 * - a closed connection keeps its remote tracks and, through their listeners, the whole call alive
 * - closing a connection or ending a track drops received audio that has not been played yet
 * - the library's finalisers crash a process that exits by itself, so it must be ended explicitly
 *
 * Sent audio is narrowband, see {@link narrowband}.
 *
 * It cannot run in a worker thread: the end of the thread crashes the process.
 */
class WrtcStack implements RtcStack {
  readonly name = 'wrtc';
  readonly blockSamples = BLOCK_SAMPLES;
  private loaded: Wrtc | undefined;

  private get wrtc(): Wrtc {
    if (this.loaded === undefined) {
      this.loaded = loadWrtc();
      process.once('beforeExit', (code) => process.exit(code));
    }
    return this.loaded;
  }

  installGlobals(): void {
    const { RTCPeerConnection, RTCPeerConnectionIceErrorEvent, MediaStream } = this.wrtc;
    defineGlobals({
      RTCPeerConnection: mended(RTCPeerConnection),
      RTCPeerConnectionIceErrorEvent,
      MediaStream,
    });
  }

  createAudioSource(): RtcAudioSource {
    const { wrtc } = this;
    const source = new wrtc.nonstandard.RTCAudioSource();
    // It takes exactly 10 ms, in an array with its own buffer.
    const block = new Int16Array(BLOCK_SAMPLES);
    const data = { samples: block, sampleRate: 48_000 };
    return {
      write(samples) {
        for (let begin = 0; begin < samples.length; begin += BLOCK_SAMPLES) {
          for (let i = 0; i < BLOCK_SAMPLES; i++) block[i] = samples[begin + i] as number;
          source.onData(data);
        }
      },
      createStream: () => new wrtc.MediaStream([replaceable(source.createTrack())]),
    };
  }

  createAudioSink(track: AudioTrack, listener: BlockListener): AudioSink {
    const sink = new this.wrtc.nonstandard.RTCAudioSink(track);
    hearing.add(track);
    const mono = new Int16Array(BLOCK_SAMPLES);
    sink.ondata = ({ samples, sampleRate, channelCount }) => {
      if (channelCount === 2) listener(mixDown(samples, mono), sampleRate);
      else listener(samples, sampleRate);
    };
    return {
      stop() {
        sink.ondata = null;
        sink.stop();
        hearing.delete(track);
      },
    };
  }
}

/** WebRTC of this process. */
export const wrtcStack: RtcStack = new WrtcStack();

/** Loaded only when WebRTC is needed. */
const load = createRequire(import.meta.url);

function loadWrtc(): Wrtc {
  try {
    return load('@roamhq/wrtc') as Wrtc;
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new GatewayError(
      'GW_WEBRTC_MISSING',
      `@roamhq/wrtc, which the Stream bridge needs, does not load: ${reason}. ` +
        'It has builds for Linux (x64, arm64; glibc 2.34 or newer), macOS and Windows.',
    );
  }
}

/** The mean of both channels, written to `mono` if that is long enough. */
function mixDown(stereo: Int16Array, mono: Int16Array): Int16Array {
  const mixed = stereo.length === 2 * mono.length ? mono : new Int16Array(stereo.length / 2);
  for (let i = 0; i < mixed.length; i++) {
    mixed[i] = ((stereo[2 * i] as number) + (stereo[2 * i + 1] as number)) >> 1;
  }
  return mixed;
}

/** Longest time a track is kept for its listeners. */
const LINGER_MS = 500;

/** Remote tracks with listeners. */
class Hearing {
  private readonly tracks = new Map<AudioTrack, number>();
  private readonly waiting = new Set<() => void>();

  add(track: AudioTrack): void {
    this.tracks.set(track, (this.tracks.get(track) ?? 0) + 1);
  }

  delete(track: AudioTrack): void {
    const left = (this.tracks.get(track) ?? 0) - 1;
    if (left > 0) this.tracks.set(track, left);
    else this.tracks.delete(track);
    for (const look of [...this.waiting]) look();
  }

  has(tracks: readonly AudioTrack[]): boolean {
    return tracks.some((track) => this.tracks.has(track));
  }

  /** Resolves when none has a listener, or after {@link LINGER_MS}. */
  async isOver(tracks: readonly AudioTrack[]): Promise<void> {
    if (!this.has(tracks)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        systemClock.cancel(timer);
        this.waiting.delete(look);
        resolve();
      };
      const look = () => {
        if (!this.has(tracks)) done();
      };
      const timer = systemClock.after(LINGER_MS, done);
      this.waiting.add(look);
    });
  }
}

const hearing = new Hearing();

function mended(Base: Wrtc['RTCPeerConnection']): Wrtc['RTCPeerConnection'] {
  return class extends Base {
    private isClosing = false;

    override async setRemoteDescription(description: {
      readonly type: string;
      readonly sdp: string;
    }): Promise<void> {
      const { type, sdp } = description;
      // The answer of the other side describes what we send.
      if (type === 'answer') return super.setRemoteDescription({ type, sdp: narrowband(sdp) });
      if (type === 'offer') await hearing.isOver(this.tracks(overIn(sdp)));
      if (this.isClosing) throw new Error('The connection is closed');
      return super.setRemoteDescription(description);
    }

    override close(): void {
      if (this.isClosing) return;
      this.isClosing = true;
      const tracks = this.tracks();
      if (hearing.has(tracks)) void hearing.isOver(tracks).then(() => this.shut());
      else this.shut();
    }

    private shut(): void {
      for (const track of this.tracks()) {
        (track as unknown as Listening)._listeners = {};
        track.stop();
      }
      super.close();
      (this as unknown as Listening)._listeners = {};
    }

    /** Its remote tracks, or those of some m-lines. */
    private tracks(mids?: ReadonlySet<string | null>): AudioTrack[] {
      const transceivers = this.getTransceivers().filter(({ mid }) => mids === undefined || mids.has(mid));
      return transceivers.map(({ receiver }) => receiver.track);
    }
  };
}

/** The m-lines of an offer that no longer send. */
function overIn(sdp: string): Set<string | null> {
  const sections = sdp.split(/^m=/m).slice(1);
  const over = sections.filter((section) => /^a=(inactive|recvonly)\s*$/m.test(section));
  return new Set(over.map((section) => /^a=mid:(\S+)/m.exec(section)?.[1] ?? null));
}

/** A track whose methods can be replaced, and which is silent once stopped; its clones too. */
function replaceable(track: AudioTrack): AudioTrack {
  const clone = track.clone.bind(track);
  const stop = track.stop.bind(track);
  const own = (name: string, value: unknown) =>
    Object.defineProperty(track, name, { value, writable: true, configurable: true });
  own('getSettings', track.getSettings.bind(track));
  own('clone', () => replaceable(clone()));
  own('stop', () => {
    track.enabled = false;
    stop();
  });
  return track;
}
