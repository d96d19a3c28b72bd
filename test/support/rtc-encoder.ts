import {
  loadRtcNative,
  type OpusEncoder,
  type OpusEncoderOptions,
  type RtcNative,
} from '../../src/rtc/native.js';
import { hasLbrr } from '../../src/rtc/opus-packet.js';

/** What an encoder was set to, and what it made. */
export interface WatchedEncoder {
  readonly options: OpusEncoderOptions;
  bitrate: number;
  complexity: number;
  lossPercent: number;
  fec: boolean;
  dtx: boolean;
  /** Bytes of each packet, empty ones among them. */
  readonly bytes: number[];
  /** Packets that carry the one before them once more. */
  copies: number;
}

/** The native part with its encoders watched. */
export function watchEncoders(): { native: RtcNative; encoders: WatchedEncoder[] } {
  const real = loadRtcNative();
  const encoders: WatchedEncoder[] = [];
  const openEncoder = (options: OpusEncoderOptions): OpusEncoder => {
    const encoder = real.openEncoder(options);
    const seen: WatchedEncoder = {
      ...{ options, bitrate: 0, complexity: -1, lossPercent: 0, fec: false, dtx: false },
      ...{ bytes: [], copies: 0 },
    };
    encoders.push(seen);
    const set = <Name extends 'bitrate' | 'complexity' | 'lossPercent' | 'fec' | 'dtx'>(
      name: Name,
      value: WatchedEncoder[Name],
    ) => {
      seen[name] = value;
    };
    return {
      encode(pcm, out) {
        const bytes = encoder.encode(pcm, out);
        seen.bytes.push(bytes);
        if (bytes > 2 && hasLbrr(out.subarray(0, bytes))) seen.copies += 1;
        return bytes;
      },
      setBitrate(bps) {
        set('bitrate', bps);
        encoder.setBitrate(bps);
      },
      setComplexity(complexity) {
        set('complexity', complexity);
        encoder.setComplexity(complexity);
      },
      setLossPercent(percent) {
        set('lossPercent', percent);
        encoder.setLossPercent(percent);
      },
      setFec(on) {
        set('fec', on);
        encoder.setFec(on);
      },
      setDtx(on) {
        set('dtx', on);
        encoder.setDtx(on);
      },
      free: () => encoder.free(),
    };
  };
  return { native: Object.assign(Object.create(real), { openEncoder }) as RtcNative, encoders };
}
